"""How good label images are: average precision and panoptic quality."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.evaluation.metrics import Counts, label_iou, match

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(9))
"""IoU from which on two instances are the same: 0.5 to 0.9."""


@dataclass(frozen=True, slots=True)
class InstanceScores:
    """Agreement of instances with the truth, counted over all images together.

    Parameters
    ----------
    average_precision : dict of float to float
        TP / (TP + FP + FN) at each IoU of ``THRESHOLDS`` (StarDist, arXiv 1806.03535, section 3).
    precision, recall : float
        At an IoU of 0.5.
    panoptic_quality : float
        Segmentation quality times recognition quality (Kirillov et al., arXiv 1801.00868,
        section 4.2).
    segmentation_quality : float
        Mean IoU of the pairs that overlap by more than 0.5; 0 if there are none, but 1 where
        nothing was to be found and nothing was found.
    recognition_quality : float
        F1 score of these pairs.
    true, found : int
        Number of instances.
    """

    average_precision: dict[float, float]
    precision: float
    recall: float
    panoptic_quality: float
    segmentation_quality: float
    recognition_quality: float
    true: int
    found: int


def score_instances(
    pairs: Iterable[tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]],
) -> InstanceScores:
    """Compare label images with the truth.

    Parameters
    ----------
    pairs : iterable of two (H, W) integer arrays
        For each image the true labels and those found, 0 = background; labels may have gaps.
    """
    counts = dict.fromkeys(THRESHOLDS, Counts(0, 0, 0))
    paired: list[float] = []
    true = found = 0
    for true_labels, found_labels in pairs:
        iou = label_iou(true_labels, found_labels)
        true, found = true + iou.shape[0], found + iou.shape[1]
        # More than half of an instance can be shared with one other only: no pair is in doubt.
        paired += iou[iou > 0.5].tolist()
        for threshold in THRESHOLDS:
            counts[threshold] += match(iou, threshold)
    hits = len(paired)
    recognition = Counts(hits, found - hits, true - hits).recognition_quality
    segmentation = float(np.mean(paired)) if paired else float(true == found == 0)
    return InstanceScores(
        {threshold: count.average_precision for threshold, count in counts.items()},
        counts[0.5].precision,
        counts[0.5].recall,
        segmentation * recognition,
        segmentation,
        recognition,
        true,
        found,
    )
