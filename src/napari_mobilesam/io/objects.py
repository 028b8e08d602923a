"""Label images and the objects in them: checked, taken apart, put together."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import find_objects
from skimage.segmentation import relabel_sequential

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.io.planes import check_size

MAX_LABEL = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """A label image and what is known about it; each format keeps what it can.

    Parameters
    ----------
    labels : (H, W) int64 array
        0 = background.
    table : pandas.DataFrame or None
        One row a label, with a column ``label`` and measurements.
    image_name : str
        File name of the image that was labelled.
    metadata : mapping of str to str
        What to remember beside the pixels, such as the model's name.
    pixel_size_um : (float, float) or None
        Height and width of a pixel in micrometres.
    """

    labels: NDArray[np.int64]
    table: pd.DataFrame | None = None
    image_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    pixel_size_um: tuple[float, float] | None = None


def as_labels(labels: ArrayLike, *, name: str = "this array") -> NDArray[np.int64]:
    """Check that an array is a label image (H, W): whole numbers from 0 to ``MAX_LABEL``.

    Raises
    ------
    FileFormatError
        If it is not; the message calls it ``name``.
    """
    array = np.asarray(labels)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biu":
        raise FileFormatError(
            f"{name} is no label image",
            expected="(H, W) pixels of whole numbers",
            got=f"shape {array.shape} of {array.dtype}",
        )
    if array.min() < 0 or array.max() > MAX_LABEL:
        raise FileFormatError(
            f"{name} is no label image",
            expected=f"labels from 0 to {MAX_LABEL}",
            got=f"{array.min()} to {array.max()}",
        )
    return array.astype(np.int64)


def split(labels: NDArray[np.int64]) -> Iterator[tuple[int, CroppedMask]]:
    """Every label with its mask, in ascending order; numbers may be missing."""
    dense, _, numbers = relabel_sequential(labels)
    for number, window in enumerate(find_objects(dense), start=1):
        mask = CroppedMask(window[0].start, window[1].start, dense[window] == number)
        yield int(numbers[number]), mask


def paint(
    masks: Iterable[tuple[int, CroppedMask]], plane_shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Label image (H, W) of numbered masks; where two overlap, the first keeps its pixels."""
    labels = np.zeros(plane_shape, dtype=np.int64)
    for number, mask in masks:
        target = labels[mask.window]
        target[mask.pixels & (target == 0)] = number
    return labels


def needed_shape(path: Path, plane_shape: tuple[int, int] | None) -> tuple[int, int]:
    """Shape of the labelled image, for a file that does not tell it."""
    if plane_shape is None:
        raise FileFormatError(
            f"{path} does not tell how large its image is",
            expected="plane_shape=(height, width)",
        )
    return plane_shape


def check_shape(
    path: Path, stored: tuple[int, int], plane_shape: tuple[int, int] | None
) -> tuple[int, int]:
    """Shape of the labelled image, from a file that tells it."""
    if plane_shape not in (None, stored):
        raise FileFormatError(
            f"{path} belongs to another image",
            expected=f"one of {plane_shape[0]} x {plane_shape[1]} pixels",
            got=f"one of {stored[0]} x {stored[1]}",
        )
    if plane_shape is None:
        check_size(path, stored)
    return stored


def numbers_from_names(names: Sequence[str | None]) -> list[int]:
    """Labels of named objects: their names if these are distinct numbers, else 1, 2, 3, ..."""
    return distinct([int(name) if name and name.isdecimal() else 0 for name in names])


def distinct(numbers: Sequence[int]) -> list[int]:
    """Return the same numbers if they can be labels of so many objects, else 1, 2, 3, ..."""
    are_labels = all(0 < number <= MAX_LABEL for number in numbers)
    if are_labels and len(set(numbers)) == len(numbers):
        return list(numbers)
    return list(range(1, len(numbers) + 1))


def finite_numbers(row: Mapping[Hashable, object]) -> dict[str, float]:
    """Numbers of a table's row that formats without NaN can hold."""
    numbers = {str(name): float(v) for name, v in row.items() if isinstance(v, Real)}
    return {name: value for name, value in numbers.items() if np.isfinite(value)}
