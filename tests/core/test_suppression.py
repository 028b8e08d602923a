import numpy as np
import pytest
import torch
from torchvision.ops import nms as torchvision_nms

from napari_mobilesam.core.suppression import nms


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
