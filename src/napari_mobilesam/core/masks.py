"""Masks that stay small: low-resolution logits, made full size only inside a window."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.geometry import InputFrame, Window

MASK_THRESHOLD = 0.0
"""Logits above this are mask."""

STABILITY_OFFSET = 1.0
"""Logits the threshold is moved by, both ways, to measure stability (SAM, appendix B)."""


@dataclass(frozen=True, slots=True, eq=False)
class CroppedMask:
    """A mask without the empty plane around it.

    Parameters
    ----------
    y0, x0 : int
        Where the first pixel of ``pixels`` lies in the plane.
    pixels : (h, w) bool array
        The mask inside its bounding box; of size zero where the mask is empty.
    """

    y0: int
    x0: int
    pixels: NDArray[np.bool_]

    @property
    def box(self) -> Window:
        """Half-open bounding box (y0, x0, y1, x1)."""
        height, width = self.pixels.shape
        return self.y0, self.x0, self.y0 + height, self.x0 + width

    @property
    def window(self) -> tuple[slice, slice]:
        """Slices that cut the bounding box out of the plane."""
        y0, x0, y1, x1 = self.box
        return slice(y0, y1), slice(x0, x1)

    @property
    def area(self) -> int:
        """Number of mask pixels."""
        return int(np.count_nonzero(self.pixels))

    def trim(self) -> "CroppedMask":
        """Shrink to the bounding box of the mask pixels."""
        rows = np.flatnonzero(self.pixels.any(axis=1))
        if not rows.size:
            return CroppedMask(self.y0, self.x0, np.zeros((0, 0), dtype=bool))
        cols = np.flatnonzero(self.pixels.any(axis=0))
        cut = self.pixels[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        return CroppedMask(self.y0 + int(rows[0]), self.x0 + int(cols[0]), cut)

    def to_array(self, plane_shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Full-size mask (H, W)."""
        full = np.zeros(plane_shape, dtype=bool)
        full[self.window] = self.pixels
        return full


@dataclass(frozen=True, slots=True, eq=False)
class MaskBatch:
    """Masks of one plane as the decoder gives them: logits at a quarter of the input size.

    Parameters
    ----------
    low_res_logits : (N, S/4, S/4) float32 array
        Mask logits for input size S; each is valid as the next ``mask_input``.
    scores : (N,) float32 array
        Predicted IoU of each mask.
    frame : InputFrame
        How the plane lies in the encoder's input.
    """

    low_res_logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    frame: InputFrame

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | slice | NDArray[np.generic]) -> "MaskBatch":
        """Choose some of the masks, as a batch."""
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return MaskBatch(self.low_res_logits[chosen], self.scores[chosen], self.frame)

    def logits(self, index: int, window: Window | None = None) -> NDArray[np.float32]:
        """Mask logits at the plane's resolution.

        Parameters
        ----------
        index : int
            Which mask.
        window : (y0, x0, y1, x1), optional
            The part of the plane that is wanted; the whole plane if not given.

        Returns
        -------
        (y1 - y0, x1 - x0) float32 array
            Minus infinity where the encoder has not seen the plane.
        """
        y0, x0, y1, x1 = window or (0, 0, *self.frame.plane_shape)
        wanted = np.full((max(y1 - y0, 0), max(x1 - x0, 0)), -np.inf, dtype=np.float32)
        from_y, from_x, to_y, to_x = _intersection((y0, x0, y1, x1), self.frame.seen)
        if from_y < to_y and from_x < to_x:
            first_y, first_x = self.frame.seen[:2]
            rows, row_weights = self.frame.rows.window(from_y - first_y, to_y - first_y)
            cols, column_weights = self.frame.columns.window(from_x - first_x, to_x - first_x)
            across = (column_weights @ self.low_res_logits[index, rows, cols].T).T
            wanted[from_y - y0 : to_y - y0, from_x - x0 : to_x - x0] = row_weights @ across
        return wanted

    def support(self, index: int, threshold: float = MASK_THRESHOLD) -> Window:
        """Smallest window outside which no logit at plane resolution exceeds ``threshold``."""
        above = self.low_res_logits[index] > threshold
        rows, cols = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
        if not rows.size:
            return 0, 0, 0, 0
        y0, y1 = self.frame.rows.pixels_touched_by(int(rows[0]), int(rows[-1]) + 1)
        x0, x1 = self.frame.columns.pixels_touched_by(int(cols[0]), int(cols[-1]) + 1)
        first_y, first_x = self.frame.seen[:2]
        return first_y + y0, first_x + x0, first_y + y1, first_x + x1

    def crop(self, index: int, within: Window | None = None) -> CroppedMask:
        """One mask, cut to its bounding box and, if given, to the window ``within``."""
        window = _intersection(self.support(index), within)
        return CroppedMask(window[0], window[1], self.logits(index, window) > MASK_THRESHOLD).trim()

    def crop_with_stability(
        self, index: int, within: Window | None = None
    ) -> tuple[CroppedMask, float]:
        """One mask and its stability score, both as far as they lie in the window ``within``.

        The stability score is the IoU of the masks at a threshold raised and lowered by
        ``STABILITY_OFFSET`` (SAM, arXiv 2304.02643, appendix B), in [0, 1]; 0 for no mask.
        """
        window = _intersection(self.support(index, MASK_THRESHOLD - STABILITY_OFFSET), within)
        logits = self.logits(index, window)
        mask = CroppedMask(window[0], window[1], logits > MASK_THRESHOLD).trim()
        outer = np.count_nonzero(logits > MASK_THRESHOLD - STABILITY_OFFSET)
        inner = np.count_nonzero(logits > MASK_THRESHOLD + STABILITY_OFFSET)
        return mask, inner / outer if outer else 0.0

    def crops(self) -> Iterator[CroppedMask]:
        """All masks, one after the other, each cut to its bounding box."""
        return (self.crop(index) for index in range(len(self)))

    def to_array(self) -> NDArray[np.bool_]:
        """Full-size masks (N, H, W); for many masks on a large plane prefer :meth:`crops`."""
        full = np.zeros((len(self), *self.frame.plane_shape), dtype=bool)
        for plane, mask in zip(full, self.crops(), strict=True):
            plane[mask.window] = mask.pixels
        return full


def _intersection(window: Window, other: Window | None) -> Window:
    if other is None:
        return window
    y0, x0 = max(window[0], other[0]), max(window[1], other[1])
    return y0, x0, max(y0, min(window[2], other[2])), max(x0, min(window[3], other[3]))
