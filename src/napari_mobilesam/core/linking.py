"""Objects of neighbouring planes, or moments, linked into one object each by overlap and motion."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linear_sum_assignment

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crop_iou, crops_iou
from napari_mobilesam.core.settings import LinkSettings

VELOCITY_OVER = 3
"""Steps that the movement of an object is averaged over."""


@dataclass(eq=False)
class Chain:
    """One object, plane by plane.

    Parameters
    ----------
    last : CroppedMask
        The mask on its last plane.
    members : list of (int, int)
        Plane, and number of the mask among those of the plane; planes ascend, with gaps.
    """

    last: CroppedMask
    members: list[tuple[int, int]] = field(default_factory=list)
    _centres: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def last_plane(self) -> int:
        """Plane that the object ends on."""
        return self.members[-1][0]

    def add(self, plane: int, number: int, mask: CroppedMask) -> None:
        """Go on with a mask of a later plane."""
        self.members.append((plane, number))
        self._centres.append(centre(mask))
        self.last = mask

    def expected(self, plane: int, *, motion: bool) -> CroppedMask:
        """Last mask, moved to where the object would be on a plane at its speed until now."""
        steps = self.members[-VELOCITY_OVER - 1 :]
        if not motion or len(steps) < 2:
            return self.last
        speed = (self._centres[-1] - self._centres[-len(steps)]) / (steps[-1][0] - steps[0][0])
        return moved(self.last, speed * (plane - self.last_plane))


def link(planes: Iterable[Sequence[CroppedMask]], settings: LinkSettings) -> list[Chain]:
    """Find out which masks of a stack are one object.

    On every plane the objects known until then are paired with the masks so that the sum of their
    overlaps is greatest (Hungarian algorithm; Kuhn 1955, doi 10.1002/nav.3800020109).

    Parameters
    ----------
    planes : iterable of sequences of CroppedMask
        Masks of each plane, none of them empty; taken one plane at a time.
    settings : LinkSettings
        Overlap that is asked for, gaps, minimum extent, motion.

    Returns
    -------
    list of Chain
        In the order of their first planes; every mask is in one chain at most.
    """
    running: list[Chain] = []
    ended: list[Chain] = []
    for plane, masks in enumerate(planes):
        reach = plane - 1 - settings.max_gap
        ended += [chain for chain in running if chain.last_plane < reach]
        running = [chain for chain in running if chain.last_plane >= reach]
        known = [chain.expected(plane, motion=settings.motion) for chain in running]
        pairs = _pairs(known, masks, settings)
        for number, mask in enumerate(masks):
            if number not in pairs:
                running.append(Chain(mask))
            chain = running[pairs.get(number, -1)]
            chain.add(plane, number, mask)
    kept = [chain for chain in ended + running if len(chain.members) >= settings.min_planes]
    return sorted(kept, key=lambda chain: chain.members[0])


def _pairs(
    known: Sequence[CroppedMask], masks: Sequence[CroppedMask], settings: LinkSettings
) -> dict[int, int]:
    """Find the known object of each mask that has one."""
    pairs = _assigned(crops_iou(known, masks), max(settings.link_iou, np.finfo(float).tiny))
    if settings.max_shift:
        rest = [i for i in range(len(known)) if i not in pairs.values()]
        free = [j for j in range(len(masks)) if j not in pairs]
        near = _nearness([known[i] for i in rest], [masks[j] for j in free], settings)
        found = _assigned(near, np.finfo(float).tiny)
        pairs |= {free[j]: rest[i] for j, i in found.items()}
    return pairs


def _assigned(likeness: NDArray[np.float64], least: float) -> dict[int, int]:
    """Pair rows with columns where they are alike enough: row by column."""
    eligible = np.where(likeness >= least, likeness, 0.0)
    rows, columns = linear_sum_assignment(eligible, maximize=True)
    good = eligible[rows, columns] > 0
    return dict(zip(columns[good].tolist(), rows[good].tolist(), strict=True))


def _nearness(
    known: Sequence[CroppedMask], masks: Sequence[CroppedMask], settings: LinkSettings
) -> NDArray[np.float64]:
    """1 where an object is expected, down to 0 at ``max_shift``; 0 for other shapes, too."""
    near = np.zeros((len(known), len(masks)))
    for i, before in enumerate(known):
        for j, mask in enumerate(masks):
            way = centre(mask) - centre(before)
            close = 1 - float(np.hypot(*way)) / settings.max_shift
            if close > 0 and crop_iou(moved(before, way), mask) >= settings.link_iou:
                near[i, j] = close
    return near


def centre(mask: CroppedMask) -> NDArray[np.float64]:
    """Centroid (row, column) of a mask that is not empty."""
    rows, columns = np.nonzero(mask.pixels)
    return np.array([mask.y0 + rows.mean(), mask.x0 + columns.mean()])


def moved(mask: CroppedMask, way: NDArray[np.float64]) -> CroppedMask:
    """Mask moved by whole pixels, (rows, columns); it may leave the plane."""
    rows, columns = np.rint(way).astype(int).tolist()
    return CroppedMask(mask.y0 + rows, mask.x0 + columns, mask.pixels)


def between(first: CroppedMask, second: CroppedMask, share: float) -> CroppedMask:
    """Mask part of the way from one mask to another, by the distances to their edges.

    Shape-based interpolation (Raya and Udupa 1990, doi 10.1109/42.52980), of masks that are
    moved to a common centre first.

    Parameters
    ----------
    first, second : CroppedMask
        Masks of an object, neither of them empty.
    share : float
        How far it is from the first, in (0, 1).
    """
    way = centre(second) - centre(first)
    pair = moved(first, way * share), moved(second, -way * (1 - share))
    boxes = np.array([mask.box for mask in pair])
    (y0, x0), (y1, x1) = boxes[:, :2].min(axis=0) - 1, boxes[:, 2:].max(axis=0) + 1
    depths = []
    for mask in pair:
        inside = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        inside[mask.window[0].start - y0 :, mask.window[1].start - x0 :][
            : mask.pixels.shape[0], : mask.pixels.shape[1]
        ] = mask.pixels
        depths.append(distance_transform_edt(inside) - distance_transform_edt(~inside))
    depth = depths[0] * (1 - share) + depths[1] * share
    return CroppedMask(int(y0), int(x0), depth > 0).trim()


def within(mask: CroppedMask, plane_shape: tuple[int, int]) -> CroppedMask:
    """Part of a mask that lies in the plane."""
    y0, x0, y1, x1 = mask.box
    top, left = max(y0, 0), max(x0, 0)
    bottom, right = max(top, min(y1, plane_shape[0])), max(left, min(x1, plane_shape[1]))
    return CroppedMask(
        top, left, mask.pixels[top - y0 : bottom - y0, left - x0 : right - x0]
    ).trim()
