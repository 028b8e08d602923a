import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crops_iou
from napari_mobilesam.core.suppression import box_iou
from napari_mobilesam.evaluation.recall import (
    average_recall,
    average_recall_by_size,
)

BUDGETS = (1, 5, 20)


def random_boxes(rng, count):
    """Boxes of 4 to 150 pixels in a plane of 200."""
    corner = rng.uniform(0, 190, (count, 2))
    return np.hstack([corner, np.minimum(corner + np.exp(rng.uniform(1.5, 5, (count, 2))), 200)])


def proposals(rng, boxes):
    """Each object proposed about twice, more or less well, in no order, and some that are none."""
    near = np.repeat(boxes, rng.integers(0, 5, len(boxes)), axis=0)
    side = np.tile(near[:, 2:] - near[:, :2], 2)
    moved = np.clip(near + rng.normal(0, 0.06, near.shape) * side, 0, 200)
    return rng.permutation(np.vstack([moved, random_boxes(rng, 6)]))


def ellipse(box):
    y0, x0, y1, x1 = box
    rows, cols = np.mgrid[:200, :200] + 0.5
    inside = ((rows - (y0 + y1) / 2) / (y1 - y0)) ** 2 + ((cols - (x0 + x1) / 2) / (x1 - x0)) ** 2
    return inside <= 0.25


def of_coco(images, kind):
    """Average recall by size and budget, of (true, found) annotations an image, as COCO has it."""
    annotations, results = [], []
    for image, (true, found) in enumerate(images, start=1):
        for one in true:
            number = len(annotations) + 1
            annotations.append(
                one | {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0}
            )
        scores = np.linspace(1, 0.1, len(found))
        results += [
            one | {"image_id": image, "category_id": 1, "score": score}
            for one, score in zip(found, scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i + 1, "height": 200, "width": 200} for i in range(len(images))],
            "categories": [{"id": 1}],
            "annotations": annotations,
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(results), kind)
        judge.params.useCats, judge.params.maxDets = 0, list(BUDGETS)
        judge.evaluate()
        judge.accumulate()
    recall = judge.eval["recall"].mean(axis=0)[0]
    return dict(zip(("all", "small", "medium", "large"), recall, strict=True))


def as_coco_box(box):
    y0, x0, y1, x1 = box.tolist()
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (y1 - y0) * (x1 - x0)}


def as_coco_mask(mask):
    packed = coco_masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"segmentation": packed, "area": int(mask.sum())}


def check(overlaps, areas, images, kind):
    expected = of_coco(images, kind)
    ours = {"all": average_recall(overlaps, BUDGETS)}
    ours |= average_recall_by_size(zip(overlaps, areas, strict=True), BUDGETS)
    assert 0.1 < ours["all"][5] < ours["all"][20] < 1
    for size, recalls in expected.items():
        assert (recalls >= 0).all()  # -1 says that there are no objects of the size
        assert list(ours[size].values()) == pytest.approx(recalls.tolist(), abs=1e-9), size


def test_recall_of_boxes_is_that_of_coco():
    rng = np.random.default_rng(0)
    true = [random_boxes(rng, count) for count in (12, 1, 7, 9)]
    found = [proposals(rng, boxes) for boxes in true]
    overlaps = [box_iou(*pair) for pair in zip(true, found, strict=True)]
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in true]
    images = [
        ([as_coco_box(box) for box in boxes], [as_coco_box(box) for box in others])
        for boxes, others in zip(true, found, strict=True)
    ]
    check(overlaps, areas, images, "bbox")


def test_recall_of_masks_is_that_of_coco():
    rng = np.random.default_rng(2)
    true = [np.vstack([[20, 30, 180, 190], random_boxes(rng, count)]) for count in (12, 9)]
    pairs = [
        ([ellipse(box) for box in boxes], [ellipse(box) for box in proposals(rng, boxes)])
        for boxes in true
    ]
    pairs = [tuple([mask for mask in masks if mask.any()] for masks in pair) for pair in pairs]
    crops = [
        tuple([CroppedMask(0, 0, mask).trim() for mask in masks] for masks in pair)
        for pair in pairs
    ]
    overlaps = [crops_iou(*pair) for pair in crops]
    areas = [[mask.area for mask in true] for true, _ in crops]
    images = [tuple([as_coco_mask(mask) for mask in masks] for masks in pair) for pair in pairs]
    check(overlaps, areas, images, "segm")


def test_a_proposal_finds_one_object_and_an_object_is_found_once():
    iou = np.array([[0.9, 0.6, 0.0], [0.8, 0.0, 0.55]])
    # From 0.5 on both are found, by the first and the third; above 0.55 the first object alone.
    assert average_recall([iou], (1, 2, 3)) == pytest.approx({1: 0.45, 2: 0.45, 3: 0.55})


def test_no_objects_give_no_recall():
    assert np.isnan(average_recall([np.zeros((0, 3))], (10,))[10])
    assert average_recall([np.zeros((2, 0))], (10,)) == {10: 0.0}


def test_box_iou_by_hand():
    iou = box_iou([[0, 0, 2, 4], [10, 10, 11, 11]], [[0, 2, 2, 6], [0, 0, 2, 4], [5, 5, 6, 6]])
    np.testing.assert_allclose(iou, [[4 / 12, 1, 0], [0, 0, 0]])
    assert box_iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)
