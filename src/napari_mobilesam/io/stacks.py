"""Stacks in files: read plane by plane, and label stacks written."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.io.images import read_image

SOFTWARE = "napari-mobilesam"


class FileStack:
    """Planes of a file, each read when it is asked for.

    Parameters
    ----------
    path : path-like
        A TIFF, OME-TIFF, ImageJ TIFF or .npy with one axis besides those of a plane: z or time.

    Attributes
    ----------
    axis_name : str
        "Z", "T", or another letter that tifffile gives the axis.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or is no such stack.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise FileFormatError(
                f"{self.path.name} cannot be read as a stack",
                expected="a TIFF or .npy",
                got="a folder",
                remedy="Of an OME-Zarr, label single planes (--plane), or pass its array to "
                "segment_stack in Python.",
            )
        first = read_image(self.path, plane=(0,))
        self.axis_name, self._count = _stacked_axis(self.path)
        self.plane_shape = first.pixels.shape[0], first.pixels.shape[1]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> NDArray[np.generic]:
        """Read a plane, (H, W) or (H, W, C)."""
        return read_image(self.path, plane=(index,)).pixels


def _stacked_axis(path: Path) -> tuple[str, int]:
    """Letter and length of the axis along which :func:`read_image` has found one number enough."""
    if path.suffix.lower() == ".npy":
        return "Z", int(np.load(path, mmap_mode="r", allow_pickle=False).shape[0])
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        in_plane = {"Y", "X", "S" if "S" in series.axes else "C"}
        axes = zip(series.axes, series.shape, strict=True)
        return next((name, length) for name, length in axes if name not in in_plane and length > 1)


def write_label_stack(path: Path, labels: NDArray[np.integer[Any]], axis_name: str = "Z") -> None:
    """Write labels (P, H, W) as an OME-TIFF, uint16 where they fit, else uint32.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    fits = labels.max(initial=0) <= np.iinfo(np.uint16).max
    with replacing(path) as draft:
        tifffile.imwrite(
            draft,
            labels.astype(np.uint16 if fits else np.uint32),
            ome=True,
            photometric="minisblack",
            compression="zlib",
            software=SOFTWARE,
            metadata={"axes": f"{axis_name if axis_name in 'ZT' else 'Z'}YX"},
        )
