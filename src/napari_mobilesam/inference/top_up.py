"""Look again where the detector found nothing though something is there.

The papers name the detector's recall as the limit of object-aware everything mode (MobileSAMv2,
arXiv 2312.09579, section 5). What stands out from the background as the objects that were found do,
and belongs to none of them, is asked for by a point; a mask that is confident and new becomes a
proposal like the detector's.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.suppression import nms
from napari_mobilesam.inference.decode import decode_candidates
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.engine import Engine

MIN_SCORE, MIN_STABILITY = 0.5, 0.6
"""Less, and masks from points are not to be trusted; chosen on validation images of nuclei."""

MAX_COVERED = 0.25
"""Share of a new mask that may belong to objects that were found."""

AREA_RANGE = 8.0
"""New objects are at most so many times larger or smaller than the median of those found."""

MIN_DEPTH = 0.3
"""Depth of what stands out, as a share of the median object's radius, for a point to be set."""

CONTRAST = 0.35
"""What stands out from the background by this share of what the objects do is looked at."""

MAX_POINTS = 256


def more_proposals(
    engine: Engine,
    embedding: ImageEmbedding,
    rgb: NDArray[np.uint8],
    found: Sequence[CroppedMask],
) -> Proposals:
    """Propose boxes of objects that were missed.

    Parameters
    ----------
    engine, embedding
        The model, and what its encoder says about the plane.
    rgb : (H, W, 3) uint8 array
        The plane.
    found : sequence of CroppedMask
        What was found in it.

    Returns
    -------
    Proposals
        Their confidence is 0, which no proposal of the detector has.
    """
    masks = [mask for mask in found if mask.area]
    covered = _covered(masks, rgb.shape[:2])
    points = missed_points(rgb, covered, _median_area(masks))
    new, scores = _masks_at(engine, embedding, points, covered, _median_area(masks))
    boxes = np.array([mask.box for mask in new], dtype=np.float64).reshape(-1, 4)
    kept = nms(boxes, np.array(scores, dtype=np.float32), 0.5, MAX_POINTS)
    return Proposals(boxes[kept], np.zeros(len(kept), dtype=np.float32))


def missed_points(
    rgb: NDArray[np.uint8], covered: NDArray[np.bool_], median_area: float | None
) -> NDArray[np.intp]:
    """Set points where something stands out from the background and is not covered.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        The plane.
    covered : (H, W) bool array
        What belongs to an object.
    median_area : float or None
        Of the objects, in pixels; None if there are none.

    Returns
    -------
    (N, 2) intp array
        Rows and columns.
    """
    grey = ndimage.gaussian_filter(rgb.mean(axis=-1, dtype=np.float32), 1.0)
    background = np.median(grey[~covered]) if not covered.all() else np.median(grey)
    outstanding = grey - background
    if covered.any():
        level = np.median(outstanding[covered])
        outstanding, threshold = outstanding * np.sign(level), abs(level) * CONTRAST
    else:
        outstanding = np.abs(outstanding)
        threshold = threshold_otsu(outstanding) if np.ptp(outstanding) else np.inf
    missed = (outstanding > threshold) & ~ndimage.binary_dilation(covered, iterations=2)
    radius = np.sqrt((median_area or 64.0) / np.pi)
    depth = ndimage.distance_transform_edt(np.pad(missed, 1))[1:-1, 1:-1]
    points: NDArray[np.intp] = peak_local_max(
        depth,
        min_distance=max(1, round(radius * MIN_DEPTH)),
        threshold_abs=max(1.5, radius * MIN_DEPTH),
        num_peaks=MAX_POINTS,
        exclude_border=False,
    )
    return points


def _masks_at(
    engine: Engine,
    embedding: ImageEmbedding,
    points: NDArray[np.intp],
    covered: NDArray[np.bool_],
    median_area: float | None,
) -> tuple[list[CroppedMask], list[float]]:
    """Of each point's three candidates, the most confident that is new and of a likely size."""
    new: list[CroppedMask] = []
    scores: list[float] = []
    for start in range(0, len(points), engine.chunk_size):
        chunk = points[start : start + engine.chunk_size]
        prompts = [Prompts.create(embedding.plane_shape, points=[point]) for point in chunk]
        batch = decode_candidates(engine, embedding, prompts)
        for first in range(0, len(batch), 3):
            order = first + np.argsort(-batch.scores[first : first + 3])
            for index in order[batch.scores[order] >= MIN_SCORE].tolist():
                mask, stability = batch.crop_with_stability(index)
                if stability >= MIN_STABILITY and _is_new(mask, covered, median_area):
                    new.append(mask)
                    scores.append(float(batch.scores[index]))
                    break
    return new, scores


def _is_new(mask: CroppedMask, covered: NDArray[np.bool_], median_area: float | None) -> bool:
    area = mask.area
    typical = median_area or area
    if not 0 < area < covered.size / 2 or not 1 / AREA_RANGE <= area / typical <= AREA_RANGE:
        return False
    shared = np.count_nonzero(mask.pixels & covered[mask.window])
    return bool(shared <= MAX_COVERED * area)


def _covered(masks: Sequence[CroppedMask], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    covered = np.zeros(shape, dtype=bool)
    for mask in masks:
        covered[mask.window] |= mask.pixels
    return covered


def _median_area(masks: Sequence[CroppedMask]) -> float | None:
    return float(np.median([mask.area for mask in masks])) if masks else None
