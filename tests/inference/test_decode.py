import numpy as np
import pytest
from skimage import data

from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.inference.decode import (
    decode_batch,
    decode_candidates,
    decode_object,
    decode_objects,
)

SHAPE = (60, 90)


def prompts_of(**kinds):
    return Prompts.create(SHAPE, **kinds)


def point(y, x):
    return prompts_of(points=[(y, x)])


def centre_of(mask):
    return np.mean(np.nonzero(mask), axis=1)


def test_candidates_come_best_first_and_scores_are_fractions(engine, embedding):
    batch = decode_object(engine, embedding, point(30, 40), multimask=True)
    np.testing.assert_allclose(batch.scores, [0.99, 0.9, 0.5])
    areas = [mask.area for mask in batch.crops()]
    assert areas[2] < areas[0] < areas[1]
    box = prompts_of(box=(10, 10, 30, 30))
    assert decode_object(engine, embedding, box, multimask=False).scores.tolist() == [1.0]


def test_masks_are_where_the_prompts_are(engine, embedding):
    at_point = decode_object(engine, embedding, point(15, 70), multimask=False).to_array()[0]
    np.testing.assert_allclose(centre_of(at_point), (15, 70), atol=1)
    box = prompts_of(box=(5, 60, 25, 80))
    in_box = decode_object(engine, embedding, box, multimask=False).to_array()[0]
    np.testing.assert_allclose(centre_of(in_box), (15, 70), atol=1)
    assert in_box.sum() == pytest.approx(np.pi * 10**2, rel=0.1)


def test_the_network_sees_input_pixels_as_x_and_y(engine, embedding):
    logits = np.random.default_rng(0).normal(size=(64, 64))
    prompts = prompts_of(
        points=[(30, 45), (6, 9)], point_labels=[1, 0], box=(0, 30, 60, 90), mask_input=logits
    )
    decode_object(engine, embedding, prompts, multimask=False)
    (seen,) = engine.decoded
    scale_x, scale_y = 256 / 90, 171 / 60
    np.testing.assert_allclose(
        seen.points_xy, [[(45 * scale_x, 30 * scale_y), (9 * scale_x, 6 * scale_y)]], rtol=1e-6
    )
    np.testing.assert_array_equal(seen.point_labels, [[1, 0]])
    np.testing.assert_allclose(seen.boxes_xyxy, [(30 * scale_x, 0, 256, 171)], rtol=1e-6)
    np.testing.assert_array_equal(seen.mask_inputs[0, 0], logits.astype(np.float32))


def test_mixed_prompts_come_back_in_their_order(engine, embedding):
    boxes = [prompts_of(box=(5 * i, 5 * i, 5 * i + 20, 5 * i + 20)) for i in range(5)]
    mixed = [boxes[0], point(50, 80), *boxes[1:4], point(10, 10), boxes[4]]
    batch = decode_objects(engine, embedding, mixed)
    assert sorted(engine.chunks) == [2, 2, 3]
    for index, prompt in enumerate(mixed):
        alone, _ = decode_batch(engine, embedding, [prompt], multimask=False)
        np.testing.assert_array_equal(batch.low_res_logits[index], alone[0, 0])


def test_all_candidates_of_many_objects_stay_together(engine, embedding):
    mixed = [point(10, 10), prompts_of(box=(20, 40, 50, 80)), point(50, 80)]
    batch = decode_candidates(engine, embedding, mixed)
    np.testing.assert_allclose(batch.scores.reshape(3, 3), [[0.5, 0.99, 0.9]] * 3)
    for index, prompt in enumerate(mixed):
        alone, _ = decode_batch(engine, embedding, [prompt], multimask=True)
        together = batch.low_res_logits[3 * index : 3 * index + 3]
        np.testing.assert_array_equal(together, alone[0])


@pytest.mark.parametrize("decode", [decode_objects, decode_candidates])
def test_no_prompts_no_masks(engine, embedding, decode):
    assert len(decode(engine, embedding, [])) == 0
    assert engine.decoded == []


def test_a_mask_input_must_fit(engine, embedding):
    prompts = prompts_of(points=[(1, 1)], mask_input=np.zeros((256, 256)))
    with pytest.raises(PromptError, match=r"\(64, 64\).*input size 256.*\(256, 256\)"):
        decode_object(engine, embedding, prompts, multimask=True)


def test_batches_of_the_real_network_are_its_single_answers(micro):
    image = data.immunohistochemistry()[:60, :90]
    embedded = micro.embed(image)
    first = micro.predict(embedded, points=[(30, 45)]).low_res_logits[0]
    mixed = [
        point(30, 45),
        prompts_of(box=(10, 10, 40, 50)),
        prompts_of(box=(20, 30, 50, 80)),
        prompts_of(points=[(10, 80), (50, 20)], point_labels=[1, 0]),
        prompts_of(points=[(30, 45)], mask_input=first),
        prompts_of(mask_input=first),
        point(5, 5),
    ]
    batch = micro.predict_objects(embedded, mixed)
    for index, prompt in enumerate(mixed):
        alone = micro.predict_objects(embedded, [prompt])
        np.testing.assert_allclose(batch.low_res_logits[index], alone.low_res_logits[0], atol=1e-4)
        assert batch.scores[index] == pytest.approx(alone.scores[0], abs=1e-4)
