"""Segment many files, one after the other, and go on after what fails or is cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.bulk.contact_sheet import write_sheet, write_thumbnail
from napari_mobilesam.bulk.inputs import find_images, refuse_clashes, result_name
from napari_mobilesam.bulk.journal import Journal
from napari_mobilesam.bulk.plane import LargeInstances, Plane, segment_large
from napari_mobilesam.core.errors import CancelledError, FileFormatError, MobileSAMError
from napari_mobilesam.core.instances import Instances
from napari_mobilesam.core.settings import EverythingSettings, Limits
from napari_mobilesam.io.annotations import FORMATS, find_format, write_annotations
from napari_mobilesam.io.images import open_image, read_image
from napari_mobilesam.io.ome_zarr import LazyPlane, is_zarr
from napari_mobilesam.io.planes import MAX_PIXELS, ImagePlane
from napari_mobilesam.zoo.card import Download, WeightFile
from napari_mobilesam.zoo.download import content_hash

if TYPE_CHECKING:
    import pandas as pd

MARGIN_SHARE = 8
"""Tiles overlap their neighbours by this part of their side, on every side."""

LABELS_NAME = "mobilesam"
"""Name of the label image in the ``labels`` group of an OME-Zarr."""

Progress = Callable[[int, int], None]


def batch(
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    model: str | MobileSAM = "micro",
    formats: Sequence[str] = ("tiff", "csv"),
    settings: EverythingSettings | None = None,
    plane: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    limits: Limits = "percentile",
    tile: int | None = None,
    contact_sheet: bool = True,
    max_pixels: int | None = MAX_PIXELS,
    progress: Progress | None = None,
    **changes: object,
) -> pd.DataFrame:
    """Find every object of many images and write what was found.

    An image that was finished by an earlier run with the same settings is passed over, so a run
    that was killed goes on by the same call. One that fails is reported in the table, and the
    others are still done.

    Parameters
    ----------
    images : path-like, or several
        Files, OME-Zarrs, folders and patterns; see :func:`~.inputs.find_images`.
    output : path-like
        Folder to write to; made if need be. Results of an earlier run are replaced where the
        image or a setting has changed, but never those that were changed by hand since.
    model : str or MobileSAM
        Name or path of a model, or a loaded one.
    formats : sequence of str
        Names in :data:`~napari_mobilesam.io.annotations.FORMATS`.
    settings : EverythingSettings, optional
        How objects are found; the model's own if not given.
    plane, channels, limits, max_pixels
        How images are read, as for :func:`~napari_mobilesam.io.images.read_image` and
        :meth:`~napari_mobilesam.api.MobileSAM.embed`.
    tile : int, optional
        Side of overlapping tiles to look at, in pixels; see :func:`~.plane.segment_large`.
    contact_sheet : bool
        Write ``mobilesam-batch.html``, a page of thumbnails with the suspicious ones first, and
        ``mobilesam-batch.csv``, the table.
    progress : callable, optional
        Called with (images done, images in all). Raise
        :class:`~napari_mobilesam.core.errors.CancelledError` from it to stop.
    **changes
        Single fields of :class:`EverythingSettings` to change.

    Returns
    -------
    pandas.DataFrame
        One row an image: ``image``, ``objects``, ``skipped`` (it was finished
        before), ``error`` (empty if all is well) and ``seconds``.

    Raises
    ------
    FileFormatError
        If there are no images, two would write the same file, the folder cannot be made, or there
        is no such format.
    SettingsError
        If a parameter is unknown or out of range.
    """
    import pandas as pd

    formats = [formats] if isinstance(formats, str) else formats
    for name in formats:
        find_format("", name)
    paths = find_images([images] if isinstance(images, str | PathLike) else images)
    refuse_clashes(paths)
    folder = _folder(Path(output))
    sam = model if isinstance(model, MobileSAM) else load_model(model)
    chosen = (settings or sam.default_settings()).changed(**changes)
    reading = {"plane": plane, "channels": channels, "limits": limits, "tile": tile}
    task = reading | {"settings": chosen.model_dump(), "formats": sorted(formats)}
    journal = Journal(folder, task | fingerprint(sam))

    def finish(path: Path) -> dict[str, object]:
        entry = journal.finished(path)
        if entry is not None:
            return {"objects": entry.objects, "skipped": True, "seconds": entry.seconds}
        start = time.perf_counter()
        outputs = output_paths(folder, path, formats)
        journal.refuse_changed(path, outputs.values())
        image, shown = open_for(path, plane, channels, tile, max_pixels)
        found = find_everything(sam, image.pixels, chosen, limits, shown, tile)
        write_results(outputs, path, image, found, sam, plane)
        if contact_sheet:
            labels = np.asarray(found.labels)
            write_thumbnail(folder, path, image.pixels, labels, limits, shown)
        journal.add(path, outputs.values(), len(found), time.perf_counter() - start)
        return {"objects": len(found)}

    rows: list[dict[str, object]] = []
    try:
        _fill(rows, paths, finish, progress)
    finally:
        if contact_sheet:
            write_sheet(folder, rows)
    return pd.DataFrame(rows)


def fingerprint(sam: MobileSAM) -> dict[str, object]:
    """Name what results depend on of a model: weights, input size, engine and precision."""
    return {
        "model": sam.card.name,
        "input_size": sam.input_size,
        "weights": [(file.name, _promised_or_found(file)) for file in sam.card.files],
        "arithmetic": sam.arithmetic,
    }


def _promised_or_found(file: WeightFile) -> str | None:
    """Hash of a download as its card promises it, as it may be yet to come, or of what is here."""
    is_download = isinstance(file.source, Download)
    return file.sha256 or file.xxh128 if is_download else content_hash(file)


def find_everything(
    sam: MobileSAM,
    pixels: Plane,
    settings: EverythingSettings,
    limits: Limits,
    channels: Sequence[int] | None,
    tile: int | None,
    progress: Progress | None = None,
) -> Instances | LargeInstances:
    """Find every object of a plane, at once or in tiles."""
    if tile is None:
        return sam.everything(
            np.asarray(pixels),
            settings=settings,
            limits=limits,
            channels=channels,
            progress=progress,
        )
    return segment_large(
        pixels,
        model=sam,
        tile=tile,
        margin=tile // MARGIN_SHARE,
        settings=settings,
        limits=limits,
        channels=channels,
        progress=progress,
    )


def open_for(
    path: Path,
    plane: Sequence[int] | None,
    channels: Sequence[int] | None,
    tile: int | None,
    max_pixels: int | None,
) -> tuple[ImagePlane | LazyPlane, tuple[int, ...] | None]:
    """Read a plane of chosen channels, lazily where it is looked at in tiles.

    Returns
    -------
    image : ImagePlane or LazyPlane
        Only the chosen channels.
    shown : tuple of int or None
        The channels of what was read that are to be looked at.
    """
    read = read_image if tile is None else open_image
    image = read(path, plane=plane, channels=channels, max_pixels=max_pixels)
    return image, None if channels is None else tuple(range(len(channels)))


def output_paths(folder: Path, image: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Files or folders to write for an image, by format.

    The labels of an OME-Zarr are written into it if they are to be OME-Zarr, too.
    """
    paths = {
        name: folder / f"{result_name(image)}.labels{FORMATS[name].extensions[0]}"
        for name in formats
    }
    if "ome-zarr" in paths and is_zarr(image):
        paths["ome-zarr"] = image / "labels" / LABELS_NAME
    return paths


def write_results(
    outputs: Mapping[str, Path],
    path: Path,
    image: ImagePlane | LazyPlane,
    found: Instances | LargeInstances,
    sam: MobileSAM,
    plane: Sequence[int] | None,
) -> None:
    """Write what was found in a plane of the image at ``path`` to its :func:`output_paths`."""
    for name, target in outputs.items():
        write_annotations(
            target,
            np.asarray(found.labels),
            format=name,
            table=found.table,
            image_name=path.name,
            metadata={"model": sam.card.name, "input_size": sam.input_size},
            pixel_size_um=image.pixel_size_um,
            within=path if target.is_relative_to(path) else None,
            plane=plane,
        )


def _fill(
    rows: list[dict[str, object]],
    paths: Sequence[Path],
    finish: Callable[[Path], dict[str, object]],
    progress: Progress | None,
) -> None:
    """Finish one image after the other, and add a row for each."""
    report = progress or (lambda _done, _total: None)
    for number, path in enumerate(paths):
        report(number, len(paths))
        start = time.perf_counter()
        row: dict[str, object] = {"image": str(path), "objects": 0, "skipped": False, "error": ""}
        try:
            row |= finish(path)
        except CancelledError:
            raise
        except (MobileSAMError, MemoryError) as error:
            row["error"] = str(error) or type(error).__name__
        row.setdefault("seconds", time.perf_counter() - start)
        rows.append(row)
    report(len(paths), len(paths))


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be made", got=str(error)) from error
    return path
