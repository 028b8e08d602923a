import numpy as np
import pytest
import torch
from torchvision.ops import nms as torchvision_nms

from napari_mobilesam.core.suppression import fuse, nms


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("iou", [0.1, 0.5, 0.9])
def test_what_is_kept_is_what_torchvision_keeps(seed, iou):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (200, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 40, (200, 2))]).astype(np.float32)
    scores = rng.choice(np.linspace(0, 1, 60), 200).astype(np.float32)
    expected = torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou).numpy()
    assert nms(boxes, scores, iou).tolist() == expected.tolist()
    assert nms(boxes, scores, iou, most=7).tolist() == expected[:7].tolist()


def test_no_boxes_are_no_boxes():
    assert nms(np.empty((0, 4)), np.empty(0), 0.5).size == 0


def test_empty_boxes_suppress_nothing():
    boxes = np.array([[5, 5, 5, 5], [0, 0, 10, 10], [5, 5, 5, 5]], dtype=float)
    assert sorted(nms(boxes, np.array([3.0, 2.0, 1.0]), 0.5)) == [0, 1, 2]


def test_looks_are_fused_by_confidence_and_an_object_seen_once_counts_half():
    first = np.array([[0, 0, 10, 10], [50, 50, 60, 60]])
    second = np.array([[0, 2, 10, 12], [0, 1, 10, 11]])
    boxes, scores = fuse([first, second], [np.array([0.9, 0.8]), np.array([0.3, 0.6])], 0.5)
    np.testing.assert_allclose(boxes, [[0, 0.4, 10, 10.4], [50, 50, 60, 60]])
    np.testing.assert_allclose(scores, [0.75, 0.4])


def test_fusing_a_look_with_itself_is_suppression():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (60, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 40, (60, 2))])
    scores = rng.uniform(0.1, 1, 60)
    kept = nms(boxes, scores, 0.5)
    fused, means = fuse([boxes[kept], boxes[kept]], [scores[kept], scores[kept]], 0.55)
    np.testing.assert_allclose(fused, boxes[kept])
    np.testing.assert_allclose(means, scores[kept])


def test_nothing_seen_and_boxes_without_area_can_be_fused():
    nothing = np.empty((0, 4))
    boxes, scores = fuse([nothing, nothing], [np.empty(0), np.empty(0)], 0.5)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))
    boxes, scores = fuse([np.full((1, 4), 5.0), nothing], [np.ones(1), np.empty(0)], 0.5)
    assert (boxes.tolist(), scores.tolist()) == ([[5, 5, 5, 5]], [0.5])
