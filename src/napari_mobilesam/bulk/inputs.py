"""Which images a batch is about."""

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.images import IMAGE_SUFFIXES


def find_images(inputs: Iterable[str | PathLike[str]]) -> list[Path]:
    """List the images that files, folders and patterns mean, each once, in a fixed order.

    Parameters
    ----------
    inputs : iterable of path-like
        Files, whatever their ending; folders, for the images in them; patterns such as
        ``plates/**/*.tif``. Hidden files are passed over, but if named.

    Raises
    ------
    FileFormatError
        If a folder or a pattern gives no image.
    """
    found: dict[Path, None] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            images = _images(path.iterdir())
        elif set("*?[") & set(str(path)) and not path.exists():
            root = Path(path.anchor)
            images = _images(root.glob(str(path.relative_to(root))))
        else:
            images = [path]
        if not images:
            raise FileFormatError(f"{given} holds no images", expected=" ".join(IMAGE_SUFFIXES))
        found |= dict.fromkeys(images)
    return list(found)


def refuse_clashes(images: Sequence[Path]) -> None:
    """Refuse two images whose results would have the same name.

    Raises
    ------
    FileFormatError
        If there are such.
    """
    for stem, count in Counter(path.stem for path in images).items():
        if count > 1:
            clashing = ", ".join(str(path) for path in images if path.stem == stem)
            raise FileFormatError(
                f"the results of these would have one name: {clashing}",
                remedy="Give each of their folders an output folder of its own.",
            )


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
