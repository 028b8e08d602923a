"""The demo's work. Imported only when there is work, as it needs torch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.markup import escape
from rich.table import Table
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.cli.console import bars, out
from napari_mobilesam.cli.labelling import as_instances, decode
from napari_mobilesam.cli.overlay import draw_objects, side_by_side
from napari_mobilesam.cli.prompts import PromptSet, split_objects
from napari_mobilesam.core.instances import Instances
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import FilterSettings
from napari_mobilesam.io.annotations import write_annotations

PROMPTS = {
    "a point": PromptSet(points=((150, 100),)),
    "a box": PromptSet(boxes=((300, 245, 512, 388),)),
    "a point, and one beside": PromptSet(points=((111, 424, 1), (150, 480, 0))),
}
"""Three glands, each by another kind of prompt."""

INPUT_SIZE = 512
"""Glands, large and full of texture, are better seen from farther away than by default."""

FOR_NUCLEI: dict[str, object] = {"confidence": 0.2, "image_size": 1024, "max_area": 1000}
"""Parameters of everything mode that suit the picture: many faint objects, none of them large."""


def show(folder: Path, model: str, device: str) -> None:
    """Segment glands from prompts and all nuclei; write the results and report on each step."""
    steps = _Steps()
    with steps.step("load the model"):
        sam = load_model(model, device=device, input_size=INPUT_SIZE)
    tissue = immunohistochemistry()
    nuclei = _nuclear_stain(tissue)
    glands = _find_glands(sam, tissue, steps)
    with steps.step("everything, in the nuclear stain") as step:
        settings = sam.default_settings().changed(**FOR_NUCLEI)
        objects = sam.everything(nuclei, settings=settings, progress=step.report)
        step.found = f"{len(objects)} nuclei"
    with steps.step("write the results"):
        Image.fromarray(tissue).save(folder / "tissue.png")
        Image.fromarray(nuclei).save(folder / "nuclei.png")
        _write(folder / "tissue", glands, sam)
        _write(folder / "nuclei", objects, sam)
        _overlay(tissue, glands, objects).save(folder / "overlay.png")
    out.print(steps.table)
    out.print(f"\nLook at [bold]{escape(str(folder / 'overlay.png'))}[/]. The same again:")
    changes = {"input_size": INPUT_SIZE} | FOR_NUCLEI
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changes.items())
    command = f"napari-mobilesam segment {folder / 'nuclei.png'} {options} -o {folder / 'again'}"
    out.print(escape(command), soft_wrap=True)


class _Step:
    """One step under way: ``report`` moves its bar, ``found`` is what it finds."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report = report
        self.found = ""


class _Steps:
    """What each step took and found, as a table."""

    def __init__(self) -> None:
        self.table = Table("step", "seconds", "found", box=None, padding=(0, 2, 0, 0))

    @contextmanager
    def step(self, title: str) -> Iterator[_Step]:
        """Time a step, under a progress bar."""
        start = time.perf_counter()
        with bars() as progress, progress.bar(title) as report:
            step = _Step(report)
            yield step
        self.table.add_row(title, f"{time.perf_counter() - start:.2f}", step.found)


def _nuclear_stain(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hematoxylin alone, bright on black: Ruifrok and Johnston's colour deconvolution."""
    return to_rgb8(rgb2hed(rgb)[..., 0])[..., 0]


def _find_glands(sam: MobileSAM, tissue: NDArray[np.uint8], steps: _Steps) -> Instances:
    with steps.step("embed the tissue"):
        embedding = sam.embed(tissue)
    objects = [split_objects(prompts, one_object=True)[0] for prompts in PROMPTS.values()]
    batches = []
    for title, prompts in zip(PROMPTS, objects, strict=True):
        with steps.step(title) as step:
            masks = decode(sam, embedding, [prompts])[0]
            step.found = f"{masks.crop(0).area} pixels, score {masks.scores[0]:.2f}"
        batches.append(masks)
    return as_instances(batches, objects, tissue, FilterSettings())


def _write(path: Path, found: Instances, sam: MobileSAM) -> None:
    for ending in (".labels.tif", ".labels.csv"):
        write_annotations(
            path.with_name(path.name + ending),
            found.labels,
            table=found.table,
            image_name=f"{path.name}.png",
            metadata={"model": sam.card.name, "input_size": sam.input_size},
        )


def _overlay(tissue: NDArray[np.uint8], glands: Instances, nuclei: Instances) -> Image.Image:
    prompts = draw_objects(
        tissue,
        glands.labels,
        points=[(*point[:2], [*point, 1][2]) for p in PROMPTS.values() for point in p.points],
        boxes=[box for p in PROMPTS.values() for box in p.boxes],
    )
    everything = draw_objects(tissue, nuclei.labels)
    return side_by_side(
        [
            ("Glands, from a point, a box, and a point with one beside", prompts),
            (f"Everything: {len(nuclei)} nuclei", everything),
        ]
    )
