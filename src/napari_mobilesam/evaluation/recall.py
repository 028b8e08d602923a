"""Average recall of proposals, boxes or masks, within a budget of proposals an image."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.evaluation.sizes import SIZES

Overlaps = NDArray[np.float64]

BUDGETS = (10, 100, 320, 1000)
"""Proposals an image; 320 are what MobileSAMv2 (arXiv 2312.09579) makes at most."""

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which on an object is found."""


def average_recall(
    overlaps: Iterable[Overlaps], budgets: Sequence[int] = BUDGETS
) -> dict[int, float]:
    """Recall averaged over ``IOU_THRESHOLDS``, with at most so many proposals an image.

    The definition of COCO and LVIS (arXiv 1908.03195): proposals in order of confidence take,
    one each, the object that they overlap best and that is still to be found. Objects of all
    images are counted together.

    Parameters
    ----------
    overlaps : iterable of (N true, M found) float64 arrays
        IoU in each image, of boxes (:func:`~napari_mobilesam.core.suppression.box_iou`) or of masks
        (:func:`~.metrics.crops_iou`), the proposals in descending order of confidence.
    budgets : sequence of int
        Proposals an image.

    Returns
    -------
    dict of int to float
        Average recall in [0, 1] for each budget; nan if there are no objects.
    """
    found = np.zeros((len(budgets), len(IOU_THRESHOLDS)))
    objects = 0
    for iou in overlaps:
        objects += len(iou)
        taken = [_taken_by(iou[:, : max(budgets)], threshold) for threshold in IOU_THRESHOLDS]
        for row, budget in enumerate(budgets):
            found[row] += [np.count_nonzero(proposals < budget) for proposals in taken]
    recall = found.mean(axis=1) / objects if objects else np.full(len(budgets), np.nan)
    return dict(zip(budgets, recall.tolist(), strict=True))


def average_recall_by_size(
    images: Iterable[tuple[Overlaps, ArrayLike]], budgets: Sequence[int] = BUDGETS
) -> dict[str, dict[int, float]]:
    """Average recall of the small, the medium and the large objects.

    Parameters
    ----------
    images : iterable of (N true, M found) float64 array and (N,) array
        For each image the IoU, as for :func:`average_recall`, and the areas of the objects, in
        pixels.
    budgets : sequence of int
        Proposals an image, of all sizes together.

    Returns
    -------
    dict of str to dict of int to float
        By the names of :data:`~.sizes.SIZES`, then by budget.
    """
    held = [(iou, np.asarray(areas)) for iou, areas in images]
    return {
        size: average_recall(
            (iou[(areas >= least) & (areas < limit)] for iou, areas in held), budgets
        )
        for size, (least, limit) in SIZES.items()
    }


def _taken_by(iou: Overlaps, threshold: float) -> NDArray[np.intp]:
    """Place in the order of confidence of the proposal that finds each object that is found."""
    left = np.where(iou >= threshold, iou, 0.0)
    taken = []
    for proposal in np.flatnonzero(left.any(axis=0)):
        best = int(left[:, proposal].argmax())
        if left[best, proposal] > 0:
            taken.append(proposal)
            left[best] = 0.0
    return np.asarray(taken, dtype=np.intp)
