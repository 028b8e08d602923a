"""Read one plane of an image: TIFF, OME-TIFF, OME-Zarr, PNG, JPEG, BMP or .npy."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
from PIL import Image

from napari_mobilesam.core.errors import FileFormatError, MobileSAMError
from napari_mobilesam.core.planes import select_channels
from napari_mobilesam.io.ome_zarr import LazyPlane, open_ome_zarr
from napari_mobilesam.io.planes import MAX_PIXELS, ImagePlane, PlaneSelection, check_size
from napari_mobilesam.io.tiff import read_tiff

_AS_STORED = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "RGB", "RGBA"}
_CONVERTED = {"LA": "L", "PA": "RGBA"}
"""Pillow's modes that are no plain array, and as what they are read; others become RGB."""

_PILLOW_LIMIT = Lock()
"""Held while Pillow's own limit, which is one for the whole process, is put aside."""


def read_image(
    path: str | PathLike[str],
    *,
    plane: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> ImagePlane:
    """Read a plane of an image.

    Parameters
    ----------
    path : path-like
        A TIFF, OME-TIFF or ImageJ TIFF (.tif, .tiff), a PNG, JPEG or BMP, a numpy array
        (.npy) with axes (H, W), (H, W, up to 5 channels) or (planes, H, W), or the folder of an
        OME-Zarr image.
    plane : sequence of int, optional
        Which plane of a stack, one number from 0 for each of its axes.
    channels : sequence of int, optional
        One to three channels to read, in this order; all if not given.
    max_pixels : int, optional
        Largest plane that is decoded, so that no small file fills the memory; None lifts the
        limit.

    Returns
    -------
    ImagePlane
        With channels last.

    Raises
    ------
    FileFormatError
        If the file is missing, empty, damaged, too large, of an unknown type, or a stack of
        which no plane was chosen.
    SettingsError
        If there are no such channels.
    """
    image = open_image(path, plane=plane, channels=channels, max_pixels=max_pixels)
    if isinstance(image, ImagePlane):
        return image
    height, width = image.pixels.shape[:2]
    check_size(path, (height, width), max_pixels)
    with _naming(Path(path)):
        return ImagePlane(np.asarray(image.pixels), image.pixel_size_um)


def open_image(
    path: str | PathLike[str],
    *,
    plane: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> ImagePlane | LazyPlane:
    """Do the same, but of an OME-Zarr, which may be of any size, read only what is cut out."""
    path = Path(path)
    image: ImagePlane | LazyPlane
    if path.is_dir():
        with _naming(path):
            image = open_ome_zarr(path).plane(plane, channels)
    else:
        image = _read_file(path, plane, max_pixels)
        if channels is not None:
            image = ImagePlane(select_channels(image.pixels, channels), image.pixel_size_um)
    if image.pixels.size == 0:
        raise FileFormatError(f"{path} holds no pixels", got=f"shape {image.pixels.shape}")
    return image


def _read_file(path: Path, plane: Sequence[int] | None, max_pixels: int | None) -> ImagePlane:
    reader = _READERS.get(path.suffix.lower())
    if not path.exists():
        raise FileFormatError(f"{path} cannot be read", got="no such file")
    if reader is None:
        raise FileFormatError(
            f"{path} is of no known image type",
            expected=" ".join(_READERS),
            got=path.suffix or "no suffix",
        )
    if not path.is_file():
        raise FileFormatError(f"{path} cannot be read", got="no such file")
    if path.stat().st_size == 0:
        raise FileFormatError(f"{path} cannot be read", got="an empty file")
    with _naming(path):
        return reader(path, plane, max_pixels)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except MobileSAMError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise FileFormatError(
            f"{path} cannot be read",
            got=f"{type(error).__name__} ({error})",
            remedy="Is the file whole, and can another program open it?",
        ) from error


def open_picture(
    file: Path | IO[bytes], name: object, max_pixels: int | None = MAX_PIXELS
) -> Image.Image:
    """Open a PNG, JPEG or BMP without decoding it, if it is within our limit, not Pillow's."""
    with _PILLOW_LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=("PNG", "JPEG", "BMP"))
        finally:
            Image.MAX_IMAGE_PIXELS = before
    try:
        check_size(name, (image.height, image.width), max_pixels)
    except FileFormatError:
        image.close()
        raise
    return image


def _read_pillow(path: Path, plane: Sequence[int] | None, max_pixels: int | None) -> ImagePlane:
    with open_picture(path, path, max_pixels) as image:
        PlaneSelection.choose(path, "YX", (image.height, image.width), plane, max_pixels)
        if image.mode not in _AS_STORED:
            return ImagePlane(np.asarray(image.convert(_CONVERTED.get(image.mode, "RGB"))))
        return ImagePlane(np.asarray(image))


def _read_npy(path: Path, plane: Sequence[int] | None, max_pixels: int | None) -> ImagePlane:
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    is_colour = stored.ndim > 2 and stored.shape[-1] <= 5
    axes = ("ZTPQYXS" if is_colour else "ZTPQYX")[-stored.ndim :] if stored.ndim else ""
    selection = PlaneSelection.choose(path, axes, stored.shape, plane, max_pixels)
    return ImagePlane(np.array(selection.channels_last(stored[selection.index])))


_READERS: dict[str, Callable[[Path, Sequence[int] | None, int | None], ImagePlane]] = {
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".png": _read_pillow,
    ".jpg": _read_pillow,
    ".jpeg": _read_pillow,
    ".bmp": _read_pillow,
    ".npy": _read_npy,
}

IMAGE_SUFFIXES = tuple(_READERS)
"""Suffixes of the files that :func:`read_image` reads."""
