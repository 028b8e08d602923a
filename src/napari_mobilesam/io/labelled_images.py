"""Labelled images in a folder or zip: ``images/ID.png`` beside ``labels/ID.png``."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.io.images import open_picture


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
        If it cannot be read, or there is no pair of an image and its labels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        root = path if path.is_dir() else _open_zip(path)
        self._images, self._labels = root / "images", root / "labels"
        names = {entry.name for entry in self._images.iterdir()} if self._images.is_dir() else set()
        self.names = tuple(sorted(name for name in names if (self._labels / name).exists()))
        if not self.names:
            raise FileFormatError(
                f"{path.name} holds no labelled images",
                expected="images/ID.png and labels/ID.png",
            )

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type["LabelledImages"], tuple[Path]]:
        """Let processes that are sent this open the file themselves."""
        return type(self), (self._path,)

    def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
        """Read one image and its labels.

        Raises
        ------
        FileFormatError
            If one of them is damaged, too large, or of another size than the other.
        """
        name = self.names[index]
        image = _read_png(self._images / name)
        labels = _read_png(self._labels / name).astype(np.int32)
        if labels.shape != image.shape[:2]:
            raise FileFormatError(
                f"labels/{name} does not belong to images/{name}",
                expected=f"one label a pixel, {image.shape[:2]}",
                got=f"shape {labels.shape}",
            )
        return Scene(image, labels, np.zeros_like(labels))


def _open_zip(path: Path) -> zipfile.Path:
    """Open a zip in memory, so that worker processes share no file position."""
    try:
        return zipfile.Path(zipfile.ZipFile(io.BytesIO(path.read_bytes())))
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise FileFormatError(
            f"{path} cannot be read", expected="a folder or a zip", got=str(error)
        ) from error


def _read_png(path: Path | zipfile.Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file, open_picture(file, path.name) as image:
            return np.asarray(image)
    except FileFormatError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise FileFormatError(
            f"{path.name} cannot be read", got=f"{type(error).__name__} ({error})"
        ) from error
