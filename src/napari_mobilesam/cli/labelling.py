"""Label one image: read it, find its objects, write them. Imported only when there is work."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.bulk.contact_sheet import write_thumbnail
from napari_mobilesam.bulk.files import (
    find_everything,
    fingerprint,
    open_for,
    output_paths,
    write_results,
)
from napari_mobilesam.bulk.journal import Journal
from napari_mobilesam.bulk.plane import LargeInstances, Plane
from napari_mobilesam.cli.prompts import ObjectPrompts, PromptSet, split_objects
from napari_mobilesam.core.errors import FileFormatError, PromptError
from napari_mobilesam.core.field import closer_look, window_around
from napari_mobilesam.core.geometry import Window
from napari_mobilesam.core.instances import Candidates, Instances, resolve
from napari_mobilesam.core.masks import MaskBatch
from napari_mobilesam.core.planes import select_channels, to_rgb8
from napari_mobilesam.core.settings import EverythingSettings, FilterSettings, Limits, LinkSettings
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.io.planes import MAX_PIXELS

_NO_DIFFERENCE = ("output", "overwrite", "contact_sheet", "max_pixels")
"""Fields of a task that its results do not depend on."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is done with every image; the command's options say it.

    Parameters
    ----------
    output : Path
        Folder to write to.
    formats : tuple of str
        Names in ``FORMATS``.
    overwrite : bool
        Whether existing files are replaced.
    plane, channels, limits
        How an image is read and shown to the network.
    settings : EverythingSettings or FilterSettings
        Those of everything mode find everything; mere filters, what the prompts name.
    prompts : PromptSet or dict
        Prompts for all images, or by their file names.
    one_object : bool
        Whether all prompts are about one object.
    closer : bool
        Whether small objects that are prompted are looked at again.
    tile : int, optional
        Side of the tiles in which everything is looked for; the whole plane without it.
    contact_sheet : bool
        Whether thumbnails are written.
    max_pixels : int
        Largest plane that is read.
    linking : LinkSettings, optional
        How objects of the planes of a stack are linked; an image is one plane without it.
    """

    output: Path
    formats: tuple[str, ...]
    overwrite: bool
    plane: tuple[int, ...] | None
    channels: tuple[int, ...] | None
    limits: Limits
    settings: EverythingSettings | FilterSettings
    prompts: PromptSet | dict[str, PromptSet]
    one_object: bool
    closer: bool
    tile: int | None = None
    contact_sheet: bool = False
    max_pixels: int = MAX_PIXELS
    linking: LinkSettings | None = None

    def outputs(self, image: Path) -> dict[str, Path]:
        """Files to write for an image, by format."""
        return output_paths(self.output, image, self.formats)

    def journal(self, sam: MobileSAM) -> Journal:
        """Open what earlier runs of the same task have finished in the output folder."""
        task = {k: v for k, v in asdict(self).items() if k not in _NO_DIFFERENCE}
        settings = self.settings.model_dump()
        return Journal(self.output, task | {"settings": settings} | fingerprint(sam))


def label_image(
    sam: MobileSAM, task: Task, path: Path, journal: Journal, report: Callable[[int, int], None]
) -> Instances | LargeInstances:
    """Label an image, write what was found, and note in the journal that it is finished.

    Raises
    ------
    MobileSAMError
        If the image cannot be read or segmented, or a file exists or cannot be written.
    """
    outputs = task.outputs(path)
    refuse_existing(task, outputs.values())
    start = time.perf_counter()
    image, shown = open_for(path, task.plane, task.channels, task.tile, task.max_pixels)
    found = _segment(sam, replace(task, channels=shown), path, image.pixels, report)
    write_results(outputs, path, image, found, sam, task.plane)
    if task.contact_sheet:
        labels = np.asarray(found.labels)
        write_thumbnail(task.output, path, image.pixels, labels, task.limits, shown)
    journal.add(path, outputs.values(), len(found), time.perf_counter() - start)
    return found


def refuse_existing(task: Task, outputs: Iterable[Path]) -> None:
    """Raise a FileFormatError if results exist that must not be replaced."""
    existing = [output for output in outputs if output.exists()]
    if existing and not task.overwrite:
        raise FileFormatError(
            f"{existing[0]} exists", remedy="Choose another folder, or replace it by --overwrite."
        )


def _segment(
    sam: MobileSAM,
    task: Task,
    path: Path,
    pixels: Plane,
    report: Callable[[int, int], None],
) -> Instances | LargeInstances:
    if isinstance(task.settings, EverythingSettings):
        return find_everything(
            sam, pixels, task.settings, task.limits, task.channels, task.tile, report
        )
    objects = split_objects(_prompts_of(task, path), one_object=task.one_object)
    pixels = np.asarray(pixels)
    rgb = to_rgb8(pixels, task.limits, task.channels)  # once: limits are those of the whole plane
    embed = partial(sam.embed, rgb, limits="dtype")
    shape = pixels.shape[0], pixels.shape[1]
    windows = {i: window_around(prompts.extent, shape) for i, prompts in enumerate(objects)}
    batches = _look(sam, embed, objects, windows, report)
    if task.closer:
        batches |= _look(sam, embed, objects, _windows_closer(objects, batches), report)
    in_order = [batches[number] for number in range(len(objects))]
    return as_instances(in_order, objects, select_channels(pixels, task.channels), task.settings)


def _look(
    sam: MobileSAM,
    embed: Callable[..., ImageEmbedding],
    objects: list[ObjectPrompts],
    windows: Mapping[int, Window | None],
    report: Callable[[int, int], None],
) -> dict[int, MaskBatch]:
    """Decode objects, by their numbers, each in a window of the plane or in all of it."""
    together: dict[Window | None, list[int]] = defaultdict(list)
    for number, window in windows.items():
        together[window].append(number)
    batches: dict[int, MaskBatch] = {}
    for window, numbers in together.items():
        report(len(batches), len(windows))
        found = decode(sam, embed(window=window), [objects[number] for number in numbers])
        batches |= zip(numbers, found, strict=True)
    report(len(windows), len(windows))
    return batches


def _windows_closer(
    objects: list[ObjectPrompts], batches: Mapping[int, MaskBatch]
) -> dict[int, Window | None]:
    """Windows for those objects that were seen too small."""
    windows = {
        number: closer_look(
            tuple(batch.crops()), batch.scores.tolist(), objects[number].extent, batch.frame
        )
        for number, batch in batches.items()
    }
    return {number: window for number, window in windows.items() if window is not None}


def _prompts_of(task: Task, path: Path) -> PromptSet:
    if isinstance(task.prompts, PromptSet):
        return task.prompts
    prompts = task.prompts.get(path.name)
    if prompts is None:
        raise PromptError(
            "the file of prompts has none for this image",
            expected=f"an entry {path.name!r}",
            got=", ".join(task.prompts) or "no entry",
        )
    return prompts


def decode(
    sam: MobileSAM, embedding: ImageEmbedding, objects: list[ObjectPrompts]
) -> list[MaskBatch]:
    """Decode objects to a batch of masks each, the best first; mere boxes go through together."""
    if not any(len(prompts.points) for prompts in objects):
        boxes = sam.predict_boxes(embedding, [prompts.proposal for prompts in objects])
        return [boxes[i] for i in range(len(boxes))]
    return [
        sam.predict(
            embedding,
            points=prompts.points,
            point_labels=prompts.labels,
            box=prompts.box,
            multimask=prompts.box is None,
        )
        for prompts in objects
    ]


def as_instances(
    batches: list[MaskBatch],
    objects: list[ObjectPrompts],
    intensity: NDArray[np.generic],
    settings: FilterSettings,
) -> Instances:
    """Make a label image and a table of decoded objects.

    The table's column ``prompt`` counts the objects from 1 as they were given.
    """
    crops = [batch.crop_with_stability(0) for batch in batches]
    candidates = Candidates(
        tuple(mask for mask, _ in crops),
        np.array([batch.scores[0] for batch in batches], dtype=np.float32),
        np.array([stability for _, stability in crops], dtype=np.float32),
        np.array([prompts.proposal for prompts in objects]),
        np.ones(len(objects), dtype=np.float32),
        batches[0].frame.plane_shape,
    )
    found = resolve(candidates, settings, intensity)
    numbers = {id(mask): number for number, mask in enumerate(candidates.masks, start=1)}
    table = found.table.assign(prompt=[numbers[id(mask)] for mask in found.masks])
    return replace(found, table=table)
