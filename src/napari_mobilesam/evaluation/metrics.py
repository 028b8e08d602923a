"""Agreement of masks and of label images with the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix


@dataclass(frozen=True, slots=True)
class Counts:
    """Instances found, invented and missed at one IoU threshold; counts of images add up."""

    true_positive: int
    false_positive: int
    false_negative: int

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), as StarDist (arXiv 1806.03535, section 3) and Cellpose report it.

        1 where there was nothing to find and nothing was found.
        """
        total = self.true_positive + self.false_positive + self.false_negative
        return self.true_positive / total if total else 1.0

    @property
    def precision(self) -> float:
        """TP / (TP + FP); 1 where nothing was found."""
        found = self.true_positive + self.false_positive
        return self.true_positive / found if found else 1.0

    @property
    def recall(self) -> float:
        """TP / (TP + FN); 1 where there was nothing to find."""
        true = self.true_positive + self.false_negative
        return self.true_positive / true if true else 1.0

    @property
    def recognition_quality(self) -> float:
        """TP / (TP + FP/2 + FN/2), the F1 score; 1 where there was nothing and nothing was found.

        A factor of panoptic quality (arXiv 1801.00868, section 4.2).
        """
        total = self.true_positive + (self.false_positive + self.false_negative) / 2
        return self.true_positive / total if total else 1.0


def mask_iou(mask: ArrayLike, other: ArrayLike) -> float:
    """Intersection over union of two masks of the same shape, in [0, 1]; 1 for two empty ones."""
    first, second = np.asarray(mask, dtype=bool), np.asarray(other, dtype=bool)
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def label_iou(true: ArrayLike, found: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every true instance with every found one.

    Parameters
    ----------
    true, found : (H, W) integer arrays
        Label images of the same shape, 0 = background; labels may have gaps.

    Returns
    -------
    (N true, M found) float64 array
        In ascending order of the labels.
    """
    rows, columns = (np.unique(np.ravel(labels), return_inverse=True) for labels in (true, found))
    pairs = coo_matrix((np.ones(rows[1].size), (rows[1], columns[1]))).toarray()
    union = pairs.sum(axis=1, keepdims=True) + pairs.sum(axis=0, keepdims=True) - pairs
    iou: NDArray[np.float64] = (pairs / union)[rows[0] != 0][:, columns[0] != 0]
    return iou


def match(iou: NDArray[np.float64], threshold: float) -> Counts:
    """Count the instances that can be paired one to one at an IoU of at least ``threshold``.

    Parameters
    ----------
    iou : (N true, M found) float64 array
        As :func:`label_iou` returns it.
    threshold : float
        Least IoU of a pair, in (0, 1].
    """
    good = iou >= threshold
    pairs = linear_sum_assignment(good, maximize=True)
    hits = int(np.count_nonzero(good[pairs]))
    return Counts(hits, iou.shape[1] - hits, iou.shape[0] - hits)
