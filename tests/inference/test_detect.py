import numpy as np
import pytest
import torch

from napari_mobilesam.core.settings import DetectorSettings
from napari_mobilesam.inference.detect import Detector, Proposals


class Told(torch.nn.Module):
    """Stands for a network: proposes what it was told, in pixels of its input."""

    def __init__(self, *boxes_xyxy_and_confidence):
        super().__init__()
        told = torch.tensor(boxes_xyxy_and_confidence, dtype=torch.float32).reshape(-1, 5)
        low, high, confidence = told.split([2, 2, 1], dim=1)
        self.output = torch.cat([(low + high) / 2, high - low, confidence], dim=1).T[None]

    def forward(self, image):
        self.image = image
        return (self.output,)


def propose(network, shape=(40, 80), **changes):
    settings = DetectorSettings(image_size=160).changed(**changes)
    rgb = np.full((*shape, 3), 200, np.uint8)
    return Detector(network, torch.device("cpu")).propose(rgb, settings)


def test_boxes_come_back_in_plane_pixels_rows_first():
    found = propose(Told((20, 10, 60, 30, 0.8)))
    np.testing.assert_allclose(found.boxes_yxyx, [(5, 10, 15, 30)])
    np.testing.assert_allclose(found.confidence, [0.8])


def test_the_image_is_resized_and_padded_with_grey_to_the_stride():
    network = Told((20, 10, 60, 30, 0.8))
    propose(network, shape=(41, 80))
    assert network.image.shape == (1, 3, 96, 160)
    assert (network.image[..., :82, :] == 200 / 255).all()
    assert (network.image[..., 82:, :] == 114 / 255).all()


@pytest.mark.parametrize(
    ("shape", "size", "seen"),
    [((40, 80), 320, (160, 320)), ((40, 80), None, (96, 160)), ((10, 4000), None, (32, 1536))],
)
def test_image_size(shape, size, seen):
    network = Told()
    propose(network, shape=shape, image_size=size)
    assert network.image.shape[-2:] == seen


def test_the_most_confident_come_first_and_too_many_are_dropped():
    boxes = [(20 * i, 0, 20 * i + 15, 20, c) for i, c in enumerate((0.5, 0.9, 0.3, 0.7))]
    assert propose(Told(*boxes), confidence=0.4).confidence.tolist() == pytest.approx(
        [0.9, 0.7, 0.5]
    )
    found = propose(Told(*boxes), confidence=0.4, max_objects=2)
    assert found.confidence.tolist() == pytest.approx([0.9, 0.7])
    np.testing.assert_allclose(found.boxes_yxyx[0], (0, 10, 10, 17.5))


def test_of_boxes_that_overlap_the_best_is_kept():
    boxes = [(0, 0, 40, 40, 0.6), (0, 0, 40, 50, 0.8)]  # IoU 0.8
    assert len(propose(Told(*boxes), nms_iou=0.85)) == 2
    found = propose(Told(*boxes), nms_iou=0.75)
    np.testing.assert_allclose(found.boxes_yxyx, [(0, 0, 25, 20)])


def test_boxes_end_where_the_plane_does():
    found = propose(Told((-9, -5, 30, 30, 0.9), (140, 60, 200, 99, 0.8), (20, 81, 60, 96, 0.7)))
    np.testing.assert_allclose(found.boxes_yxyx, [(0, 0, 15, 15), (30, 70, 40, 80)])
    np.testing.assert_allclose(found.confidence, [0.9, 0.8])


def test_nothing_is_found_in_nothing():
    found = propose(Told())
    assert found.boxes_yxyx.shape == (0, 4)
    assert found.confidence.shape == (0,)


def test_within_takes_boxes_by_their_centres():
    boxes = np.array([(0, 0, 10, 10), (5, 5, 15, 15), (8, 8, 40, 40.0)])
    found = Proposals(boxes, np.array([0.9, 0.8, 0.7], np.float32)).within((5, 5, 20, 10))
    np.testing.assert_array_equal(found.boxes_yxyx, boxes[:1])
    np.testing.assert_array_equal(found.confidence, np.float32([0.9]))


def test_the_bundled_detector_draws_its_boxes_around_disks(micro):
    rows, columns = np.mgrid[:80, :200]
    image = np.random.default_rng(0).normal(30, 4, (80, 200))
    for y, x in ((40, 30), (25, 150)):
        image[(rows - y) ** 2 + (columns - x) ** 2 < 14**2] += 150
    rgb = np.repeat(image.clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    found = micro.propose(rgb, micro.default_settings())
    for expected in ((26, 16, 55, 45), (11, 136, 40, 165)):
        assert np.abs(found.boxes_yxyx - expected).max(axis=1).min() < 3


class Corner(torch.nn.Module):
    """Proposes a box around what is bright, two pixels too far to the right as it sees it."""

    def forward(self, image):
        rows, cols = torch.nonzero(image[0, 0] > 0.9, as_tuple=True)
        x0, x1 = cols.min() + 2, cols.max() + 3
        y0, y1 = rows.min(), rows.max() + 1
        box = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 0.8])
        return (box.view(1, 5, 1),)


def test_a_second_look_evens_out_what_depends_on_the_side():
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[8:24, 16:40] = 255
    detector = Detector(Corner(), torch.device("cpu"))
    once = detector.propose(rgb, DetectorSettings(image_size=96))
    twice = detector.propose(rgb, DetectorSettings(image_size=96, second_look=True))
    np.testing.assert_allclose(once.boxes_yxyx, [(8, 18, 24, 42)])
    np.testing.assert_allclose(twice.boxes_yxyx, [(8, 16, 24, 40)])
    np.testing.assert_allclose(twice.confidence, [0.8])


def test_what_one_look_alone_sees_counts_half():
    network = Told((20, 10, 60, 30, 0.8))
    assert len(propose(network, second_look=True, confidence=0.41)) == 0
    assert propose(network, second_look=True, confidence=0.3).confidence.tolist() == (
        pytest.approx([0.4, 0.4])
    )
    assert len(propose(network, second_look=True, confidence=0.3, max_objects=1)) == 1
