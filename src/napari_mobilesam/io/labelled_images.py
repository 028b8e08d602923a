"""Labelled images in a folder or zip: ``images/ID.png`` beside ``labels/ID.png``."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.scene import Scene


class LabelledImages(Sequence[Scene]):
    """Labelled images in a folder or zip, in the order of their names.

    Parameters
    ----------
    path : Path
        The folder, or the zip file, which is read into memory. It holds ``images/ID.png`` and,
        of the same size, ``labels/ID.png``, 0 = background; an image without labels is left out.

    Attributes
    ----------
    names : tuple of str
        File name of each image, ``ID.png``.

    Raises
    ------
    FileFormatError
        If there is no pair of an image and its labels.
    """

    def __init__(self, path: Path) -> None:
        root = path if path.is_dir() else _open_zip(path)
        self._images, self._labels = root / "images", root / "labels"
        names = {entry.name for entry in self._images.iterdir()} if self._images.exists() else set()
        self.names = tuple(sorted(name for name in names if (self._labels / name).exists()))
        if not self.names:
            raise FileFormatError(
                f"{path.name} holds no labelled images",
                expected="images/ID.png and labels/ID.png",
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
        """Read one image and its labels."""
        name = self.names[index]
        image = _read_png(self._images / name)
        labels = _read_png(self._labels / name).astype(np.int32)
        return Scene(image, labels, np.zeros_like(labels))


def _open_zip(path: Path) -> zipfile.Path:
    """Open a zip in memory, so that worker processes share no file position."""
    return zipfile.Path(zipfile.ZipFile(io.BytesIO(path.read_bytes())))


def _read_png(path: Path | zipfile.Path) -> NDArray[np.uint8]:
    with path.open("rb") as file:
        return np.asarray(Image.open(file))
