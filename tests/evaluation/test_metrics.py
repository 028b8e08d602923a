import numpy as np
import pytest

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crop_iou, crops_iou
from napari_mobilesam.evaluation.metrics import (
    Counts,
    label_iou,
    mask_iou,
    match,
)


def test_mask_iou_counts_pixels():
    first, second = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    first[0, :3] = True
    second[0, 1:] = True
    assert mask_iou(first, second) == pytest.approx(2 / 4)
    assert mask_iou(first & False, second & False) == 1.0


def test_label_iou_is_pairwise_and_skips_background():
    true = np.array([[1, 1, 0, 7], [1, 1, 0, 7]])
    found = np.array([[5, 5, 5, 0], [0, 0, 0, 9]])
    expected = [[2 / 5, 0.0], [0.0, 1 / 2]]
    np.testing.assert_allclose(label_iou(true, found), expected)


@pytest.mark.parametrize(
    ("true", "found", "shape"), [(0, 0, (0, 0)), (1, 0, (1, 0)), (0, 1, (0, 1))]
)
def test_label_iou_of_empty_images(true, found, shape):
    assert label_iou(np.full((3, 3), true), np.full((3, 3), found)).shape == shape


def test_match_pairs_each_instance_once():
    iou = np.array([[0.6, 0.7], [0.0, 0.6]])
    assert match(iou, 0.5) == Counts(2, 0, 0)
    assert match(iou, 0.65) == Counts(1, 1, 1)


def test_match_agrees_with_brute_force_on_random_images():
    rng = np.random.default_rng(0)
    true, found = rng.integers(0, 5, (12, 12)), rng.integers(0, 4, (12, 12))
    iou = label_iou(true, found)
    for i, j in np.ndindex(iou.shape):
        assert iou[i, j] == pytest.approx(mask_iou(true == i + 1, found == j + 1))


def test_average_precision_of_summed_counts():
    total = Counts(3, 1, 0) + Counts(1, 0, 3)
    assert total.average_precision == pytest.approx(4 / 8)
    assert Counts(0, 0, 0).average_precision == 1.0


def test_precision_recall_and_their_harmonic_mean():
    counts = Counts(3, 1, 2)
    assert counts.precision == pytest.approx(3 / 4)
    assert counts.recall == pytest.approx(3 / 5)
    assert counts.recognition_quality == pytest.approx(2 / (4 / 3 + 5 / 3))


def test_cropped_masks_are_compared_as_if_they_were_planes():
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(12):
        plane = np.zeros((40, 50), bool)
        y, x = rng.integers(0, 25, 2)
        plane[y : y + 15, x : x + 20] = rng.random((15, 20)) < 0.6
        masks.append(plane)
    crops = [CroppedMask(0, 0, mask).trim() for mask in masks]
    iou = crops_iou(crops[:5], crops[5:])
    expected = [[mask_iou(true, found) for found in masks[5:]] for true in masks[:5]]
    np.testing.assert_allclose(iou, expected)
    assert (iou == 0).any()
    assert crops_iou([], crops).shape == (0, 12)


def test_empty_cropped_masks_are_the_same_mask():
    empty = CroppedMask(3, 4, np.zeros((0, 0), bool))
    assert crop_iou(empty, CroppedMask(0, 0, np.zeros((0, 0), bool))) == 1
    assert crop_iou(empty, CroppedMask(0, 0, np.ones((9, 9), bool))) == 0
