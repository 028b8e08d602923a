"""Write labels in any format, and read them back from those that hold masks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.io.formats import coco, csv, geojson, label_tiff, ome_zarr, roi, yolo
from napari_mobilesam.io.objects import LabelledImage, as_labels
from napari_mobilesam.io.ome_zarr import open_ome_zarr

Write = Callable[[Path, LabelledImage], None]
Read = Callable[[Path, tuple[int, int] | None], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class AnnotationFormat:
    """A file format for labels.

    Parameters
    ----------
    name : str
        Short name, as the command line takes it.
    title : str
        Name in menus.
    extensions : tuple of str
        Endings of its files; the first is the one to write.
    write, read : callable
        The format's module does the work; ``read`` is None where masks cannot come back.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    write: Write
    read: Read | None


FORMATS = {
    known.name: known
    for known in (
        AnnotationFormat(
            "tiff", "Label TIFF", (".tif", ".tiff"), label_tiff.write, label_tiff.read
        ),
        AnnotationFormat("coco", "COCO JSON", (".coco.json", ".json"), coco.write, coco.read),
        AnnotationFormat(
            "geojson", "GeoJSON for QuPath", (".geojson",), geojson.write, geojson.read
        ),
        AnnotationFormat(
            "roi", "ImageJ ROI set", (".roi.zip", ".zip", ".roi"), roi.write, roi.read
        ),
        AnnotationFormat(
            "yolo", "YOLO segmentation text", (".yolo.txt", ".txt"), yolo.write, yolo.read
        ),
        AnnotationFormat("csv", "CSV table", (".csv",), csv.write, None),
        AnnotationFormat(
            "ome-zarr", "OME-Zarr labels", (".ome.zarr", ".zarr"), ome_zarr.write, ome_zarr.read
        ),
    )
}
"""Every known format by its name."""


def write_annotations(
    path: str | PathLike[str],
    labels: ArrayLike,
    *,
    format: str | None = None,  # noqa: A002
    table: pd.DataFrame | None = None,
    image_name: str = "",
    metadata: Mapping[str, object] | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    within: str | PathLike[str] | None = None,
    plane: Sequence[int] | None = None,
) -> None:
    """Write a label image; an existing file is replaced once the new one is whole.

    Parameters
    ----------
    path : path-like
        File to write.
    labels : (H, W) array-like
        Label image of whole numbers, 0 = background.
    format : str, optional
        A name in ``FORMATS``; guessed from the file's ending if not given.
    table : pandas.DataFrame, optional
        One row a label, with a column ``label``, as :class:`..core.instances.Instances` has it.
    image_name : str
        File name of the image that was labelled.
    metadata : mapping, optional
        What to remember beside the pixels, such as the model's name.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in micrometres.
    within : path-like, optional
        OME-Zarr image that was labelled, if ``path`` is a ``labels/NAME`` of its own.
    plane : sequence of int, optional
        The plane of it that was labelled, one number for each axis of the stack.

    Raises
    ------
    FileFormatError
        If the format is unknown or cannot hold the labels, the file cannot be written, or there
        is a folder that is not ours.
    """
    chosen = find_format(path, format)
    texts = {key: str(value) for key, value in (metadata or {}).items()}
    image = LabelledImage(as_labels(labels), table, image_name, texts, pixel_size_um)
    if within is not None:
        ome_zarr.write_into(open_ome_zarr(Path(within)), Path(path).name, image, plane)
        return
    ome_zarr.refuse_foreign(Path(path))
    with replacing(Path(path)) as draft:
        chosen.write(draft, image)


def read_annotations(
    path: str | PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    plane_shape: tuple[int, int] | None = None,
) -> NDArray[np.int64]:
    """Read a label image; where two objects overlap, the first in the file keeps its pixels.

    Parameters
    ----------
    path : path-like
        File to read.
    format : str, optional
        A name in ``FORMATS``; guessed from the file's ending if not given.
    plane_shape : (int, int), optional
        Height and width of the labelled image; GeoJSON, ROI sets and YOLO do not tell it.

    Returns
    -------
    (H, W) int64 array
        Label image, 0 = background.

    Raises
    ------
    FileFormatError
        If the format is unknown or holds no masks, or the file is missing or damaged.
    """
    chosen = find_format(path, format)
    if chosen.read is None:
        raise FileFormatError(f"{path} holds no masks", got=f"a {chosen.title}")
    try:
        return chosen.read(Path(path), plane_shape)
    except FileFormatError:
        raise
    except Exception as error:  # damaged files lead parsers to exceptions of any kind
        raise FileFormatError(
            f"{path} cannot be read as {chosen.title}", got=f"{type(error).__name__} ({error})"
        ) from error


def find_format(path: str | PathLike[str], name: str | None = None) -> AnnotationFormat:
    """Find a format by its name, or by a file's ending.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    if name in FORMATS:
        return FORMATS[name]
    if name is not None:
        raise FileFormatError(f"there is no format {name!r}", expected=", ".join(FORMATS))
    for known in FORMATS.values():
        if Path(path).name.lower().endswith(known.extensions):
            return known
    raise FileFormatError(
        f"{path} is of no known annotation format",
        expected=" ".join(known.extensions[0] for known in FORMATS.values()),
    )
