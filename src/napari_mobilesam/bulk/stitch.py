"""Join what the tiles of a plane found: an object on a seam is one object."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from napari_mobilesam.core.geometry import Window
from napari_mobilesam.core.instances import Candidates
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import shared_pixels, touching_boxes
from napari_mobilesam.core.tiling import Tile

SAME_IOU = 0.5
"""Two tiles mean the same object if their masks overlap as much."""

SAME_SHARE = 0.5
"""A piece that a window cut belongs to what covers as much of it."""


def join(found: Sequence[Candidates], tiles: Sequence[Tile]) -> Candidates:
    """Make one set of candidates of those of all tiles of a plane.

    An object that two tiles found is kept as the one saw it whole, or else saw it better. Pieces of
    an object that is too large for any window are united.

    Parameters
    ----------
    found : sequence of Candidates
        What :func:`~.blocks.find_in_tile` found, in coordinates of the plane.
    tiles : sequence of Tile
        In the same order.

    Returns
    -------
    Candidates
        The same whatever order the tiles were computed in.
    """
    everything = Candidates.concatenated(found, tiles[0].plane_shape)
    owner = [k for k, candidates in enumerate(found) for _ in range(len(candidates))]
    boxes = [mask.box for mask in everything.masks]
    cut = np.array([tiles[k].cuts(box) for k, box in zip(owner, boxes, strict=True)], np.bool_)
    neighbours = touching_boxes(boxes)

    dropped = _duplicates(everything, owner, cut, neighbours)
    pieces = _pieces(everything, owner, cut & ~dropped, neighbours)
    groups: dict[int, list[int]] = {}
    for index in np.flatnonzero(~dropped):
        groups.setdefault(int(pieces[index]), []).append(int(index))
    kept = [
        members
        for members in groups.values()
        if len(members) > 1 or _has_owner(members[0], everything, owner, cut, tiles)
    ]
    return _united(everything, kept)


def _duplicates(
    candidates: Candidates,
    owner: Sequence[int],
    cut: NDArray[np.bool_],
    neighbours: list[list[int]],
) -> NDArray[np.bool_]:
    """Mark what another tile saw whole, or better."""
    dropped = np.zeros(len(candidates), dtype=bool)
    for index in np.lexsort((-candidates.scores, cut)):  # whole ones first, then by score
        mask = candidates.masks[index]
        for other in neighbours[index]:
            if dropped[index] or dropped[other] or owner[other] == owner[index]:
                continue
            shared, area = shared_pixels(mask, candidates.masks[other]), mask.area
            other_area = candidates.masks[other].area
            same = shared > SAME_IOU * (area + other_area - shared)
            inside = cut[other] and not cut[index] and shared > SAME_SHARE * other_area
            if (same and not (cut[index] and cut[other])) or inside:
                dropped[other] = True
    return dropped


def _pieces(
    candidates: Candidates,
    owner: Sequence[int],
    cut: NDArray[np.bool_],
    neighbours: list[list[int]],
) -> NDArray[np.intp]:
    """Group cut pieces by the object they belong to: (N,), a number for each object."""
    pairs = [
        (index, other)
        for index in np.flatnonzero(cut).tolist()
        for other in neighbours[index]
        if cut[other] and owner[other] != owner[index]
        if _agree(candidates.masks[index], candidates.masks[other])
    ]
    rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(candidates),) * 2)
    labels: NDArray[np.intp] = connected_components(graph, directed=False)[1]
    return labels


def _agree(first: CroppedMask, second: CroppedMask) -> bool:
    """Whether two pieces say the same where the windows that cut them overlap."""
    y0, x0 = max(first.y0, second.y0), max(first.x0, second.x0)
    y1, x1 = min(first.box[2], second.box[2]), min(first.box[3], second.box[3])
    areas = [_area_within(mask, (y0, x0, y1, x1)) for mask in (first, second)]
    return shared_pixels(first, second) > SAME_SHARE * max(areas)


def _area_within(mask: CroppedMask, window: Window) -> int:
    y0, x0, y1, x1 = window
    part = mask.pixels[y0 - mask.y0 : y1 - mask.y0, x0 - mask.x0 : x1 - mask.x0]
    return int(np.count_nonzero(part))


def _has_owner(
    index: int,
    candidates: Candidates,
    owner: Sequence[int],
    cut: NDArray[np.bool_],
    tiles: Sequence[Tile],
) -> bool:
    """Whether a piece without a counterpart is its own tile's to keep."""
    return not cut[index] or tiles[owner[index]].answers_for(candidates.masks[index].box)


def _united(candidates: Candidates, groups: list[list[int]]) -> Candidates:
    """One candidate a group: its masks together, with the scores of its largest piece."""
    largest = [max(group, key=lambda i: candidates.masks[i].area) for group in groups]
    chosen = candidates.take(largest)
    masks = tuple(
        mask if len(group) == 1 else union([candidates.masks[i] for i in group])
        for mask, group in zip(chosen.masks, groups, strict=True)
    )
    return Candidates(
        masks,
        chosen.scores,
        chosen.stability,
        chosen.proposals_yxyx,
        chosen.confidence,
        chosen.plane_shape,
    )


def union(masks: Sequence[CroppedMask]) -> CroppedMask:
    """Pixels that any of the masks has."""
    boxes = np.array([mask.box for mask in masks])
    (y0, x0), (y1, x1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    pixels = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for mask in masks:
        top, left = mask.y0 - y0, mask.x0 - x0
        pixels[top : top + mask.pixels.shape[0], left : left + mask.pixels.shape[1]] |= mask.pixels
    return CroppedMask(int(y0), int(x0), pixels)
