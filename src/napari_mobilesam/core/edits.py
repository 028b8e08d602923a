"""Changes of a label image that can be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import LabelsFullError
from napari_mobilesam.core.masks import CroppedMask

Target = Literal["next", "selected", "replace"]
"""Next free label, the selected one, or the one that lies under the mask."""

Taken = Literal["keep", "replace"]
"""Whether pixels that belong to other labels keep them."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelEdit:
    """Pixels of a plane that change their label.

    Parameters
    ----------
    indices : tuple of two (N,) int arrays
        Rows and columns of the pixels.
    before, after : (N,) integer arrays
        Their labels.
    """

    indices: tuple[NDArray[np.intp], NDArray[np.intp]]
    before: NDArray[np.integer[Any]]
    after: NDArray[np.integer[Any]]

    @property
    def is_empty(self) -> bool:
        """Whether no pixel changes."""
        return not self.after.size

    def inverted(self) -> "LabelEdit":
        """Return the edit that takes this one back."""
        return LabelEdit(self.indices, self.after, self.before)

    def apply_to(self, plane: NDArray[np.integer[Any]]) -> None:
        """Write the new labels into a plane (H, W)."""
        plane[self.indices] = self.after


def plan_accept(
    plane: NDArray[np.integer[Any]],
    masks: Sequence[CroppedMask],
    *,
    target: Target,
    selected: int,
    taken: Taken,
    next_label: int,
) -> tuple[LabelEdit, tuple[int, ...]]:
    """Work out how masks are written into a plane of labels, without writing them.

    Parameters
    ----------
    plane : (H, W) integer array
        Labels as they are; not changed.
    masks : sequence of CroppedMask
        Accepted masks, written in this order.
    target : "next", "selected" or "replace"
        Each mask gets a label of its own from ``next_label`` on; all get ``selected``; or each
        takes the place of the label that lies under most of it, which is erased first.
    selected : int
        The label of target "selected".
    taken : "keep" or "replace"
        Whether pixels of other labels stay what they are.
    next_label : int
        First label that is free.

    Returns
    -------
    edit : LabelEdit
        All changes, as one step.
    labels : tuple of int
        The label of each mask.

    Raises
    ------
    LabelsFullError
        If a label does not fit the type of the plane.
    """
    result = plane.copy()
    labels: list[int] = []
    for mask in masks:
        label = selected if target == "selected" else next_label
        if target == "replace":
            label = _label_under(result, mask) or next_label
            result[result == label] = 0
        if label == next_label:
            next_label += 1
        _check_fits(label, plane.dtype)
        part = result[mask.window]
        free = (part == 0) | (part == label)
        part[mask.pixels if taken == "replace" else mask.pixels & free] = label
        labels.append(label)
    rows, columns = np.nonzero(result != plane)
    indices = rows, columns
    return LabelEdit(indices, plane[indices], result[indices]), tuple(labels)


def _label_under(plane: NDArray[np.integer[Any]], mask: CroppedMask) -> int:
    """Label that covers most of a mask; 0 if none does."""
    labels, counts = np.unique(plane[mask.window][mask.pixels], return_counts=True)
    counts[labels == 0] = 0
    return int(labels[counts.argmax()]) if counts.any() else 0


def _check_fits(label: int, dtype: np.dtype[Any]) -> None:
    largest = np.iinfo(dtype).max
    if label > largest:
        raise LabelsFullError(
            "the label image is full",
            expected=f"labels up to {largest}, which is what {dtype} can hold",
            got=f"label {label}",
            remedy="Convert the labels to a larger type, such as int32.",
        )
