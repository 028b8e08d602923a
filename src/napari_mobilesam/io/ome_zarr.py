"""Read images of an OME-Zarr lazily: multiscale images, plates and series, versions 0.1 to 0.5.

The layout is that of the specification at https://ngff.openmicroscopy.org. Of version 0.5 all
that is ours lies under the attribute ``ome``; earlier ones have no such level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.planes import check_channels
from napari_mobilesam.io.planes import PlaneSelection

if TYPE_CHECKING:  # zarr takes as long to import as a small plane to embed
    import zarr

ZarrFormat = Literal[2, 3]

EARLY_AXES = ("t", "c", "z", "y", "x")
"""Axes of version 0.1 and 0.2, which do not tell them."""

MICROMETRES = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
"""Micrometres in the units of length that the specification names and microscopes use."""

_MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_DEEPEST = 4
"""Folders between a plate and an image of it, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class OmeZarrImage:
    """A multiscale image of which no pixel has been read.

    Parameters
    ----------
    path : Path
        The image's group.
    zarr_format : 2 or 3
        3 from version 0.5 on.
    axes : str
        One letter an axis, ``T``, ``C``, ``Z``, ``Y``, ``X``; ``Q`` for any other.
    levels : tuple of zarr.Array
        The pyramid, full resolution first.
    multiscale : mapping
        What the file says about it: ``axes``, ``datasets``, ``coordinateTransformations``.
    """

    path: Path
    zarr_format: ZarrFormat
    axes: str
    levels: tuple[zarr.Array[Any], ...]
    multiscale: Mapping[str, Any]

    def pixels(self, level: int = 0, channels: Sequence[int] | None = None) -> LazyPixels:
        """Give all planes of a level, shape (..., H, W) or (..., H, W, C)."""
        index = tuple(slice(None) for _ in self.axes)
        return LazyPixels(self.levels[level], PlaneSelection(self.axes, index), channels)

    def plane(
        self, plane: Sequence[int] | None = None, channels: Sequence[int] | None = None
    ) -> LazyPlane:
        """Give a plane at full resolution; nothing is read before it is cut out.

        Parameters
        ----------
        plane : sequence of int, optional
            One number for each axis of the stack that is longer than one.
        channels : sequence of int, optional
            The channels to give, in this order; all if not given.

        Raises
        ------
        FileFormatError
            If the numbers name no plane.
        SettingsError
            If there are no such channels.
        """
        selection = self.select(plane)
        return LazyPlane(LazyPixels(self.levels[0], selection, channels), self.pixel_size_um())

    def select(self, plane: Sequence[int] | None) -> PlaneSelection:
        """Find where a plane lies in each of the levels."""
        return PlaneSelection.choose(
            self.path, self.axes, self.levels[0].shape, plane, max_pixels=None
        )

    def pixel_size_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel at full resolution, in micrometres, if the file tells."""
        described = self.multiscale.get("axes", EARLY_AXES)
        parts = (self.multiscale["datasets"][0], self.multiscale)
        scales = [scale for scale in map(_scale_of, parts) if scale]
        sizes = []
        for at in (self.axes.index("Y"), self.axes.index("X")):
            axis = described[at] if isinstance(described[at], Mapping) else {}
            factor = MICROMETRES.get(str(axis.get("unit")), 0.0) if scales else 0.0
            sizes.append(factor * float(np.prod([scale[at] for scale in scales])))
        return (sizes[0], sizes[1]) if min(sizes) > 0 else None


class LazyPixels:
    """Pixels of an OME-Zarr with their channels last; only what is cut out is read.

    It can be sliced like an array, by whole numbers and slices, and made one by ``np.asarray``.

    Parameters
    ----------
    array : zarr.Array
        What is stored.
    selection : PlaneSelection
        Letters of its axes, and the position along those that do not appear.
    channels : sequence of int, optional
        The channels that appear, in this order; all if not given.
    """

    def __init__(
        self,
        array: zarr.Array[Any],
        selection: PlaneSelection,
        channels: Sequence[int] | None = None,
    ) -> None:
        self._array = array
        self._fixed = selection.index
        free = [i for i, at in enumerate(selection.index) if isinstance(at, slice)]
        self._channel_axis = selection.axes.find("C")
        self._axes = [i for i in free if i != self._channel_axis]
        self._channels: list[int] | None = None
        count = array.shape[self._channel_axis] if self._channel_axis >= 0 else 1
        if channels is not None:
            self._channels = check_channels(channels, count)
        elif count > 1:
            self._channels = list(range(count))
        self.dtype = np.dtype(array.dtype).newbyteorder("=")

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, channels last."""
        lengths = [self._array.shape[axis] for axis in self._axes]
        return (*lengths, *([] if self._channels is None else [len(self._channels)]))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of the chunks in which the array is stored, along all of its axes."""
        return tuple(self._array.chunks)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        """Read a part."""
        given = key if isinstance(key, tuple) else (key,)
        keys = [at if isinstance(at, slice) else int(at) for at in given]
        keys += [slice(None)] * (self.ndim - len(keys))
        index: list[Any] = list(self._fixed)
        for axis, at in zip(self._axes, keys, strict=False):
            index[axis] = at
        if self._channel_axis >= 0:
            index[self._channel_axis] = (
                0 if self._channels is None else np.array(self._channels)[keys[-1]]
            )
        found = np.asarray(self._array.oindex[tuple(index)]).astype(self.dtype, copy=False)
        if self._channels is None or isinstance(keys[-1], int):
            return found
        if self._channel_axis < 0:
            return found[..., np.newaxis][..., keys[-1]]
        before = sum(not isinstance(at, int) for at in index[: self._channel_axis])
        return np.moveaxis(found, before, -1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        """Read everything."""
        return np.array(self[()], dtype=dtype, copy=copy if copy else None)


@dataclass(frozen=True, slots=True, eq=False)
class LazyPlane:
    """A plane of an OME-Zarr.

    Parameters
    ----------
    pixels : LazyPixels
        (H, W), or (H, W, C).
    pixel_size_um : (float, float) or None
        Height and width of a pixel in micrometres, if the file tells.
    """

    pixels: LazyPixels
    pixel_size_um: tuple[float, float] | None = None


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder that zarr has written."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def open_ome_zarr(path: Path) -> OmeZarrImage:
    """Open a multiscale image; of several in one group the first.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    group = _open_group(path)
    described = _ome(group).get("multiscales")
    if not described:
        raise FileFormatError(
            f"{path} is no OME-Zarr image",
            expected="a group with the attribute multiscales",
            got=", ".join(_ome(group)) or "no attribute",
        )
    multiscale = described[0]
    levels = tuple(group[str(part["path"])] for part in multiscale["datasets"])
    axes = _letters(multiscale.get("axes", EARLY_AXES))
    if any(len(level.shape) != len(axes) for level in levels):
        raise FileFormatError(
            f"{path} contradicts itself",
            expected=f"arrays with axes {axes}",
            got=", ".join(str(level.shape) for level in levels),
        )
    return OmeZarrImage(path, group.metadata.zarr_format, axes, levels, multiscale)


def find_fields(path: Path) -> list[Path]:
    """List the images that an OME-Zarr holds.

    Parameters
    ----------
    path : Path
        An image; a plate, for every field of every well; a well, for its fields; or several
        series, as bioformats2raw writes them. Anything else stands for itself.

    Raises
    ------
    FileFormatError
        If a plate or a well contradicts itself.
    """
    try:
        return list(_fields(path))
    except FileFormatError:
        raise
    except Exception as error:  # zarr raises whatever damaged metadata lead it to
        raise FileFormatError(
            f"{path} cannot be read as OME-Zarr", got=f"{type(error).__name__} ({error})"
        ) from error


def name_within_zarr(path: Path) -> str:
    """Name an image by the parts of its path from the outermost zarr group on, as PLATE_A_1_0."""
    parents = [path, *list(path.absolute().parents)[:_DEEPEST]]
    outermost = max((i for i, parent in enumerate(parents) if is_zarr(parent)), default=0)
    parts = [folder.name for folder in parents[outermost::-1]]
    return "_".join([Path(parts[0]).stem, *parts[1:]])


def signature(path: Path) -> tuple[int, int]:
    """Size and time of last change, in nanoseconds, of an image's full resolution."""
    try:
        folder = path / str(_ome(_open_group(path))["multiscales"][0]["datasets"][0]["path"])
    except Exception:  # what cannot be read is done again
        folder = path
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _fields(path: Path) -> Iterator[Path]:
    attributes = _ome(_open_group(path)) if is_zarr(path) else {}
    if "multiscales" in attributes:
        yield path
    elif "plate" in attributes:
        for well in attributes["plate"]["wells"]:
            yield from _fields(_inside(path, well["path"]))
    elif "well" in attributes:
        for image in attributes["well"]["images"]:
            yield _inside(path, image["path"])
    elif "bioformats2raw.layout" in attributes:
        for series in _series(path):
            yield _inside(path, series)
    else:
        yield path


def _series(path: Path) -> list[str]:
    listed = _ome(_open_group(path / "OME")).get("series") if is_zarr(path / "OME") else None
    if listed:
        return [str(name) for name in listed]
    numbers = [int(folder.name) for folder in path.iterdir() if folder.name.isdecimal()]
    return [str(number) for number in sorted(numbers)]


def _inside(path: Path, relative: object) -> Path:
    parts = Path(str(relative)).parts
    if not parts or ".." in parts or Path(str(relative)).is_absolute():
        raise FileFormatError(f"{path} contradicts itself", got=f"a part at {relative!r}")
    return path.joinpath(*parts)


def _open_group(path: Path) -> Any:
    import zarr

    if not is_zarr(path):
        raise FileFormatError(f"{path} is no OME-Zarr", expected="a folder with a zarr group")
    found = zarr.open(str(path), mode="r", use_consolidated=False)
    if not isinstance(found, zarr.Group):
        raise FileFormatError(
            f"{path} is no OME-Zarr image",
            expected="a group with the attribute multiscales",
            got=f"an array of shape {found.shape}",
            remedy="Name the folder above it.",
        )
    return found


def _ome(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    return dict(attributes.get("ome", attributes))


def _letters(axes: Sequence[Any]) -> str:
    names = [axis if isinstance(axis, str) else str(axis["name"]) for axis in axes]
    kinds = [None if isinstance(axis, str) else axis.get("type") for axis in axes]
    known = {"channel": "C", "time": "T"}
    letters = "".join(
        known.get(str(kind)) or (name.upper() if name.lower() in "tczyx" else "Q")
        for name, kind in zip(names, kinds, strict=True)
    )
    if "YX" not in letters:
        raise FileFormatError("this OME-Zarr shows no plane", expected="axes y, x", got=str(names))
    return letters


def _scale_of(part: Mapping[str, Any]) -> list[float] | None:
    for transformation in part.get("coordinateTransformations") or []:
        if transformation.get("type") == "scale":
            return [float(number) for number in transformation["scale"]]
    return None
