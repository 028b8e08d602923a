"""Which pixels of overlapping masks are whose, without an image of the plane's size."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.geometry import Window
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import FilterSettings

if TYPE_CHECKING:
    from napari_mobilesam.core.instances import Candidates


def touching_boxes(boxes: Sequence[Window]) -> list[list[int]]:
    """For every half-open box (y0, x0, y1, x1), the other boxes that share a pixel with it."""
    from shapely import STRtree, box  # not needed where nothing overlaps

    inner = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    shapes = box(inner[:, 1], inner[:, 0], inner[:, 3] - 1, inner[:, 2] - 1)
    neighbours: list[list[int]] = [[] for _ in boxes]
    for first, second in STRtree(shapes).query(shapes).T.tolist():
        if first != second:
            neighbours[first].append(second)
    return neighbours


def shared_pixels(first: CroppedMask, second: CroppedMask) -> int:
    """Count the pixels that two masks of a plane have in common."""
    window = _common(first.box, second.box)
    return int(np.count_nonzero(_part(first, window) & _part(second, window)))


def crop_iou(mask: CroppedMask, other: CroppedMask) -> float:
    """Intersection over union of two masks of a plane, in [0, 1]; 1 for two empty ones."""
    shared = shared_pixels(mask, other)
    union = mask.area + other.area - shared
    return shared / union if union else 1.0


def crops_iou(true: Sequence[CroppedMask], found: Sequence[CroppedMask]) -> NDArray[np.float64]:
    """Intersection over union of masks that may overlap, of every true with every found one.

    Parameters
    ----------
    true, found : sequence of CroppedMask
        N and M masks of the same plane, none of them empty.

    Returns
    -------
    (N true, M found) float64 array
    """
    iou = np.zeros((len(true), len(found)))
    if not iou.size:
        return iou
    boxes, others = (np.array([mask.box for mask in masks]) for masks in (true, found))
    starts = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    ends = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    for i, j in np.argwhere((starts < ends).all(axis=2)):
        iou[i, j] = crop_iou(true[i], found[j])
    return iou


def visible_parts(
    candidates: "Candidates", settings: FilterSettings
) -> tuple[NDArray[np.intp], list[CroppedMask]]:
    """Filter candidates, and give every pixel to the best of those that want it.

    Parameters
    ----------
    candidates : Candidates
        Decoded masks of one plane, which may overlap or be empty.
    settings : FilterSettings
        Thresholds on score, stability, area and overlap.

    Returns
    -------
    kept : (K,) intp array
        Indices of the candidates that remain, best score first.
    visible : list of K CroppedMask
        What better ones leave of each, inside the box of the whole mask.
    """
    eligible = _eligible(candidates, settings)
    masks = [candidates.masks[i] for i in eligible]
    neighbours = touching_boxes([mask.box for mask in masks])
    seen: dict[int, CroppedMask] = {}
    for rank, mask in enumerate(masks):
        pixels = mask.pixels
        for better in neighbours[rank]:
            if better in seen:
                pixels = _without(pixels, mask, seen[better])
        left, area = np.count_nonzero(pixels), mask.area
        if left >= settings.min_area and area - left <= settings.max_overlap * area:
            seen[rank] = CroppedMask(mask.y0, mask.x0, pixels)
    return eligible[list(seen)], list(seen.values())


def _eligible(candidates: "Candidates", settings: FilterSettings) -> NDArray[np.intp]:
    areas = np.array([mask.area for mask in candidates.masks], dtype=np.int64)
    fits = (
        (candidates.scores >= settings.min_score)
        & (candidates.stability >= settings.min_stability)
        & (areas >= settings.min_area)
        & (areas <= (settings.max_area or np.inf))
    )
    order = np.argsort(-candidates.scores, kind="stable")
    return order[fits[order]]


def _without(
    pixels: NDArray[np.bool_], mask: CroppedMask, better: CroppedMask
) -> NDArray[np.bool_]:
    """Pixels of a mask, less those of a better one."""
    y0, x0, y1, x1 = window = _common(mask.box, better.box)
    left = pixels.copy()
    left[y0 - mask.y0 : y1 - mask.y0, x0 - mask.x0 : x1 - mask.x0] &= ~_part(better, window)
    return left


def _common(first: Window, second: Window) -> Window:
    y0, x0 = max(first[0], second[0]), max(first[1], second[1])
    return y0, x0, max(y0, min(first[2], second[2])), max(x0, min(first[3], second[3]))


def _part(mask: CroppedMask, window: Window) -> NDArray[np.bool_]:
    y0, x0, y1, x1 = window
    return mask.pixels[y0 - mask.y0 : y1 - mask.y0, x0 - mask.x0 : x1 - mask.x0]
