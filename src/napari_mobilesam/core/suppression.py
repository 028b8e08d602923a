"""One box an object: suppression, without torchvision whose import takes seconds, and fusion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def nms(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    iou: float,
    most: int | None = None,
) -> NDArray[np.intp]:
    """Keep the best of boxes that overlap.

    Parameters
    ----------
    boxes : (N, 4) float array
        Opposite corners of each box, smaller coordinates first; (x, y) or (y, x) alike.
    scores : (N,) float array
        Of boxes with equal scores, the first counts as better.
    iou : float
        Greatest intersection over union of two boxes that are both kept.
    most : int, optional
        Most boxes to keep.

    Returns
    -------
    (M,) intp array
        Indices of the boxes that are kept, best score first.
    """
    order = np.argsort(-scores, kind="stable")
    low, high = boxes[order, :2], boxes[order, 2:]
    area = (high - low).prod(axis=1)
    alive = np.ones(len(order), dtype=bool)
    kept: list[int] = []
    for index in range(len(order)):
        if len(kept) == most:
            break
        if not alive[index]:
            continue
        kept.append(index)
        rest = slice(index + 1, None)
        sides = np.minimum(high[index], high[rest]) - np.maximum(low[index], low[rest])
        shared = sides.clip(0).prod(axis=1)
        alive[rest] &= shared <= iou * (area[index] + area[rest] - shared)
    return order[kept]


def fuse(
    boxes: Sequence[NDArray[np.floating]], scores: Sequence[NDArray[np.floating]], iou: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Join the boxes of several looks at one image.

    The most confident box gathers, of every look, the box that overlaps it most; their mean,
    weighted by confidence, takes their place, and what else overlaps it goes. A score is the mean
    over all looks, those included that saw nothing there. Solovyev et al., "Weighted boxes
    fusion" (arXiv 1910.13302), with one box of a look at most.

    Parameters
    ----------
    boxes : sequence of (N, 4) float arrays
        Boxes of each look, as :func:`nms` takes them.
    scores : sequence of (N,) float arrays
        Their scores, above 0.
    iou : float
        Least intersection over union of boxes of one object.

    Returns
    -------
    boxes : (M, 4) float64 array
    scores : (M,) float64 array
    """
    looks = np.repeat(np.arange(len(boxes)), [len(some) for some in boxes])
    every, score = np.concatenate(boxes).astype(np.float64), np.concatenate(scores)
    alive = np.ones(len(every), dtype=bool)
    fused: list[NDArray[np.float64]] = []
    for best in np.argsort(-score, kind="stable"):
        if not alive[best]:
            continue
        overlap = box_iou(every[best], every)[0]
        near = np.flatnonzero(alive & (overlap >= iou))
        near = near[np.argsort(-overlap[near], kind="stable")]
        alive[near], alive[best] = False, False
        near = near[np.unique(looks[near], return_index=True)[1]] if near.size else best[None]
        weight = score[near]
        mean = np.average(every[near], axis=0, weights=weight)
        fused.append(np.append(mean, weight.sum() / len(boxes)))
    table = np.array(fused).reshape(-1, 5)
    return table[:, :4], table[:, 4]


def box_iou(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box with every other one.

    Parameters
    ----------
    boxes, others : (N, 4) and (M, 4) arrays
        As :func:`nms` takes them; one without an area overlaps nothing.

    Returns
    -------
    (N, M) float64 array
    """
    first = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = np.clip(sides, 0, None).prod(axis=2)
    areas = [(some[..., 2:] - some[..., :2]).prod(axis=2) for some in (first, second)]
    union = areas[0] + areas[1] - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return iou
