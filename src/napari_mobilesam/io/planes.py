"""One plane out of a file's axes, with its channels last."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError

MAX_PIXELS = 178_956_970
"""Largest plane that is decoded, in pixels; the limit above which Pillow refuses an image."""


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
        *,
        is_read_at_once: bool = True,
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
        is_read_at_once : bool
            Whether the plane must not be larger than what is decoded.

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
        if is_read_at_once:
            check_size(name, lengths["Y"], lengths["X"])
        in_plane = {"Y", "X", "S" if "S" in axes else "C"}
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


def check_size(name: object, height: int, width: int) -> None:
    """Refuse a plane that is larger than what is decoded.

    Raises
    ------
    FileFormatError
        If it is.
    """
    if height * width > MAX_PIXELS:
        raise FileFormatError(
            f"{name} is too large",
            expected=f"at most {MAX_PIXELS:,} pixels",
            got=f"{height:,} x {width:,}",
            remedy="Cut it into tiles or reduce its resolution.",
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
