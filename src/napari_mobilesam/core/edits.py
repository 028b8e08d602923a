"""Changes of a label image that can be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import LabelsFullError, SettingsError
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

    def only(self, chosen: NDArray[np.bool_]) -> "LabelEdit":
        """Return the part of this edit that changes the chosen (N,) pixels."""
        rows, columns = self.indices
        return LabelEdit((rows[chosen], columns[chosen]), self.before[chosen], self.after[chosen])

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
        takes the place of the label that lies under it, which is erased first. A label lies
        under a mask if they share most of the smaller of the two, and no mask before it has
        taken its place.
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
    SettingsError
        If a label is below 1, which is the background's, or there is no such target.
    """
    for name, value, known in (("target", target, Target), ("taken", taken, Taken)):
        if value not in get_args(known):
            raise SettingsError(
                f"there is no such {name}", expected=", ".join(get_args(known)), got=repr(value)
            )
    result = plane.copy()
    labels: list[int] = []
    for mask in masks:
        label = selected if target == "selected" else next_label
        if target == "replace":
            under = _label_under(plane, mask)
            if under and under not in labels:
                label = under
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
    """Label that shares most of itself, or most of the mask, with a mask; 0 if none does."""
    labels, shared = np.unique(plane[mask.window][mask.pixels], return_counts=True)
    shared[labels == 0] = 0
    if not shared.any():
        return 0
    label, overlap = int(labels[shared.argmax()]), int(shared.max())
    smaller = min(mask.area, int(np.count_nonzero(plane == label)))
    return label if 2 * overlap > smaller else 0


def _check_fits(label: int, dtype: np.dtype[Any]) -> None:
    largest = np.iinfo(dtype).max
    if label < 1:
        raise SettingsError(
            "this label cannot be written", expected="1 or more", got=f"label {label}"
        )
    if label > largest:
        raise LabelsFullError(
            "the label image is full",
            expected=f"labels up to {largest}, which is what {dtype} can hold",
            got=f"label {label}",
            remedy="Convert the labels to a larger type, such as int32.",
        )
