import tracemalloc

import numpy as np
import pytest

from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.evaluation.metrics import mask_iou
from napari_mobilesam.evaluation.prompted import centre_point, evaluate_prompts, objects_of
from napari_mobilesam.inference.decode import decode_object
from napari_mobilesam.inference.encode import embed_plane


def test_the_centre_is_the_point_deepest_inside():
    mask = np.zeros((30, 40), bool)
    mask[5:16, 20:31] = True
    mask[15, :20] = True
    assert centre_point(mask) == (10, 25)


def test_objects_are_cut_out_whole_ones_first(discs):
    objects = list(objects_of(discs, None))
    assert len(objects) == 5
    for label, mask in zip((3, 5, 8, 9), objects, strict=False):
        np.testing.assert_array_equal(mask.to_array((128, 128)), discs.labels == label)
    np.testing.assert_array_equal(objects[4].to_array((128, 128)), discs.inner == 1)


def test_so_many_objects_are_evenly_spaced_and_a_third_as_many_inner_ones():
    labels = np.arange(1, 37, dtype=np.int32).reshape(6, 6)
    objects = list(objects_of(Scene(labels.astype(np.uint8), labels, labels), 4))
    assert [mask.y0 * 6 + mask.x0 + 1 for mask in objects] == [1, 10, 19, 28, 1, 19]


def test_scores_are_those_of_the_masks_that_a_user_sees(engine, discs):
    scores = evaluate_prompts(engine, [discs], 256, None)
    embedding = embed_plane(engine, discs.image, model="", input_size=256)
    masks = [discs.labels == label for label in (3, 5, 8, 9)] + [discs.inner == 1]
    box, point, best = [], [], []
    for mask in masks:
        rows, cols = np.nonzero(mask)
        edges = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        prompts = Prompts.create((128, 128), box=edges)
        found = decode_object(engine, embedding, prompts, multimask=False)
        box.append(mask_iou(mask, found.to_array()[0]))
        prompts = Prompts.create((128, 128), points=[centre_point(mask)])
        three = decode_object(engine, embedding, prompts, multimask=True).to_array()
        point.append(mask_iou(mask, three[0]))
        best.append(max(mask_iou(mask, candidate) for candidate in three))
    assert scores.box == pytest.approx(np.mean(box), abs=0.01)
    assert scores.point == pytest.approx(np.mean(point), abs=0.01)
    assert scores.best_point == pytest.approx(np.mean(best), abs=0.01)
    assert scores.box > 0.8
    assert -1 <= scores.rank_correlation <= 1
    assert scores.by_image.count == 1
    assert scores.by_image.box == pytest.approx(scores.box)
    small = [index for index, mask in enumerate(masks) if mask.sum() < 32**2]
    assert scores.by_size["small"].count == len(small) == 3
    assert scores.by_size["small"].box == pytest.approx(np.mean(np.array(box)[small]), abs=0.01)
    assert scores.by_size["medium"].count == 2
    assert np.isnan(scores.by_size["large"].point)


def test_a_crowded_image_weighs_no_more_than_another(engine, discs):
    few = Scene(discs.image, np.where(discs.labels == 3, 3, 0), np.zeros_like(discs.inner))
    alone, crowded = (evaluate_prompts(engine, [scene], 128, None) for scene in (few, discs))
    both = evaluate_prompts(engine, [few, discs], 128, None)
    assert both.objects == 6
    assert both.box == pytest.approx((alone.box + 5 * crowded.box) / 6)
    assert both.by_image.box == pytest.approx((alone.box + crowded.box) / 2)


class BoxPainter:
    """An engine without a network: the mask is the box, or a square around the point."""

    logits_stride = 4
    chunk_size = 64

    def encode(self, rgb, input_size):  # noqa: ARG002
        return np.zeros((256, input_size // 16, input_size // 16), np.float32)

    def decode(self, features, prompts, *, multimask, input_size, windows=None):  # noqa: ARG002
        boxes = prompts.boxes_xyxy
        if boxes is None:
            boxes = np.hstack([prompts.points_xy[:, 0] - 8, prompts.points_xy[:, 0] + 8])
        along = np.arange(input_size // 4) * 4 + 2
        x0, y0, x1, y1 = boxes.T[:, :, np.newaxis]
        rows, cols = (along > y0) & (along < y1), (along > x0) & (along < x1)
        masks = rows[:, np.newaxis, :, np.newaxis] & cols[:, np.newaxis, np.newaxis, :]
        logits = np.repeat(np.where(masks, 8, -8), 3 if multimask else 1, axis=1)
        return logits.astype(np.float32), np.full(logits.shape[:2], 0.5, np.float32)


def test_hundreds_of_objects_are_compared_without_planes_of_their_own():
    tile = np.pad(np.ones((80, 30), np.int32), 10)
    numbers = np.arange(1, 201, dtype=np.int32).reshape(10, 20)
    labels = np.tile(tile, numbers.shape) * np.kron(numbers, np.ones_like(tile))
    scene = Scene((labels > 0).astype(np.uint8), labels, np.zeros_like(labels))
    assert labels.shape == (1000, 1000)
    tracemalloc.start()
    scores = evaluate_prompts(BoxPainter(), [scene], 512, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scores.objects == 200
    assert scores.box > 0.8
    assert np.isnan(scores.rank_correlation)  # all predictions are the same
    assert peak < 100e6  # a plane of bytes for each object and candidate would be 600 MB


def test_nothing_to_prompt_gives_no_number(engine):
    scores = evaluate_prompts(engine, [], 128)
    assert scores.objects == 0
    assert np.isnan([scores.box, scores.point, scores.rank_correlation]).all()


def test_a_row_of_a_table_holds_plain_figures(engine, discs):
    row = evaluate_prompts(engine, [discs], 128, 2).as_row()
    assert list(row) == ["box", "point", "best_point", "rank_correlation", "objects"]
    assert row["objects"] == 3
