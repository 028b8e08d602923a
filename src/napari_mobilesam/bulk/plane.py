"""Segment a plane of any size within bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.bulk.blocks import Recipe, find_in_tile, find_on_worker
from napari_mobilesam.bulk.stitch import join
from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.instances import Candidates
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import visible_parts
from napari_mobilesam.core.planes import intensity_limits
from napari_mobilesam.core.settings import EverythingSettings, Limits
from napari_mobilesam.core.tiling import Tile, plan_tiles
from napari_mobilesam.io.images import open_image
from napari_mobilesam.io.ome_zarr import LazyPixels
from napari_mobilesam.zoo.catalog import get_card

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 1024
"""Side of the chunks of the label image, in pixels."""

SAMPLES = 2_000_000
"""Pixels, spread over the plane, that its intensity limits are taken from."""

IN_FLIGHT = 2
"""Tiles that wait at each worker of a cluster, so that none is idle and memory is bounded."""

MAX_PLANE_PIXELS = 10**12
"""Largest plane that is looked at unasked; a small file may claim any size."""

MAX_CHUNK_BYTES = 2**32
"""Largest chunk that a tile may need whole."""

Progress = Callable[[int, int], None]


class Plane(Protocol):
    """An array of (H, W) or (H, W, C) that gives its parts: numpy, zarr, dask, memory-mapped."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and, if there are several, channels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the intensities."""

    def __getitem__(self, key: Any) -> Any:
        """Cut out a part."""


@dataclass(frozen=True, slots=True, eq=False)
class LargeInstances:
    """The objects found in a large plane.

    Parameters
    ----------
    labels : zarr.Array or (H, W) int32 array
        0 is background; instances are numbered from 1 without gaps, best score first.
    table : pandas.DataFrame
        One row an instance: ``label``, ``score``, ``stability``, ``confidence``, ``area`` (visible
        pixels), the half-open bounding box ``y0 x0 y1 x1`` of the whole mask, ``centroid_y``,
        ``centroid_x``.
    """

    labels: zarr.Array[Any] | NDArray[np.int32]
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)


def segment_large(
    image: Plane | str | PathLike[str],
    *,
    model: str | MobileSAM = "micro",
    output: str | PathLike[str] | None = None,
    tile: int = 1024,
    margin: int = 128,
    settings: EverythingSettings | None = None,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    plane: Sequence[int] | None = None,
    input_size: InputSize | None = None,
    device: str = "auto",
    threads: int | None = None,
    client: Any = None,
    progress: Progress | None = None,
    max_pixels: int | None = MAX_PLANE_PIXELS,
    **changes: object,
) -> LargeInstances:
    """Find every object of a plane of any size, tile by tile.

    Intensity limits are those of the whole plane, tiles that show nothing are skipped, and
    objects on the seams are found whole: each tile answers for the objects whose centre is in its
    middle, and sees ``margin`` pixels more on every side. Larger objects are put together from
    their pieces. Memory holds a tile, the masks that were found, and not the plane.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, or path-like
        Anything that can be sliced: numpy, zarr, dask, or a memory-mapped file; or an image file
        or an OME-Zarr image, of which tiles are read as they are looked at.
    model : str or MobileSAM
        Name or path of a model, or a loaded one, whose input size and device then count. The
        workers of a cluster load it by its name.
    output : path-like, optional
        Folder of a zarr array that the labels are written to, replaced if it exists; without it
        they are a numpy array in memory.
    tile, margin : int
        Side of a tile with its margins, and the margin, in pixels. A tile is resized to the
        encoder's input: smaller tiles show small objects larger.
    settings : EverythingSettings, optional
        How objects are found; the model's own if not given. ``max_objects`` counts for each tile.
    limits, channels
        As for :meth:`~napari_mobilesam.api.MobileSAM.embed`; percentiles are those of a sample.
    plane : sequence of int, optional
        Which plane of a stack, if a path is given; see
        :func:`~napari_mobilesam.io.images.read_image`.
    input_size, device, threads
        As for :class:`~.blocks.Recipe`.
    client : dask.distributed.Client, optional
        Cluster to compute the tiles on; what a lost worker had is computed again by another.
    progress : callable, optional
        Called with (tiles done, tiles in all). Raise
        :class:`~napari_mobilesam.core.errors.CancelledError` from it to stop.
    max_pixels : int, optional
        Largest plane; None lifts this limit, and that on the chunks of a zarr array.
    **changes
        Single fields of :class:`EverythingSettings` to change.

    Returns
    -------
    LargeInstances
        Labels and table.

    Raises
    ------
    ImageError
        If the array is no plane, or claims to be larger than ``max_pixels``.
    FileFormatError
        If the image at a path cannot be read.
    SettingsError
        If a parameter is out of range.
    """
    if isinstance(image, str | PathLike):
        image = open_image(image, plane=plane, channels=channels).pixels
        channels = None if channels is None else range(len(channels))
    check_plane(image, max_pixels)
    shape = image.shape[0], image.shape[1]
    tiles = plan_tiles(shape, tile, margin)
    if isinstance(model, MobileSAM):
        name, input_size, default = model.card.name, model.input_size, model.default_settings()
    else:
        name, default = model, get_card(model).everything
    chosen = (settings or default).changed(**changes)
    recipe = Recipe(
        name,
        chosen,
        plane_limits(image, limits),
        None if channels is None else tuple(channels),
        input_size,
        device,
        threads,
    )
    if client is None:
        sam = model
        if not isinstance(sam, MobileSAM):
            sam = load_model(sam, input_size=input_size, device=device)
        compute = _here(sam, image, recipe)
    else:
        compute = _on(client, image, recipe)
    found = _by_tile(compute(tiles), len(tiles), progress)
    candidates = join(found, tiles)
    kept, visible = visible_parts(candidates, chosen)
    labels = write_labels(visible, shape, output)
    return LargeInstances(labels, describe(candidates.take(kept.tolist()), visible))


def check_plane(image: Plane, max_pixels: int | None = MAX_PLANE_PIXELS) -> None:
    """Refuse an array that is no plane, or claims what would fill the memory.

    Raises
    ------
    ImageError
        If it is, or does.
    """
    if len(image.shape) not in (2, 3) or 0 in image.shape:
        raise ImageError(
            "this array is no plane",
            expected="(H, W) or (H, W, C)",
            got=f"shape {tuple(image.shape)}",
            remedy="Take one plane of a stack.",
        )
    if max_pixels is not None and image.shape[0] * image.shape[1] > max_pixels:
        raise ImageError(
            "this array claims to be larger than any image",
            expected=f"at most {max_pixels:,} pixels",
            got=f"shape {tuple(image.shape)}",
            remedy="If it is that large, raise max_pixels.",
        )
    chunk = image.chunks if isinstance(image, zarr.Array | LazyPixels) else ()
    if max_pixels is not None and prod(chunk) * image.dtype.itemsize > MAX_CHUNK_BYTES:
        raise ImageError(
            "this array claims chunks that fill the memory",
            expected=f"at most {MAX_CHUNK_BYTES:,} bytes",
            got=f"chunks of {chunk}",
            remedy="Write it again in smaller chunks, or set max_pixels=None.",
        )


def segment_dask(array: Any, **options: Any) -> Any:
    """Find every object of a dask array, and give the labels as one.

    Parameters
    ----------
    array : dask.array.Array
        (H, W) or (H, W, C); its blocks are computed when their tiles are looked at.
    **options
        As for :func:`segment_large`; with ``output`` the labels stay on disk.

    Returns
    -------
    dask.array.Array
        (H, W) int32 labels in the array's own chunks; all objects have been found already, as
        one on a seam is known only when both sides are.
    """
    import dask.array as da

    found = segment_large(array, **options)
    return da.from_array(found.labels, chunks=array.chunks[:2])


def plane_limits(image: Plane, limits: Limits) -> tuple[float, float]:
    """Intensity limits of a plane, from rows and columns spread over all of it."""
    if limits == "percentile":
        step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / SAMPLES)))
        band = max(1, CHUNK // step) * step  # so that stored chunks are decoded once
        starts = range(step // 2, image.shape[0], band)
        bands = [np.asarray(image[y : y + band : step, step // 2 :: step]) for y in starts]
        return intensity_limits(np.concatenate(bands), limits)
    return intensity_limits(np.zeros((1, 1), image.dtype), limits)


def write_labels(
    visible: Sequence[CroppedMask], shape: tuple[int, int], output: str | PathLike[str] | None
) -> zarr.Array[Any] | NDArray[np.int32]:
    """Write masks that share no pixel as a label image, chunk by chunk.

    Parameters
    ----------
    visible : sequence of CroppedMask
        Mask i is written as label i + 1.
    shape : tuple of int
        Height and width of the plane.
    output : path-like, optional
        Where to write a zarr array; a numpy array is returned without it.
    """
    labels: zarr.Array[Any] | NDArray[np.int32]
    if output is None:
        labels = np.zeros(shape, np.int32)
    else:
        chunks = min(CHUNK, shape[0]), min(CHUNK, shape[1])
        labels = zarr.create_array(
            str(output), shape=shape, chunks=chunks, dtype=np.int32, overwrite=True
        )
    for (row, column), numbers in _by_chunk(visible).items():
        y0, x0 = row * CHUNK, column * CHUNK
        block = np.zeros((min(CHUNK, shape[0] - y0), min(CHUNK, shape[1] - x0)), np.int32)
        for number in numbers:
            _paint_into(block, y0, x0, visible[number], number + 1)
        labels[y0 : y0 + block.shape[0], x0 : x0 + block.shape[1]] = block
    return labels


def describe(candidates: Candidates, visible: Sequence[CroppedMask]) -> pd.DataFrame:
    """Tabulate instances, in the order of their labels."""
    import pandas as pd

    boxes = np.array([mask.box for mask in visible], dtype=np.int64).reshape(-1, 4)
    centres = [_centre(mask) for mask in visible]
    columns = {
        "label": np.arange(1, len(visible) + 1),
        "score": candidates.scores,
        "stability": candidates.stability,
        "confidence": candidates.confidence,
        "area": np.array([mask.area for mask in visible], dtype=np.int64),
        **dict(zip(("y0", "x0", "y1", "x1"), boxes.T, strict=True)),
        "centroid_y": [centre[0] for centre in centres],
        "centroid_x": [centre[1] for centre in centres],
    }
    return pd.DataFrame(columns)


def _here(
    sam: MobileSAM, image: Plane, recipe: Recipe
) -> Callable[[Sequence[Tile]], Iterator[Any]]:
    """Compute tiles in this process, one after the other."""

    def compute(tiles: Sequence[Tile]) -> Iterator[tuple[int, Candidates]]:
        for number, tile in enumerate(tiles):
            yield number, find_in_tile(sam, np.asarray(image[tile.slices]), tile, recipe)

    return compute


def _on(client: Any, image: Plane, recipe: Recipe) -> Callable[[Sequence[Tile]], Iterator[Any]]:
    """Compute tiles on a cluster, as many at a time as it has work for."""
    from distributed import as_completed

    def submit(tile: Tile) -> Any:
        pixels = np.asarray(image[tile.slices])
        return client.submit(find_on_worker, pixels, tile, recipe, pure=False)

    def compute(tiles: Sequence[Tile]) -> Iterator[tuple[int, Candidates]]:
        waiting = iter(enumerate(tiles))
        workers = max(1, len(client.scheduler_info()["workers"]))
        numbers = {submit(tile): n for n, tile in islice(waiting, IN_FLIGHT * workers)}
        running = as_completed(list(numbers))
        for future in running:
            yield numbers.pop(future), future.result()
            for number, tile in islice(waiting, 1):
                following = submit(tile)
                numbers[following] = number
                running.add(following)

    return compute


def _by_tile(
    done: Iterable[tuple[int, Candidates]], total: int, progress: Progress | None
) -> list[Candidates]:
    """Collect what comes in any order, reporting how much has come."""
    report = progress or (lambda _done, _total: None)
    report(0, total)
    found: dict[int, Candidates] = {}
    for number, candidates in done:
        found[number] = candidates
        report(len(found), total)
    return [found[number] for number in range(total)]


def _by_chunk(visible: Sequence[CroppedMask]) -> dict[tuple[int, int], list[int]]:
    chunks: dict[tuple[int, int], list[int]] = {}
    for number, mask in enumerate(visible):
        y0, x0, y1, x1 = mask.box
        for row in range(y0 // CHUNK, (y1 - 1) // CHUNK + 1):
            for column in range(x0 // CHUNK, (x1 - 1) // CHUNK + 1):
                chunks.setdefault((row, column), []).append(number)
    return chunks


def _paint_into(block: NDArray[np.int32], y0: int, x0: int, mask: CroppedMask, label: int) -> None:
    top, left = max(mask.y0, y0), max(mask.x0, x0)
    bottom, right = min(mask.box[2], y0 + block.shape[0]), min(mask.box[3], x0 + block.shape[1])
    pixels = mask.pixels[top - mask.y0 : bottom - mask.y0, left - mask.x0 : right - mask.x0]
    block[top - y0 : bottom - y0, left - x0 : right - x0][pixels] = label


def _centre(mask: CroppedMask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask.pixels)
    return mask.y0 + float(rows.mean()), mask.x0 + float(columns.mean())
