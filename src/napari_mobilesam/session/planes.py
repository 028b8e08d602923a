"""Where a session reads planes from, and where it writes labels to."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.core.geometry import Window
from napari_mobilesam.core.planes import select_channels, to_rgb8
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.io.images import read_image
from napari_mobilesam.io.ome_zarr import LazyPixels, open_ome_zarr

PlaneKey = tuple[int, ...]
"""Index along every axis, -1 along the plane's own two, without the -1 at the end: () is a 2-D
image, (5,) plane 5 of a stack, (-1, 5) the plane across it at row 5."""


MOST_CHANNELS = 5
"""A longer last axis is no channels."""

Planes = Mapping[PlaneKey, NDArray[np.integer[Any]]]
"""Labels of some planes."""


class PlaneSource(Protocol):
    """The planes of one image; read from another thread."""

    limits: Limits
    gamma: float
    channels: tuple[int, ...] | None
    """Which of the image's channels a plane has, each to be stretched by itself; None for all."""

    def plane(self, key: PlaneKey) -> NDArray[np.generic]:
        """Read a plane, (H, W) or (H, W, C)."""


class LabelPlace(Protocol):
    """An array, or a layer, that holds labels; ``owner`` is that one."""

    @property
    def owner(self) -> object:
        """What tells places apart."""

    @property
    def name(self) -> str:
        """What a user calls it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all planes together."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""

    def read(self, key: PlaneKey) -> NDArray[np.integer[Any]]:
        """Copy a plane, (H, W)."""

    def write(self, key: PlaneKey, edit: LabelEdit) -> object:
        """Apply an edit of a plane."""


class LabelStore(Protocol):
    """The labels of one image, in whatever place is chosen for them."""

    def read(self, key: PlaneKey) -> NDArray[np.integer[Any]]:
        """Copy a plane, (H, W)."""

    def write(self, key: PlaneKey, edit: LabelEdit) -> LabelPlace:
        """Apply an edit of a plane, and tell where that was."""

    def max_label(self) -> int:
        """Greatest label in use, 0 if there is none."""

    def put_back(self, name: str, dtype: np.dtype[Any], planes: Planes) -> LabelPlace:
        """Write into a new place that holds these planes, from now on."""


class ArraySource:
    """Planes of an array.

    Parameters
    ----------
    image : (..., H, W) or (..., H, W, C) array
        Also pixels of an OME-Zarr, of which planes are read when they are needed. With
        ``channels`` given, or three or four as the last axis's length, the last axis is colours.
    limits : "percentile", "dtype" or (low, high)
        Intensities that become black and white.
    channels : sequence of int, optional
        One to three channels of the last axis.
    gamma : float
        Exponent applied after the limits.
    """

    def __init__(
        self,
        image: ArrayLike | LazyPixels,
        *,
        limits: Limits = "percentile",
        channels: Sequence[int] | None = None,
        gamma: float = 1.0,
    ) -> None:
        self.image: Any = image if isinstance(image, LazyPixels) else np.asarray(image)
        self.limits = limits
        self.gamma = gamma
        self.channels = None if channels is None else tuple(channels)

    @property
    def has_channels(self) -> bool:
        """Whether the last axis is colours."""
        return self.channels is not None or (
            self.image.ndim >= 3 and self.image.shape[-1] in (3, 4)
        )

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the image without its colours."""
        shape: tuple[int, ...] = self.image.shape
        return shape[:-1] if self.has_channels else shape

    def _may_be_channels(self, hidden: int) -> bool:
        """Whether the last axis is left over and short, so that channels must be chosen of it."""
        return hidden == self.image.ndim - 3 and bool(self.image.shape[-1] <= MOST_CHANNELS)

    def plane(self, key: PlaneKey) -> NDArray[np.generic]:
        """Read a plane (H, W, C) of one to three channels.

        Raises
        ------
        ImageError
            If the image has no such plane.
        """
        shape = self.label_shape
        inside = all(index < length for index, length in zip(key, shape, strict=False))
        hidden = sum(index >= 0 for index in key)
        is_flat = hidden == len(shape) - 2 or self._may_be_channels(hidden)
        if not inside or len(key) > len(shape) or not is_flat:
            raise ImageError(
                f"there is no such plane in an image of shape {shape}",
                expected=f"an index for all but two axes, as {(0,) * (len(shape) - 2)}",
                got=f"{key}",
                remedy="Go to a plane with go_to.",
            )
        return select_channels(self.image[plane_slices(key)], self.channels)


def open_pixels(
    path: str | PathLike[str], channels: Sequence[int] | None = None
) -> LazyPixels | NDArray[np.generic]:
    """Open an image file, or all planes of an OME-Zarr image lazily, for :class:`ArraySource`.

    Raises
    ------
    FileFormatError
        If it cannot be read.
    ImageError
        If an OME-Zarr has channels without agreed colours, and none are chosen.
    """
    if not Path(path).is_dir():
        return read_image(path).pixels
    opened = open_ome_zarr(Path(path))
    pixels = opened.pixels()
    count = pixels.shape[-1] if pixels.ndim > len(opened.axes.replace("C", "")) else 1
    if channels is None and count not in (1, 3, 4):
        raise ImageError(
            f"{path} has {count} channels without agreed colours",
            expected="a choice of channels",
            remedy="Choose one to three of them, for example channels=(0, 1).",
        )
    return pixels


class ArrayLabels:
    """Labels in an array."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.int32) -> None:
        self.array: NDArray[np.integer[Any]] = np.zeros(shape, dtype=dtype)
        self.name = "labels"

    @property
    def owner(self) -> object:
        """Itself."""
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return self.array.dtype

    def read(self, key: PlaneKey) -> NDArray[np.integer[Any]]:
        """Copy a plane, (H, W)."""
        return self.array[plane_slices(key)].copy()

    def write(self, key: PlaneKey, edit: LabelEdit) -> LabelPlace:
        """Apply an edit of a plane."""
        edit.apply_to(self.array[plane_slices(key)])
        return self

    def max_label(self) -> int:
        """Greatest label in use, 0 if there is none."""
        return int(self.array.max(initial=0))

    def put_back(self, name: str, dtype: np.dtype[Any], planes: Planes) -> LabelPlace:
        """Hold these planes and nothing else."""
        self.name, self.array = name, filled(self.array.shape, dtype, planes)
        return self


def filled(
    shape: tuple[int, ...], dtype: np.dtype[Any], planes: Planes
) -> NDArray[np.integer[Any]]:
    """Make an array of labels that holds these planes."""
    array: NDArray[np.integer[Any]] = np.zeros(shape, dtype)
    for key, plane in planes.items():
        array[plane_slices(key)] = plane
    return array


def plane_slices(key: PlaneKey) -> tuple[int | slice, ...]:
    """Return the indices that cut a plane out of an array."""
    return tuple(slice(None) if index < 0 else index for index in key)


def shown_plane(
    source: PlaneSource, key: PlaneKey, window: Window | None = None
) -> NDArray[np.uint8]:
    """Read a plane, or a window of it, as the networks see it: 8-bit RGB, (H, W, 3)."""
    chosen = None if source.channels is None else range(len(source.channels))
    rgb = to_rgb8(source.plane(key), source.limits, chosen, window)
    if source.gamma == 1.0:
        return rgb
    curve = np.rint(255 * (np.arange(256) / 255) ** source.gamma).astype(np.uint8)
    return curve[rgb]
