"""Read one plane from an image file: TIFF, OME-TIFF, PNG, JPEG, BMP or .npy."""

import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.planes import ImagePlane, PlaneSelection
from napari_mobilesam.io.tiff import read_tiff

_AS_STORED = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "RGB", "RGBA"}
_CONVERTED = {"LA": "L", "PA": "RGBA"}
"""Pillow's modes that are no plain array, and as what they are read; others become RGB."""


def read_image(path: str | PathLike[str], *, plane: Sequence[int] | None = None) -> ImagePlane:
    """Read a plane from an image file.

    Parameters
    ----------
    path : path-like
        A TIFF, OME-TIFF or ImageJ TIFF (.tif, .tiff), a PNG, JPEG or BMP, or a numpy array
        (.npy) with axes (H, W), (H, W, up to 5 channels) or (planes, H, W).
    plane : sequence of int, optional
        Which plane of a stack, one number from 0 for each of its axes.

    Returns
    -------
    ImagePlane
        With channels last.

    Raises
    ------
    FileFormatError
        If the file is missing, empty, damaged, too large, of an unknown type, or a stack of
        which no plane was chosen.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
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
    try:
        image = reader(path, plane)
    except FileFormatError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise FileFormatError(
            f"{path} cannot be read",
            got=f"{type(error).__name__} ({error})",
            remedy="Is the file whole, and can another program open it?",
        ) from error
    if image.pixels.size == 0:
        raise FileFormatError(f"{path} holds no pixels", got=f"shape {image.pixels.shape}")
    return image


def _read_pillow(path: Path, plane: Sequence[int] | None) -> ImagePlane:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=("PNG", "JPEG", "BMP"))
    with image:
        PlaneSelection.choose(path, "YX", (image.height, image.width), plane)
        if image.mode not in _AS_STORED:
            return ImagePlane(np.asarray(image.convert(_CONVERTED.get(image.mode, "RGB"))))
        return ImagePlane(np.asarray(image))


def _read_npy(path: Path, plane: Sequence[int] | None) -> ImagePlane:
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    is_colour = stored.ndim > 2 and stored.shape[-1] <= 5
    axes = ("ZTPQYXS" if is_colour else "ZTPQYX")[-stored.ndim :] if stored.ndim else ""
    selection = PlaneSelection.choose(path, axes, stored.shape, plane)
    return ImagePlane(np.array(selection.channels_last(stored[selection.index])))


_READERS: dict[str, Callable[[Path, Sequence[int] | None], ImagePlane]] = {
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
