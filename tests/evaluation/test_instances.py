import numpy as np
import pytest

from napari_mobilesam.evaluation.instances import THRESHOLDS, score_instances


def row(*runs):
    """A label image of one row, from (label, pixels)."""
    return np.repeat(*np.transpose(runs))[np.newaxis]


TRUE = row((1, 10), (0, 5), (2, 10), (0, 5), (4, 4))
FOUND = row((7, 8), (0, 7), (3, 6), (0, 8), (1, 5))  # IoU 8/10, 6/10, 4/5


def test_thresholds_go_from_half_to_nine_tenths():
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


def test_counts_are_pooled_over_images():
    scores = score_instances([(TRUE, FOUND), (TRUE, np.zeros_like(TRUE))])
    assert (scores.true, scores.found) == (6, 3)
    assert scores.average_precision[0.5] == pytest.approx(3 / 6)
    assert scores.average_precision[0.6] == pytest.approx(3 / 6)
    assert scores.average_precision[0.65] == pytest.approx(2 / (2 + 1 + 4))
    assert scores.average_precision[0.9] == 0
    assert scores.precision == 1
    assert scores.recall == pytest.approx(3 / 6)


def test_panoptic_quality_is_the_sum_of_iou_over_its_denominator():
    scores = score_instances([(TRUE, FOUND), (TRUE, np.zeros_like(TRUE))])
    assert scores.panoptic_quality == pytest.approx((0.8 + 0.6 + 0.8) / (3 + 0 / 2 + 3 / 2))
    assert scores.segmentation_quality == pytest.approx((0.8 + 0.6 + 0.8) / 3)
    assert scores.recognition_quality == pytest.approx(3 / 4.5)


def test_half_an_overlap_is_no_panoptic_pair():
    scores = score_instances([(row((1, 4)), row((1, 2), (2, 2)))])
    assert scores.panoptic_quality == 0
    assert scores.average_precision[0.5] == pytest.approx(1 / 2)


@pytest.mark.parametrize(("found", "score"), [(0, 1.0), (1, 0.0)])
def test_nothing_to_find_is_perfect_only_if_nothing_is_found(found, score):
    scores = score_instances([(np.zeros((3, 3), int), np.full((3, 3), found))])
    assert scores.panoptic_quality == scores.average_precision[0.75] == score
    assert scores.precision == score
    assert scores.recall == 1
