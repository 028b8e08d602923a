"""Label OME-TIFF, compressed with zlib; holds every label image exactly."""

from math import prod
from pathlib import Path
from uuid import UUID

import numpy as np
import tifffile
import xxhash
from numpy.typing import NDArray

from napari_mobilesam.io.images import read_image
from napari_mobilesam.io.objects import LabelledImage, as_labels, check_shape
from napari_mobilesam.io.planes import MAX_PIXELS

SOFTWARE = "napari-mobilesam"


def write(path: Path, image: LabelledImage) -> None:
    """Write uint16 where the labels fit, else uint32, with the metadata as a map annotation.

    The same labels give the same file, byte for byte.
    """
    content = UUID(bytes=xxhash.xxh3_128_digest(np.ascontiguousarray(image.labels)))
    fits = image.labels.max() <= np.iinfo(np.uint16).max
    metadata: dict[str, object] = {"axes": "YX", "UUID": f"urn:uuid:{content}"}
    if image.image_name:
        metadata["Name"] = image.image_name
    if image.metadata:
        metadata["MapAnnotation"] = {"Namespace": SOFTWARE} | dict(image.metadata)
    if image.pixel_size_um:
        for axis, size in zip("YX", image.pixel_size_um, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(
        path,
        image.labels.astype(np.uint16 if fits else np.uint32),
        ome=True,
        photometric="minisblack",
        compression="zlib",
        software=SOFTWARE,
        metadata=metadata,
    )


def read(path: Path, plane_shape: tuple[int, int] | None) -> NDArray[np.int64]:
    """Read a label image of any integer type."""
    allowed = max(MAX_PIXELS, prod(plane_shape or (0,)))
    labels = as_labels(read_image(path, max_pixels=allowed).pixels, name=str(path))
    height, width = labels.shape
    check_shape(path, (height, width), plane_shape)
    return labels
