"""Everything mode: every object of a plane, from detector boxes or from a grid of points."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.geometry import InputFrame, Window, clip_box
from napari_mobilesam.core.instances import Candidates
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.settings import GridSettings
from napari_mobilesam.core.suppression import nms
from napari_mobilesam.inference.decode import decode_candidates, decode_objects
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.engine import Engine

Progress = Callable[[int, int], None]
"""Called with (prompts decoded, prompts in all); raise CancelledError from it to stop."""

LOGITS_A_POSITION = 4
"""Pixels of the low-resolution logits along a side of one position of the embedding."""

BOX_MARGIN = 0.25
"""A mask may leave its proposal by this fraction of the box's sides."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    mask: CroppedMask
    score: float
    stability: float
    prompt: int


def decode_proposals(
    engine: Engine,
    embedding: ImageEmbedding,
    proposals: Proposals,
    progress: Progress | None = None,
) -> Candidates:
    """Decode one mask a box (MobileSAMv2, arXiv 2312.09579, section 3.3).

    Parameters
    ----------
    engine, embedding
        The model, and what its encoder says about the plane.
    proposals : Proposals
        Boxes to decode.
    progress : callable, optional
        Called with (done, total) before each chunk and at the end.

    Returns
    -------
    Candidates
        One a box, in the order of the boxes; a mask may be empty.
    """
    shape, boxes = embedding.plane_shape, proposals.boxes_yxyx
    prompts = [Prompts.create(shape, box=box) for box in boxes]
    windows = [_with_margin(box, embedding.frame.seen) for box in boxes]
    found: list[_Found] = []
    for chunk in _chunks(len(prompts), engine.chunk_size, progress):
        grid = [_positions(window, embedding.frame) for window in windows[chunk]]
        batch = decode_objects(engine, embedding, prompts[chunk], windows=grid)
        for i, index in enumerate(range(*chunk.indices(len(prompts)))):
            mask, stability = batch.crop_with_stability(i, windows[index])
            found.append(_Found(mask, float(batch.scores[i]), stability, index))
    return _candidates(found, boxes, proposals.confidence, shape)


def decode_grid(
    engine: Engine,
    embedding: ImageEmbedding,
    settings: GridSettings,
    progress: Progress | None = None,
    *,
    region: Window | None = None,
) -> Candidates:
    """Decode three masks at every point of a regular grid; keep the good and distinct ones.

    SAM's automatic mask generation on the whole image (arXiv 2304.02643, appendix B): filters
    on predicted IoU and stability score, then non-maximum suppression of the masks' boxes.
    With a ``region`` (y0, x0, y1, x1), only the points in it are decoded.
    """
    shape = embedding.plane_shape
    points = grid_points(shape, settings.points_per_side)
    if region is not None:
        points = points[((points >= region[:2]) & (points < region[2:])).all(axis=1)]
    prompts = [Prompts.create(shape, points=[point]) for point in points]
    found: list[_Found] = []
    for chunk in _chunks(len(prompts), engine.chunk_size, progress):
        batch = decode_candidates(engine, embedding, prompts[chunk])
        for i in np.flatnonzero(batch.scores > settings.grid_min_score):
            mask, stability = batch.crop_with_stability(int(i))
            if mask.area and stability >= settings.grid_min_stability:
                found.append(_Found(mask, float(batch.scores[i]), stability, chunk.start + i // 3))
    distinct = _suppress(found, settings.grid_nms_iou)
    return _candidates(distinct, np.tile(points, 2), np.ones(len(points), np.float32), shape)


def grid_points(plane_shape: tuple[int, int], points_per_side: int) -> NDArray[np.float64]:
    """Points (n * n, 2) as (row, column), evenly spread over a plane; fewer on a tiny one."""
    unit = (np.arange(points_per_side) + 0.5) / points_per_side
    rows, cols = (np.unique(np.minimum(unit * side, side - 1)) for side in plane_shape)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def _chunks(total: int, size: int, progress: Progress | None) -> Iterator[slice]:
    report = progress or (lambda _done, _total: None)
    for start in range(0, total, size):
        report(start, total)
        yield slice(start, start + size)
    report(total, total)


def _with_margin(box_yxyx: NDArray[np.float64], seen: Window) -> Window:
    y0, x0, y1, x1 = box_yxyx.tolist()
    rows, cols = BOX_MARGIN * (y1 - y0), BOX_MARGIN * (x1 - x0)
    return clip_box((y0 - rows, x0 - cols, y1 + rows, x1 + cols), seen)


def _positions(window: Window, frame: InputFrame) -> Window:
    """Positions of the embedding, (y0, x0, y1, x1), that a window of what is seen depends on."""
    y0, x0, y1, x1 = np.subtract(window, frame.seen[:2] * 2).tolist()
    rows, cols = frame.rows.needed_for(y0, y1), frame.columns.needed_for(x0, x1)
    return (
        rows.start // LOGITS_A_POSITION,
        cols.start // LOGITS_A_POSITION,
        -(-rows.stop // LOGITS_A_POSITION),
        -(-cols.stop // LOGITS_A_POSITION),
    )


def _suppress(found: Sequence[_Found], iou: float) -> list[_Found]:
    """Non-maximum suppression of masks by their bounding boxes, best score first."""
    boxes = np.array([item.mask.box for item in found], dtype=np.float32).reshape(-1, 4)
    scores = np.array([item.score for item in found], dtype=np.float32)
    return [found[i] for i in nms(boxes, scores, iou)]


def _candidates(
    found: Sequence[_Found],
    proposals_yxyx: NDArray[np.float64],
    confidence: NDArray[np.float32],
    plane_shape: tuple[int, int],
) -> Candidates:
    prompt = np.array([item.prompt for item in found], dtype=np.intp)
    return Candidates(
        tuple(item.mask for item in found),
        np.array([item.score for item in found], dtype=np.float32),
        np.array([item.stability for item in found], dtype=np.float32),
        proposals_yxyx[prompt],
        confidence[prompt],
        plane_shape,
    )
