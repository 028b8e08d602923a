"""Where a session reads planes from, and where it writes labels to."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.core.planes import select_channels, to_rgb8
from napari_mobilesam.core.settings import Limits

PlaneKey = tuple[int, ...]
"""Index along every axis, -1 along the plane's own two, without the -1 at the end: () is a 2-D
image, (5,) plane 5 of a stack, (-1, 5) the plane across it at row 5."""


class PlaneSource(Protocol):
    """The planes of one image; read from another thread."""

    limits: Limits
    gamma: float
    channels: tuple[int, ...] | None
    """Which of the image's channels a plane has, each to be stretched by itself; None for all."""

    def plane(self, key: PlaneKey) -> NDArray[np.generic]:
        """Read a plane, (H, W) or (H, W, C)."""


class LabelPlace(Protocol):
    """An array, or a layer, that holds labels."""

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


class ArraySource:
    """Planes of an array.

    Parameters
    ----------
    image : (..., H, W) or (..., H, W, C) array
        With ``channels`` given, or three or four as the last axis's length, the last axis is
        colours.
    limits : "percentile", "dtype" or (low, high)
        Intensities that become black and white.
    channels : sequence of int, optional
        One to three channels of the last axis.
    gamma : float
        Exponent applied after the limits.
    """

    def __init__(
        self,
        image: ArrayLike,
        *,
        limits: Limits = "percentile",
        channels: Sequence[int] | None = None,
        gamma: float = 1.0,
    ) -> None:
        self.image = np.asarray(image)
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
        return self.image.shape[:-1] if self.has_channels else self.image.shape

    def plane(self, key: PlaneKey) -> NDArray[np.generic]:
        """Read a plane (H, W, C) of one to three channels."""
        return select_channels(self.image[plane_slices(key)], self.channels)


class ArrayLabels:
    """Labels in an array."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.int32) -> None:
        self.array: NDArray[np.integer[Any]] = np.zeros(shape, dtype=dtype)

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


def plane_slices(key: PlaneKey) -> tuple[int | slice, ...]:
    """Return the indices that cut a plane out of an array."""
    return tuple(slice(None) if index < 0 else index for index in key)


def shown_plane(source: PlaneSource, key: PlaneKey) -> NDArray[np.uint8]:
    """Read a plane as the networks see it: 8-bit RGB, (H, W, 3)."""
    chosen = None if source.channels is None else range(len(source.channels))
    rgb = to_rgb8(source.plane(key), source.limits, chosen)
    if source.gamma == 1.0:
        return rgb
    curve = np.rint(255 * (np.arange(256) / 255) ** source.gamma).astype(np.uint8)
    return curve[rgb]
