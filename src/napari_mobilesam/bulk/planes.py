"""The planes of a stack, one at a time."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.core.planes import intensity_limits
from napari_mobilesam.core.settings import Limits

SAMPLED_PLANES = 8
"""Planes, spread over the stack, that its intensity limits are taken from."""

SAMPLES = 250_000
"""Pixels that are taken from each of them."""


class Stack(Protocol):
    """An array of (P, H, W) or (P, H, W, C) that gives its parts: numpy, zarr, dask, on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Planes, height, width and, if there are several, channels."""

    def __getitem__(self, key: Any) -> Any:
        """Cut out a part."""


class Planes(Protocol):
    """Planes in order, each read when it is asked for."""

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of a plane."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int, /) -> NDArray[np.generic]:
        """Read a plane, (H, W) or (H, W, C)."""


class StackPlanes:
    """Planes of an array.

    Parameters
    ----------
    stack : (P, H, W) or (P, H, W, C) array
        Anything that can be sliced.
    axis : int
        Where the planes lie one after the other: 0, 1 or 2.

    Raises
    ------
    ImageError
        If the array is no stack, or has no such axis.
    """

    def __init__(self, stack: Stack, axis: int = 0) -> None:
        if len(stack.shape) not in (3, 4) or 0 in stack.shape or axis not in range(3):
            raise ImageError(
                "this array is no stack along this axis",
                expected="(P, H, W) or (P, H, W, C), and axis 0, 1 or 2",
                got=f"shape {tuple(stack.shape)} and axis {axis}",
                remedy="Take one channel or one moment of a larger array.",
            )
        self._stack = stack
        self._before = (slice(None),) * axis
        self._count = stack.shape[axis]
        height, width = (n for i, n in enumerate(stack.shape[:3]) if i != axis)
        self.plane_shape = (height, width)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> NDArray[np.generic]:
        """Read a plane, (H, W) or (H, W, C)."""
        return np.asarray(self._stack[(*self._before, index)])


def shared_limits(planes: Planes, limits: Limits) -> tuple[float, float]:
    """Intensities that become black and white on all planes.

    A plane with nothing on it keeps its noise dark this way.
    """
    if limits != "percentile":
        return intensity_limits(planes[0], limits)
    count = min(SAMPLED_PLANES, len(planes))
    chosen = np.linspace(0, len(planes) - 1, count).round().astype(int)
    return intensity_limits(np.concatenate([_sample(planes[i]) for i in chosen.tolist()]), limits)


def _sample(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    step = max(1, int(np.sqrt(plane.shape[0] * plane.shape[1] / SAMPLES)))
    return plane[step // 2 :: step, step // 2 :: step].ravel()
