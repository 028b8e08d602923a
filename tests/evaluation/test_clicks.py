import numpy as np
import pytest

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.evaluation.clicks import clicks_to_reach, next_click
from napari_mobilesam.evaluation.prompted import evaluate_prompts
from napari_mobilesam.inference.decode import decode_object

SQUARE = CroppedMask(10, 20, np.ones((11, 11), bool))


def test_a_click_goes_to_what_was_missed():
    upper = CroppedMask(10, 20, np.ones((4, 11), bool))
    assert next_click(SQUARE, upper, []) == ((17, 23), 1)


def test_a_click_goes_to_where_the_mask_is_too_large():
    wide = CroppedMask(10, 15, np.ones((11, 40), bool))
    (row, column), label = next_click(SQUARE, wide, [])
    assert (row, label) == (15, 0)
    assert 36 <= column <= 49


def test_an_empty_mask_has_missed_all_of_the_object():
    nothing = CroppedMask(0, 0, np.zeros((0, 0), bool))
    assert next_click(SQUARE, nothing, []) == ((15, 25), 1)


def test_nobody_clicks_twice_on_a_pixel_or_on_a_right_mask():
    nothing = CroppedMask(0, 0, np.zeros((0, 0), bool))
    point, label = next_click(SQUARE, nothing, [(15, 25)])
    assert point != (15, 25)
    assert label == 1
    dot = CroppedMask(3, 4, np.ones((1, 1), bool))
    assert next_click(dot, nothing, [(3, 4)]) is None
    assert next_click(SQUARE, SQUARE, []) is None


def test_the_first_click_is_the_point_of_the_prompt_evaluation(engine, discs):
    scores = clicks_to_reach(engine, [discs], 128, most=3, objects_per_image=1)
    assert scores.objects == 2
    assert len(scores.iou) == 3
    assert scores.iou[0] == pytest.approx(evaluate_prompts(engine, [discs], 128, 1).point, abs=0.01)
    assert 1 <= scores.clicks[0.8] <= scores.clicks[0.9] <= 3
    assert 0 <= scores.failures[0.8] <= scores.failures[0.9] <= 1


def test_easy_targets_take_one_click_and_impossible_ones_all(engine, discs):
    scores = clicks_to_reach(engine, [discs], 128, targets=(0.0, 1.1), most=2, objects_per_image=1)
    assert scores.clicks == {0.0: 1.0, 1.1: 2.0}
    assert scores.failures == {0.0: 0.0, 1.1: 1.0}


def test_each_prediction_starts_from_the_one_before(engine, discs, monkeypatch):
    asked = []

    def watched(engine, embedding, prompts, *, multimask):
        found = decode_object(engine, embedding, prompts, multimask=multimask)
        asked.append((prompts, multimask, found.low_res_logits[0]))
        return found

    monkeypatch.setattr("napari_mobilesam.evaluation.clicks.decode_object", watched)
    clicks_to_reach(engine, [discs], 128, most=3, objects_per_image=1)
    first, second, third = asked[:3]
    assert [multimask for _, multimask, _ in asked[:3]] == [True, False, False]
    assert [len(prompts.points_yx) for prompts, _, _ in asked[:3]] == [1, 2, 3]
    assert isinstance(first[0], Prompts)
    assert first[0].mask_input is None
    np.testing.assert_array_equal(second[0].mask_input, first[2])
    np.testing.assert_array_equal(third[0].mask_input, second[2])


def test_no_objects_give_no_number(engine):
    scores = clicks_to_reach(engine, [], 128)
    assert scores.objects == 0
    assert np.isnan([*scores.iou, *scores.clicks.values(), *scores.failures.values()]).all()
