"""Read one plane of a TIFF, OME-TIFF or ImageJ TIFF, and the size of its pixels."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPageSeries, memmap, xml2dict

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.planes import ImagePlane, PlaneSelection, check_size

MICROMETRES = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "mm": 1e3}
"""Micrometres in the units of length that OME and ImageJ write."""


def read_tiff(path: Path, plane: Sequence[int] | None, max_pixels: int | None) -> ImagePlane:
    """Read a plane of the first series of a TIFF; of a pyramid, at full resolution."""
    with TiffFile(path) as tif:
        _refuse_cut_off(path, tif)
        series = tif.series[0]
        selection = PlaneSelection.choose(path, series.axes, series.shape, plane, max_pixels)
        pixels = _read_pages(path, tif, series, selection.index, max_pixels)
        return ImagePlane(selection.channels_last(pixels), _pixel_size(tif))


def _refuse_cut_off(path: Path, tif: TiffFile) -> None:
    """Refuse a file whose last page names another beyond its end; its pages are not all there."""
    file = tif.filehandle
    len(tif.pages)  # finds all of them
    file.seek(tif.pages.next_page_offset or 0)
    order: Literal["little", "big"] = "little" if tif.byteorder == "<" else "big"
    following = int.from_bytes(file.read(tif.tiff.offsetsize), order)
    if following >= file.size:
        raise FileFormatError(
            f"{path} is cut off",
            expected=f"a page at byte {following:,}",
            got=f"a file of {file.size:,} bytes",
            remedy="Copy it again.",
        )


def _read_pages(
    path: Path,
    tif: TiffFile,
    series: TiffPageSeries,
    index: tuple[int | slice, ...],
    max_pixels: int | None,
) -> NDArray[np.generic]:
    """Decode only what holds the plane, where the file keeps planes in pages or lies in a row."""
    page_shape = series.keyframe.shape
    outer = series.ndim - len(page_shape)
    if series.shape[outer:] != page_shape or prod(series.shape[:outer]) != len(series):
        if series.dataoffset is not None:
            return np.array(memmap(path, mode="r")[index])
        check_size(path, (prod(series.shape), 1), max_pixels)  # all planes are decoded
        return np.asarray(series.asarray()[index])
    pages = np.arange(len(series)).reshape(series.shape[:outer])[index[:outer]]
    pixels = tif.asarray(key=pages.ravel().tolist(), series=0)
    return np.asarray(pixels.reshape(*pages.shape, *page_shape)[(..., *index[outer:])])


def _pixel_size(tif: TiffFile) -> tuple[float, float] | None:
    if tif.ome_metadata:
        return _ome_pixel_size(xml2dict(tif.ome_metadata))
    if tif.imagej_metadata:
        return _imagej_pixel_size(tif)
    return None


def _ome_pixel_size(metadata: dict[str, Any]) -> tuple[float, float] | None:
    images = metadata["OME"].get("Image")
    first = images[0] if isinstance(images, list) else images
    pixels = (first or {}).get("Pixels", {})
    sizes = [
        float(pixels.get(f"PhysicalSize{axis}", 0))
        * MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0)
        for axis in "YX"
    ]
    return (sizes[0], sizes[1]) if min(sizes) > 0 else None


def _imagej_pixel_size(tif: TiffFile) -> tuple[float, float] | None:
    factor = MICROMETRES.get((tif.imagej_metadata or {}).get("unit", ""), 0)
    columns, rows = tif.series[0].keyframe.resolution
    return (factor / rows, factor / columns) if factor and rows and columns else None
