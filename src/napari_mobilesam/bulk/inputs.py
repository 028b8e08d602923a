"""Which images a batch is about."""

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.images import IMAGE_SUFFIXES
from napari_mobilesam.io.ome_zarr import find_fields, is_zarr, name_within_zarr

LABELS = ".labels."
"""What tells results from images in their names."""


def find_images(inputs: Iterable[str | PathLike[str]]) -> list[Path]:
    """List the images that files, folders and patterns mean, each once, in a fixed order.

    Parameters
    ----------
    inputs : iterable of path-like
        Files, whatever their ending; OME-Zarr images, and plates for all of their fields;
        folders, for the images in them; patterns such as ``plates/**/*.tif``. Hidden files and
        label images of an earlier run are passed over, but if named.

    Raises
    ------
    FileFormatError
        If a folder or a pattern gives no image.
    """
    found: dict[Path, None] = {}
    for given in inputs:
        path = Path(given)
        if is_zarr(path):
            images = find_fields(path)
        elif path.is_dir():
            images = _images(path.iterdir())
        elif set("*?[") & set(str(path)) and not path.exists():
            root = Path(path.anchor)
            images = _images(root.glob(str(path.relative_to(root))))
        else:
            images = [path]
        if not images:
            raise FileFormatError(
                f"{given} holds no images", expected=" ".join((*IMAGE_SUFFIXES, "OME-Zarr"))
            )
        found |= dict.fromkeys(images)
    return list(found)


def refuse_clashes(images: Sequence[Path]) -> None:
    """Refuse two images whose results would have the same name.

    Raises
    ------
    FileFormatError
        If there are such.
    """
    names = [result_name(path) for path in images]
    for name, count in Counter(names).items():
        if count > 1:
            clashing = ", ".join(
                str(path) for path, own in zip(images, names, strict=True) if own == name
            )
            raise FileFormatError(
                f"the results of these would have one name: {clashing}",
                remedy="Give each of their folders an output folder of its own.",
            )


def result_name(image: Path) -> str:
    """Name that the results of an image begin with; in a plate it tells well and field."""
    return name_within_zarr(image) if is_zarr(image) else image.stem


def _images(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in sorted(paths):
        if path.name.startswith(".") or LABELS in path.name:
            continue
        if is_zarr(path):
            found += find_fields(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            found.append(path)
    return found
