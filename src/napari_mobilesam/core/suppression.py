"""Non-maximum suppression, without torchvision, whose import alone takes two seconds."""

import numpy as np
from numpy.typing import NDArray


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
