"""Segment a stack or a time series: everything on each plane, linked into objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.bulk.blocks import Recipe, find_in_tile
from napari_mobilesam.bulk.files import MARGIN_SHARE
from napari_mobilesam.bulk.plane import CHUNK
from napari_mobilesam.bulk.planes import Planes, Stack, StackPlanes, shared_limits
from napari_mobilesam.bulk.stitch import join
from napari_mobilesam.core.linking import Chain, between, centre, link, within
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import visible_parts
from napari_mobilesam.core.settings import EverythingSettings, Limits, LinkSettings
from napari_mobilesam.core.tiling import Tile, plan_tiles

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "label",
    "planes",
    "first",
    "last",
    "filled",
    "volume",
    "score",
    "y0",
    "x0",
    "y1",
    "x1",
    "centroid_plane",
    "centroid_y",
    "centroid_x",
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class PlaneObjects:
    """What everything mode has found on a plane.

    Parameters
    ----------
    masks : tuple of CroppedMask
        Visible parts, which share no pixel.
    scores : (N,) float32 array
        Predicted IoU of each.
    """

    masks: tuple[CroppedMask, ...]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class StackInstances:
    """The objects found in a stack or a time series.

    Parameters
    ----------
    labels : zarr.Array or int32 array
        Of the stack's shape without its channels; 0 is background. Objects are numbered from 1
        without gaps, in the order of their first planes.
    table : pandas.DataFrame
        One row an object: ``label``, ``planes`` (on which it is), ``first`` and ``last`` plane,
        ``filled`` (planes of these that a gap was closed on), ``volume`` (pixels on all planes),
        ``score`` (mean predicted IoU), the half-open box ``y0 x0 y1 x1`` around it on all planes,
        and its centre: ``centroid_plane``, ``centroid_y``, ``centroid_x``.
    tracks : (N, 4) float64 array
        Label, plane, and centroid (row, column) of each object on each of its planes, in the
        order that napari's Tracks layer takes.
    """

    labels: zarr.Array[Any] | NDArray[np.int32]
    table: pd.DataFrame
    tracks: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.table)


def segment_stack(
    stack: Stack,
    *,
    axis: int = 0,
    model: str | MobileSAM = "micro",
    output: str | PathLike[str] | None = None,
    settings: EverythingSettings | None = None,
    linking: LinkSettings | None = None,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    tile: int | None = None,
    progress: Progress | None = None,
    **changes: object,
) -> StackInstances:
    """Find every object of a stack or a time series.

    Each plane is read and segmented by itself; its objects are linked with those of the planes
    before by overlap and motion.

    Parameters
    ----------
    stack : (P, H, W) or (P, H, W, C) array
        Anything that can be sliced: numpy, zarr, dask, or a memory-mapped file. One plane is in
        memory at a time.
    axis : int
        Where the planes lie one after the other: z or time; 0, 1 or 2.
    model : str or MobileSAM
        Name or path of a model, or a loaded one.
    output : path-like, optional
        Folder of a zarr array that the labels are written to, replaced if it exists; without it
        they are a numpy array in memory.
    settings : EverythingSettings, optional
        How objects are found on a plane; the model's own if not given.
    linking : LinkSettings, optional
        How they are linked.
    limits, channels
        As for :meth:`~napari_mobilesam.api.MobileSAM.embed`, and the same for all planes;
        percentiles are those of a sample of them.
    tile : int, optional
        Side of overlapping tiles to look at, in pixels; see :func:`~.plane.segment_large`.
    progress : callable, optional
        Called with (planes done, planes in all). Raise
        :class:`~napari_mobilesam.core.errors.CancelledError` from it to stop.
    **changes
        Single fields of :class:`EverythingSettings` or :class:`LinkSettings` to change.

    Returns
    -------
    StackInstances
        Labels, table and tracks.

    Raises
    ------
    ImageError
        If the array is no stack.
    SettingsError
        If a parameter is unknown or out of range.
    """
    sam = model if isinstance(model, MobileSAM) else load_model(model)
    of_link = {name: changes.pop(name) for name in LinkSettings.model_fields if name in changes}
    return segment_planes(
        StackPlanes(stack, axis),
        sam,
        (settings or sam.default_settings()).changed(**changes),
        (linking or LinkSettings()).changed(**of_link),
        axis=axis,
        output=output,
        limits=limits,
        channels=channels,
        tile=tile,
        progress=progress,
    )


def segment_planes(
    planes: Planes,
    sam: MobileSAM,
    settings: EverythingSettings,
    linking: LinkSettings,
    *,
    axis: int = 0,
    output: str | PathLike[str] | None = None,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    tile: int | None = None,
    progress: Progress | None = None,
) -> StackInstances:
    """Do the same with planes from anywhere; ``axis`` is theirs in the labels."""
    report = progress or (lambda _done, _total: None)
    chosen = None if channels is None else tuple(channels)
    recipe = Recipe(sam.card.name, settings, shared_limits(planes, limits), chosen)
    found: list[PlaneObjects] = []
    for index in range(len(planes)):
        report(index, len(planes))
        found.append(find_on_plane(sam, planes[index], recipe, tile))
    chains = link((objects.masks for objects in found), linking)
    objects = [_object(chain, found, planes.plane_shape) for chain in chains]
    labels = _write(objects, len(planes), planes.plane_shape, axis, output)
    report(len(planes), len(planes))
    return StackInstances(labels, _describe(objects), _tracks(objects))


def find_on_plane(
    sam: MobileSAM, pixels: NDArray[np.generic], recipe: Recipe, tile: int | None = None
) -> PlaneObjects:
    """Find every object of a plane, at once or in tiles."""
    height, width = shape = pixels.shape[0], pixels.shape[1]
    whole = (0, 0, height, width)
    tiles = [Tile(whole, whole, shape)]
    if tile is not None:
        tiles = plan_tiles(shape, tile, tile // MARGIN_SHARE)
    found = [find_in_tile(sam, pixels[part.slices], part, recipe) for part in tiles]
    candidates = join(found, tiles)
    kept, visible = visible_parts(candidates, recipe.settings)
    return PlaneObjects(tuple(mask.trim() for mask in visible), candidates.scores[kept])


@dataclass(frozen=True, slots=True, eq=False)
class _Object:
    """An object on all its planes, those of closed gaps among them."""

    masks: dict[int, CroppedMask]
    scores: tuple[float, ...]

    @property
    def filled(self) -> int:
        return len(self.masks) - len(self.scores)


def _object(chain: Chain, found: Sequence[PlaneObjects], plane_shape: tuple[int, int]) -> _Object:
    masks: dict[int, CroppedMask] = {}
    for plane, number in chain.members:
        mask = found[plane].masks[number]
        if masks:
            masks |= dict(_across(max(masks), plane, masks[max(masks)], mask, plane_shape))
        masks[plane] = mask
    scores = tuple(float(found[plane].scores[number]) for plane, number in chain.members)
    return _Object(masks, scores)


def _across(
    first: int, last: int, before: CroppedMask, after: CroppedMask, plane_shape: tuple[int, int]
) -> Iterator[tuple[int, CroppedMask]]:
    """Masks on the planes that an object is missing on."""
    for plane in range(first + 1, last):
        mask = within(between(before, after, (plane - first) / (last - first)), plane_shape)
        if mask.area:
            yield plane, mask


def _write(
    objects: Sequence[_Object],
    count: int,
    plane_shape: tuple[int, int],
    axis: int,
    output: str | PathLike[str] | None,
) -> zarr.Array[Any] | NDArray[np.int32]:
    """Write labels plane by plane; what closes a gap takes no pixel from what was found."""
    shape, chunks = list(plane_shape), [min(CHUNK, side) for side in plane_shape]
    shape.insert(axis, count)
    chunks.insert(axis, 1)
    labels: zarr.Array[Any] | NDArray[np.int32]
    if output is None:
        labels = np.zeros(shape, np.int32)
    else:
        labels = zarr.create_array(
            str(output), shape=tuple(shape), chunks=tuple(chunks), dtype=np.int32, overwrite=True
        )
    on_plane: dict[int, list[int]] = {}
    for number, found in enumerate(objects):
        for plane in found.masks:
            on_plane.setdefault(plane, []).append(number)
    for plane, numbers in on_plane.items():
        painted = np.zeros(plane_shape, np.int32)
        for number in numbers:
            mask = objects[number].masks[plane]
            part = painted[mask.window]
            part[mask.pixels & (part == 0)] = number + 1
        before: list[slice | int] = [slice(None)] * axis
        labels[(*before, plane)] = painted
    return labels


def _describe(objects: Sequence[_Object]) -> pd.DataFrame:
    import pandas as pd

    rows = [_row(label, found) for label, found in enumerate(objects, start=1)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    whole = [name for name in COLUMNS if name != "score" and not name.startswith("centroid")]
    return table.astype(dict.fromkeys(COLUMNS, np.float64) | dict.fromkeys(whole, np.int64))


def _row(label: int, found: _Object) -> tuple[float, ...]:
    planes, masks = list(found.masks), list(found.masks.values())
    boxes, areas = np.array([mask.box for mask in masks]), np.array([mask.area for mask in masks])
    middle = np.average([(p, *centre(m)) for p, m in found.masks.items()], axis=0, weights=areas)
    return (
        label,
        len(planes),
        min(planes),
        max(planes),
        found.filled,
        int(areas.sum()),
        float(np.mean(found.scores)),
        *boxes[:, :2].min(axis=0),
        *boxes[:, 2:].max(axis=0),
        *middle,
    )


def _tracks(objects: Sequence[_Object]) -> NDArray[np.float64]:
    rows = [
        (label, plane, *centre(mask))
        for label, found in enumerate(objects, start=1)
        for plane, mask in found.masks.items()
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
