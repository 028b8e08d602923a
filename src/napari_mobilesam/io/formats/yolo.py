"""YOLO segmentation text: one line an object, a class and one polygon in fractions of the image.

A line holds a single polygon, so holes and further parts are joined to it by bridges of no
width (:func:`~napari_mobilesam.io.outlines.join`). Filled by the even-odd rule the masks are
exact; the numbers of the labels are not kept.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.io.objects import LabelledImage, needed_shape, paint, split
from napari_mobilesam.io.outlines import fill, join, outline, rings

CLASS = 0


def write(path: Path, image: LabelledImage) -> None:
    """Write one line a label, in ascending order."""
    size = image.labels.shape[::-1]
    polygons = (join(rings(outline(mask)))[:-1] / size for _, mask in split(image.labels))
    lines = (" ".join([str(CLASS), *map("{:.8g}".format, p.ravel())]) + "\n" for p in polygons)
    path.write_text("".join(lines), encoding="ascii")


def read(path: Path, plane_shape: tuple[int, int] | None) -> NDArray[np.int64]:
    """Paint the polygons of a file, numbered from 1 line by line, whatever their class."""
    shape = needed_shape(path, plane_shape)
    size = shape[::-1]
    lines = path.read_text(encoding="ascii").splitlines()
    polygons = [np.array(line.split()[1:], dtype=float).reshape(-1, 2) for line in lines]
    masks = (fill([polygon * size], shape) for polygon in polygons)
    return paint(enumerate(masks, start=1), shape)
