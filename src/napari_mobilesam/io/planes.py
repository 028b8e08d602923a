"""One plane out of a file's axes, with its channels last."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError

MAX_PIXELS = 178_956_970
"""Largest plane that is decoded unasked, in pixels; above it Pillow refuses an image, too."""

MAX_CHANNELS = 5
"""A plane of so many channels may be as large; of more, it must have fewer pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class ImagePlane:
    """A plane as it was read from a file.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) array
        Intensities as stored.
    pixel_size_um : (float, float) or None
        Height and width of a pixel in micrometres, if the file tells.
    """

    pixels: NDArray[np.generic]
    pixel_size_um: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class PlaneSelection:
    """Where a plane lies in an array of many axes.

    Parameters
    ----------
    axes : str
        One letter an axis as tifffile names them; ``Y`` and ``X`` span the plane, ``S``
        (samples) or else ``C`` (channels) are its channels, all others are those of a stack.
    index : tuple of int or slice
        One number for each axis of the stack, a full slice for each axis of the plane.
    """

    axes: str
    index: tuple[int | slice, ...]

    @classmethod
    def choose(
        cls,
        name: object,
        axes: str,
        shape: Sequence[int],
        plane: Sequence[int] | None,
        max_pixels: int | None,
    ) -> "PlaneSelection":
        """Find the plane that the numbers in ``plane`` name.

        Parameters
        ----------
        name : object
            The file, for messages.
        axes, shape
            Letters and lengths of the array's axes.
        plane : sequence of int, optional
            One number for each axis of the stack that is longer than one.
        max_pixels : int or None
            Largest plane to be decoded; None for any.

        Raises
        ------
        FileFormatError
            If there is no plane, it is too large, or the numbers do not name one.
        """
        if not {"Y", "X"} <= set(axes):
            raise FileFormatError(
                f"{name} holds no image", expected="axes Y and X", got=f"axes {axes}"
            )
        lengths = dict(zip(axes, shape, strict=True))
        in_plane = {"Y", "X", "S" if "S" in axes else "C"}
        channels = prod(shape[i] for i, axis in enumerate(axes) if axis in in_plane - {"Y", "X"})
        check_size(name, (lengths["Y"], lengths["X"]), max_pixels, channels)
        stacked = [i for i, axis in enumerate(axes) if axis not in in_plane and shape[i] != 1]
        _check_numbers(name, axes, [shape[i] for i in stacked], stacked, plane)
        numbers = dict(zip(stacked, plane or (), strict=True))
        index = (
            slice(None) if axis in in_plane else numbers.get(i, 0) for i, axis in enumerate(axes)
        )
        return cls(axes, tuple(index))

    def channels_last(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Order the axes of a selected plane as (H, W) or (H, W, C)."""
        kept = [axis for axis, at in zip(self.axes, self.index, strict=True) if at == slice(None)]
        order = [kept.index("Y"), kept.index("X")]
        order += [i for i in range(len(kept)) if i not in order]
        plane = pixels.transpose(order)
        return plane[..., 0] if plane.ndim == 3 and plane.shape[-1] == 1 else plane


def check_size(
    name: object, shape: tuple[int, int], max_pixels: int | None = MAX_PIXELS, channels: int = 1
) -> None:
    """Refuse a plane that a file claims to hold, before memory is asked for.

    Parameters
    ----------
    name : object
        The file, for the message.
    shape : (int, int)
        Height and width.
    max_pixels : int or None
        Pixels that are allowed; None for any number.
    channels : int
        Values of a pixel; more than ``MAX_CHANNELS`` count for as many more pixels.

    Raises
    ------
    FileFormatError
        If it is larger.
    """
    height, width = shape
    if max_pixels is None or height * width * max(1, channels / MAX_CHANNELS) <= max_pixels:
        return
    raise FileFormatError(
        f"{name} is too large",
        expected=f"at most {max_pixels:,} pixels",
        got=f"{height:,} x {width:,}" + (f" of {channels:,} channels" if channels > 1 else ""),
        remedy="If you trust the file and have the memory, raise max_pixels (--max-pixels on the "
        "command line); or look at it in tiles, as a zarr array or a memory-mapped file.",
    )


def _check_numbers(
    name: object,
    axes: str,
    lengths: Sequence[int],
    stacked: Sequence[int],
    plane: Sequence[int] | None,
) -> None:
    letters = ", ".join(axes[i].lower() for i in stacked)
    counts = " x ".join(str(length) for length in lengths)
    if not stacked and plane:
        raise FileFormatError(f"{name} is no stack", expected="no plane number", got=str(plane))
    if stacked and plane is None:
        raise FileFormatError(
            f"{name} is a stack of {counts} planes",
            expected="one plane",
            remedy=f"Choose one by its numbers ({letters}), on the command line with --plane.",
        )
    if plane is not None and (
        len(plane) != len(stacked)
        or not all(0 <= n < length for n, length in zip(plane, lengths, strict=True))
    ):
        raise FileFormatError(
            f"{name} has no such plane",
            expected=f"numbers ({letters}), from 0, in a stack of {counts} planes",
            got=str(tuple(plane)),
        )
