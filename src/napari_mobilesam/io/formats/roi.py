"""ImageJ ROI set; holds every label image exactly, with composite ROIs for holes and parts."""

import zipfile
from pathlib import Path

import numpy as np
import roifile
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.objects import (
    LabelledImage,
    needed_shape,
    numbers_from_names,
    paint,
    split,
)
from napari_mobilesam.io.outlines import Ring, fill, outline, rings

MAX_SIDE = np.iinfo(np.int16).max
"""ImageJ keeps the bounds of a ROI as 16-bit integers."""

MAX_UNPACKED_BYTES = 2**30

_AREAS = (
    roifile.ROI_TYPE.POLYGON,
    roifile.ROI_TYPE.FREEHAND,
    roifile.ROI_TYPE.TRACED,
    roifile.ROI_TYPE.RECT,
    roifile.ROI_TYPE.OVAL,
)
_MOVE_TO, _LINE_TO, _CLOSE = 0.0, 1.0, 4.0


def write(path: Path, image: LabelledImage) -> None:
    """Write one ROI a label, named by its number."""
    if max(image.labels.shape) > MAX_SIDE:
        raise FileFormatError(
            "ImageJ ROIs cannot hold so large a plane",
            expected=f"sides up to {MAX_SIDE} pixels",
            got=str(image.labels.shape),
            remedy="Write GeoJSON or COCO instead.",
        )
    rois = [_roi(str(label), rings(outline(mask))) for label, mask in split(image.labels)]
    roifile.roiwrite(path, rois, mode="w")


def read(path: Path, plane_shape: tuple[int, int] | None) -> NDArray[np.int64]:
    """Paint the areas of a ROI set; points and lines are refused."""
    shape = needed_shape(path, plane_shape)
    _refuse_bomb(path)
    read_rois = roifile.roiread(path)
    rois = read_rois if isinstance(read_rois, list) else [read_rois]
    for roi in rois:
        if roi.roitype not in _AREAS:
            raise FileFormatError(
                f"{path} holds more than areas",
                expected="polygons, freehand areas, rectangles, ovals or composites",
                got=f"{roi.name!r}, a {roi.roitype.name.lower()}",
            )
    numbers = numbers_from_names([roi.name for roi in rois])
    outlines = (roi.coordinates(multi=True) for roi in rois)
    masks = (fill([ring.astype(np.float64) for ring in parts], shape) for parts in outlines)
    return paint(zip(numbers, masks, strict=True), shape)


def _refuse_bomb(path: Path) -> None:
    """Refuse a zip that would fill the memory when it is unpacked."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_UNPACKED_BYTES:
        raise FileFormatError(
            f"{path} is too large for a ROI set",
            expected=f"at most {MAX_UNPACKED_BYTES:,} bytes unpacked",
            got=f"{size:,}",
        )


def _roi(name: str, outlines: list[Ring]) -> roifile.ImagejRoi:
    if len(outlines) == 1:
        corners = outlines[0][:-1].astype(np.int32)
        roi = roifile.ImagejRoi.frompoints(corners, name=name)
        roi.roitype = roifile.ROI_TYPE.TRACED
        return roi
    corners = np.concatenate(outlines).astype(np.int32)
    roi = roifile.ImagejRoi()
    roi.roitype = roifile.ROI_TYPE.RECT
    roi.name = name
    roi.left, roi.top = corners.min(axis=0).tolist()
    roi.right, roi.bottom = corners.max(axis=0).tolist()
    roi.multi_coordinates = np.concatenate([_path(ring) for ring in outlines])
    roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(ring: Ring) -> NDArray[np.float32]:
    """Spell a closed ring as ImageJ's drawing commands."""
    steps = np.full((len(ring) - 1, 3), _LINE_TO, dtype=np.float32)
    steps[0, 0] = _MOVE_TO
    steps[:, 1:] = ring[:-1]
    return np.append(steps.ravel(), np.float32(_CLOSE))
