import numpy as np
import pytest

from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.prompts import MASK_INPUT_LIMIT, MIN_BOX_SIDE, Prompts, check_boxes

SHAPE = (50, 80)


def test_points_are_positive_unless_said_otherwise():
    prompts = Prompts.create(SHAPE, points=[(1, 2), (49.5, 79.4)])
    np.testing.assert_array_equal(prompts.point_labels, [1, 1])
    assert prompts.point_labels.dtype == np.int64
    assert prompts.box_yxyx is None
    np.testing.assert_array_equal(
        Prompts.create(SHAPE, points=[(1, 2), (3, 4)], point_labels=[True, False]).point_labels,
        [1, 0],
    )


@pytest.mark.parametrize("labels", [0, [0], [[0.0]], [False], None])
def test_labels_become_whole_numbers_one_a_point(labels):
    chosen = Prompts.create(SHAPE, points=[(1, 2)], point_labels=labels).point_labels
    assert chosen.tolist() == [int(labels is None)]
    assert chosen.dtype == np.int64


@pytest.mark.parametrize("points", [None, [], np.zeros((0, 2))])
def test_no_points_have_the_form_of_some(points):
    prompts = Prompts.create(SHAPE, points=points, box=(1, 2, 3, 4))
    assert prompts.points_yx.shape == (0, 2)
    assert prompts.point_labels.shape == (0,)


def test_points_may_lie_on_the_outer_edges_of_pixels():
    corners = [(-0.5, -0.5), (49.5, 79.5)]
    assert Prompts.create(SHAPE, points=corners).points_yx.tolist() == [[-0.5, -0.5], [49.5, 79.5]]


@pytest.mark.parametrize("box", [(5, 6, 20, 30), (20, 30, 5, 6), (5, 30, 20, 6), (20, 6, 5, 30)])
def test_a_box_may_be_drawn_in_any_direction(box):
    np.testing.assert_array_equal(Prompts.create(SHAPE, box=box).box_yxyx, (5, 6, 20, 30))


def test_a_box_is_clipped_to_the_plane():
    np.testing.assert_array_equal(check_boxes([(-9, 70, 20, 999)], SHAPE), [(0, 70, 20, 80)])
    assert check_boxes([], SHAPE).shape == (0, 4)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({}, "there is no prompt"),
        ({"points": []}, "there is no prompt"),
        ({"points": [(np.nan, 1)]}, "points is finite"),
        ({"box": (0, 0, np.inf, 3)}, "box is finite"),
        ({"mask_input": np.full((4, 4), np.nan)}, "mask input is finite"),
        ({"points": [(1, 2), (3,)]}, "the points cannot be read"),
        ({"points": (1, 2)}, "wrong shape"),
        ({"point_labels": [1]}, "do not match"),
        ({"points": [(1, 2), (50, 2)]}, r"point 1 lies outside.* 50 x 80 .*\(50\.0, 2\.0\)"),
        ({"points": [(1, 2)], "point_labels": [np.nan]}, "point labels is finite"),
        ({"points": [(1, -1)]}, "point 0 lies outside"),
        ({"points": [(1, 2, 3)]}, "wrong shape"),
        ({"points": "here"}, "the points cannot be read"),
        ({"points": [(1, 2)], "point_labels": [1, 0]}, "1 values"),
        ({"points": [(1, 2)], "point_labels": [2]}, "do not match"),
        ({"box": (60, 0, 70, 9)}, "box 0 covers no pixel"),
        ({"box": (-9, -9, 0, 0)}, "box 0 covers no pixel"),
        ({"box": (5, 5, 5, 9)}, "box 0 covers no pixel"),
        ({"box": (5, 5, 9)}, "wrong shape"),
        ({"box": ()}, "wrong shape"),
        ({"mask_input": np.zeros((4, 5))}, "square"),
        ({"mask_input": np.zeros((2, 4, 4))}, "square"),
        ({"mask_input": np.zeros((1, 1, 4, 4))}, "square"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_a_reason_and_a_remedy(prompts, message):
    with pytest.raises(PromptError, match=message) as caught:
        Prompts.create(SHAPE, **prompts)
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.remedy


def test_what_cannot_be_read_is_quoted_in_part():
    with pytest.raises(PromptError, match="cannot be read") as caught:
        Prompts.create(SHAPE, points=["far" * 99])
    assert caught.value.got == f"['{'far' * 26}"


def test_the_first_wrong_box_is_named():
    with pytest.raises(PromptError, match=r"box 1 .* 50 x 80, got .*\(4\.0, 90\.0, 9\.0, 95\.0\)"):
        check_boxes([(1, 2, 3, 4), (4, 90, 9, 95), (9, 9, 9, 9)], SHAPE)
    with pytest.raises(PromptError, match=r"\(N, 4\), got shape \(4,\)") as caught:
        check_boxes((1, 2, 3, 4), SHAPE)
    assert caught.value.remedy
    with pytest.raises(PromptError, match="the boxes is finite"):
        check_boxes([(1, 2, 3, np.nan)], SHAPE)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (1, 1)])
def test_a_mask_input_is_one_plane_of_moderate_logits(shape):
    mask = np.linspace(-1e9, 1e9, np.prod(shape)).reshape(shape)
    logits = Prompts.create(SHAPE, mask_input=mask).mask_input
    assert logits.dtype == np.float32
    expected = mask.reshape(shape[-2:]).clip(-MASK_INPUT_LIMIT, MASK_INPUT_LIMIT)
    np.testing.assert_array_equal(logits, expected)


def test_the_thinnest_box_is_a_thousandth_of_a_pixel():
    assert len(check_boxes([(0, 0, MIN_BOX_SIDE, 9)], SHAPE)) == 1
    with pytest.raises(PromptError, match="covers no pixel"):
        check_boxes([(0, 0, 0.9 * MIN_BOX_SIDE, 9)], SHAPE)


def test_points_alone_are_prompts():
    prompts = Prompts(np.zeros((1, 2)), np.ones(1, np.int64))
    assert prompts.box_yxyx is None
    assert prompts.mask_input is None


def test_what_is_refined_keeps_its_prompts():
    before = Prompts.create(SHAPE, points=[(1, 2)], box=(0, 0, 9, 9))
    after = before.refining(np.ones((4, 4), np.float32))
    assert before.mask_input is None
    assert after.mask_input.shape == (4, 4)
    assert after.points_yx is before.points_yx
    assert after.box_yxyx is before.box_yxyx


def test_no_boxes_are_none_but_an_empty_row_is_wrong():
    for none in ([], np.zeros((0, 4))):
        assert check_boxes(none, (9, 9)).shape == (0, 4)
    for wrong in ([[]], np.zeros((3, 0)), np.zeros((0, 3)), np.zeros((0, 5))):
        with pytest.raises(PromptError, match="wrong shape"):
            check_boxes(wrong, (9, 9))
