"""Decode small objects of large planes where the encoder sees them larger.

The encoder's input has a side of at most 1024 pixels, and a position of its embedding stands for
16 of them: what is smaller than that in the input has hardly an outline. Such boxes are decoded in
windows of the plane, halved until the box is large enough or the plane is shown at the zoom that
smaller planes are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.geometry import ZOOM, InputFrame, Window
from napari_mobilesam.core.instances import Candidates
from napari_mobilesam.core.tiling import Tile, plan_tiles
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.engine import Engine
from napari_mobilesam.inference.everything import Progress, decode_proposals

LEAST_SIDE = 32.0
"""Boxes whose sides have a smaller geometric mean, in input pixels, are magnified: two positions of
the embedding."""

MARGIN = 1 / 8
"""A window reaches beyond its part of the plane by this share of the part's side."""

FrameOf = Callable[[Window], InputFrame]
"""Lays a window of the plane into the encoder's input."""

Embed = Callable[[InputFrame], ImageEmbedding]
"""Embeds what a frame shows of the plane."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A part of the plane, and the numbers of the boxes that are decoded in it."""

    frame: InputFrame
    boxes: NDArray[np.intp]


def decode_magnified(
    engine: Engine,
    embedding: ImageEmbedding,
    frame_of: FrameOf,
    embed: Embed,
    proposals: Proposals,
    progress: Progress | None = None,
) -> Candidates:
    """Decode one mask a box, each in the largest view that shows it large enough.

    Parameters
    ----------
    engine, embedding
        The model, and what its encoder says about the whole plane.
    frame_of, embed : callable
        How the model lays a window into its input, and embeds it. Windows without a small object
        are not embedded.
    proposals : Proposals
        Boxes to decode.
    progress : callable, optional
        Called with (done, total) before each window and each chunk, and at the end.

    Returns
    -------
    Candidates
        One a box, in the order of the boxes; a mask may be empty.
    """
    report = progress or (lambda _done, _total: None)
    found = Candidates.none(embedding.plane_shape)
    order: list[int] = []
    for view in plan_views(embedding.frame, proposals.boxes_yxyx, frame_of):
        before = len(order)
        report(before, len(proposals))
        seen = embedding if view.frame is embedding.frame else embed(view.frame)

        def advance(done: int, _: int, before: int = before) -> None:
            report(before + done, len(proposals))

        found = found.joined(decode_proposals(engine, seen, proposals[view.boxes], advance))
        order += view.boxes.tolist()
    report(len(proposals), len(proposals))
    return found.take(np.argsort(order).tolist())


def plan_views(whole: InputFrame, boxes_yxyx: NDArray[np.float64], frame_of: FrameOf) -> list[View]:
    """Choose a view for each box: the whole plane, or the first window that shows it large enough.

    A box that does not fit into its window stays where it was. The choice depends on nothing but
    the plane's size, the box and the model's input, so that a session can be repeated.

    Parameters
    ----------
    whole : InputFrame
        How the plane as a whole lies in the encoder's input.
    boxes_yxyx : (N, 4) float64 array
        Boxes (y0, x0, y1, x1) inside the plane.
    frame_of : callable
        How the model lays a window into its input.

    Returns
    -------
    list of View
        Those that any box is decoded in, larger ones first.
    """
    sides = np.sqrt(np.prod(boxes_yxyx[:, 2:] - boxes_yxyx[:, :2], axis=1))
    frames = [whole]
    chosen = np.zeros(len(boxes_yxyx), dtype=np.intp)
    scale, parts = min(whole.scale_yx), 1
    while scale < ZOOM and (small := sides * scale < LEAST_SIDE).any():
        parts *= 2
        tiles = _cut(whole.plane_shape, parts)
        for tile in tiles:
            here = small & _belong(boxes_yxyx, tile)
            if here.any():
                chosen[here] = len(frames)
                frames.append(frame_of(tile.window))
        scale = min(frame_of(tiles[0].window).scale_yx)
    views = [View(frame, np.flatnonzero(chosen == i)) for i, frame in enumerate(frames)]
    return [view for view in views if view.boxes.size]


def _cut(plane_shape: tuple[int, int], parts: int) -> list[Tile]:
    """Cut a plane's longest side into so many windows, which overlap."""
    longest = max(plane_shape)
    margin = ceil(MARGIN * longest / parts)
    step = ceil((longest - 2 * margin) / parts)
    return plan_tiles(plane_shape, step + 2 * margin, margin)


def _belong(boxes_yxyx: NDArray[np.float64], tile: Tile) -> NDArray[np.bool_]:
    """Whether the centres of boxes lie in a tile's core, and the boxes in its window."""
    low, high = boxes_yxyx[:, :2], boxes_yxyx[:, 2:]
    centre = (low + high) / 2
    at_home = (centre >= tile.core[:2]) & (centre < tile.core[2:])
    fits = (low >= tile.window[:2]) & (high <= tile.window[2:])
    return np.asarray((at_home & fits).all(axis=1))
