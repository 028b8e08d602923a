"""Where a plane lies in the encoder's square input; the only place that knows SAM's (x, y)."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Window = tuple[int, int, int, int]
"""Half-open rectangle of whole pixels, (y0, x0, y1, x1)."""

InputSize = int | tuple[int, int]
"""Side of the encoder's square input in pixels, or the least and the greatest for any plane."""

ZOOM = 1.4
"""Input pixels per plane pixel that are aimed at, where the side may be chosen."""

SIDE_STEP = 256
"""Sides are chosen in steps of so many pixels, so that few sizes occur."""


def side_for(size: InputSize, plane_shape: tuple[int, int]) -> int:
    """Choose the side of the input for a plane.

    A plane gets the side that shows it ``ZOOM`` times as large, as the decoder's logits are four
    times coarser than the input; but no less and no more than the two sides given.
    """
    if isinstance(size, int):
        return size
    least, most = size
    side = ceil(ZOOM * max(plane_shape) / SIDE_STEP) * SIDE_STEP
    return min(max(side, least), most)


@dataclass(frozen=True, slots=True)
class InputFrame:
    """The map between the pixels of a plane and the encoder's square input.

    The plane, or a window of it, is resized so that its longest side fills the input, and padded
    with zeros on the right and at the bottom (SAM, arXiv 2304.02643, appendix A, "Image encoder").

    Parameters
    ----------
    plane_shape : tuple of int
        Height and width of the plane, in pixels.
    input_size : int
        Side of the square input, in pixels; a multiple of 64.
    logits_stride : int
        Input pixels per pixel of the decoder's low-resolution logits: 4, but 1 for LiteMedSAM,
        whose encoder keeps four times the resolution.
    window : (y0, x0, y1, x1), optional
        The part of the plane that the encoder sees; all of it if not given.
    """

    plane_shape: tuple[int, int]
    input_size: int
    logits_stride: int = 4
    window: Window | None = None

    @property
    def seen(self) -> Window:
        """The part of the plane that the encoder sees."""
        return self.window or (0, 0, *self.plane_shape)

    @property
    def seen_shape(self) -> tuple[int, int]:
        """Height and width of what the encoder sees, in pixels."""
        y0, x0, y1, x1 = self.seen
        return y1 - y0, x1 - x0

    @property
    def resized_shape(self) -> tuple[int, int]:
        """Height and width of what is seen inside the input, in input pixels."""
        scale = self.input_size / max(self.seen_shape)
        height, width = (max(1, int(side * scale + 0.5)) for side in self.seen_shape)
        return height, width

    @property
    def logits_size(self) -> int:
        """Side of the decoder's square low-resolution logits."""
        return self.input_size // self.logits_stride

    @property
    def scale_yx(self) -> tuple[float, float]:
        """Input pixels per plane pixel, along rows and columns."""
        (height, width), (rows, cols) = self.seen_shape, self.resized_shape
        return rows / height, cols / width

    def points_to_input(self, points_yx: ArrayLike) -> NDArray[np.float64]:
        """Map points (..., 2) given as (row, column) to (x, y) in the input."""
        points = np.asarray(points_yx, dtype=np.float64) - self.seen[:2]
        return (points * self.scale_yx)[..., ::-1]

    def boxes_to_input(self, boxes_yxyx: ArrayLike) -> NDArray[np.float64]:
        """Map boxes (..., 4) given as (y0, x0, y1, x1) to (x0, y0, x1, y1) in the input."""
        boxes = np.asarray(boxes_yxyx, dtype=np.float64)
        corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
        return self.points_to_input(corners).reshape(boxes.shape)

    def boxes_from_input(self, boxes_xyxy: ArrayLike) -> NDArray[np.float64]:
        """Map boxes (..., 4) given as (x0, y0, x1, y1) in the input to (y0, x0, y1, x1)."""
        boxes = np.asarray(boxes_xyxy, dtype=np.float64)
        corners = boxes.reshape(*boxes.shape[:-1], 2, 2)[..., ::-1]
        return (corners / self.scale_yx + self.seen[:2]).reshape(boxes.shape)

    @property
    def rows(self) -> "AxisWeights":
        """Interpolation weights from the rows of the logits to the rows that are seen."""
        return self._axis(0)

    @property
    def columns(self) -> "AxisWeights":
        """Interpolation weights from the columns of the logits to those that are seen."""
        return self._axis(1)

    def _axis(self, axis: int) -> "AxisWeights":
        return _axis_weights(
            self.seen_shape[axis], self.resized_shape[axis], self.input_size, self.logits_size
        )


@dataclass(frozen=True, slots=True, eq=False)
class AxisWeights:
    """Linear interpolation along one axis, from low-resolution logits to plane pixels.

    Up-sampling logits is separable, so the mask of a window is
    ``rows.weights[y0:y1] @ logits @ columns.weights[x0:x1].T``. A pixel depends on one to three
    logits along an axis, which makes sparse products several times faster than dense ones; and
    these would wake the threads of numpy's BLAS, which keep the network's own from their cores
    for a while.

    Parameters
    ----------
    weights : (plane pixels, logits) sparse array of float32
        One row of weights a plane pixel, each summing to one.
    first, last : (plane pixels,) int arrays
        First and last logit that a plane pixel depends on; both never decrease.
    """

    weights: sparse.csr_array
    first: NDArray[np.intp]
    last: NDArray[np.intp]

    def pixels_touched_by(self, start: int, stop: int) -> tuple[int, int]:
        """Half-open range of plane pixels that depend on the logits ``start:stop``."""
        begin = int(np.searchsorted(self.last, start, side="left"))
        end = int(np.searchsorted(self.first, stop - 1, side="right"))
        return begin, max(begin, end)

    def needed_for(self, begin: int, end: int) -> slice:
        """Logits that the plane pixels ``begin:end`` depend on."""
        return slice(int(self.first[begin]), int(self.last[end - 1]) + 1)

    def window(self, begin: int, end: int) -> tuple[slice, sparse.csr_array]:
        """Logits that the plane pixels ``begin:end`` depend on, and their weights."""
        logits = self.needed_for(begin, end)
        return logits, self.weights[begin:end, logits]


@lru_cache(maxsize=16)
def _axis_weights(
    plane_side: int, resized_side: int, input_size: int, logits_size: int
) -> AxisWeights:
    """Weights of SAM's two resizings: logits to input, then input without padding to plane."""
    to_input = _linear_weights(input_size, logits_size)[:resized_side]
    weights = (_linear_weights(plane_side, resized_side) @ to_input).astype(np.float32)
    weights.eliminate_zeros()
    weights.sort_indices()
    first, last = weights.indices[weights.indptr[:-1]], weights.indices[weights.indptr[1:] - 1]
    weights.data.flags.writeable = False
    return AxisWeights(weights, first, last)


def _linear_weights(n_out: int, n_in: int) -> sparse.csr_array:
    """Weights (n_out, n_in) of linear interpolation between pixel centres, edges repeated."""
    position = np.maximum((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0.0)
    lower = position.astype(np.intp)
    upper = np.minimum(lower + 1, n_in - 1)
    fraction = position - lower
    pixel = np.arange(n_out)
    values = np.concatenate([1.0 - fraction, fraction])
    places = np.concatenate([pixel, pixel]), np.concatenate([lower, upper])
    return sparse.csr_array((values, places), shape=(n_out, n_in))


def clip_box(box_yxyx: tuple[float, float, float, float], within: Window) -> Window:
    """Smallest box of whole pixels around ``box_yxyx`` that lies in a window."""
    y0, x0, y1, x1 = box_yxyx
    top, left, bottom, right = within
    return (
        min(max(int(np.floor(y0)), top), bottom),
        min(max(int(np.floor(x0)), left), right),
        min(max(int(np.ceil(y1)), top), bottom),
        min(max(int(np.ceil(x1)), left), right),
    )
