"""``napari-mobilesam segment``: label images, from prompts or everything in them."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from napari_mobilesam.bulk.inputs import find_images, refuse_clashes
from napari_mobilesam.cli.console import bars, err, note, out, show_error
from napari_mobilesam.cli.models import fetch_files
from napari_mobilesam.cli.options import (
    Device,
    Engine,
    Model,
    Precision,
    intensity_limits,
    output_folder,
    settings_options,
    whole_numbers,
)
from napari_mobilesam.cli.prompts import FORM, PromptSet, parse_prompts, read_prompts
from napari_mobilesam.core.errors import FileFormatError, MobileSAMError
from napari_mobilesam.core.settings import (
    DetectorSettings,
    EverythingSettings,
    FilterSettings,
    GridSettings,
    LinkSettings,
    Settings,
)
from napari_mobilesam.io.planes import MAX_PIXELS
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.download import embeddings_dir

if TYPE_CHECKING:  # torch stays out of the command's help
    from napari_mobilesam.api import MobileSAM
    from napari_mobilesam.cli.labelling import Task
    from napari_mobilesam.inference.cache import EmbeddingCache

PROMPTS, READING, WRITING = "What to find", "How images are read", "What is written"
SETTINGS: dict[type[Settings], str] = {
    FilterSettings: "Which objects are kept",
    DetectorSettings: "Everything mode: detector",
    GridSettings: "Everything mode: grid of points",
    EverythingSettings: "Everything mode",
    LinkSettings: "Stacks: how objects are linked",
}


class Format(StrEnum):
    """Names in ``io.annotations.FORMATS``, which would load half of scipy for the help."""

    TIFF = "tiff"
    COCO = "coco"
    GEOJSON = "geojson"
    ROI = "roi"
    YOLO = "yolo"
    CSV = "csv"
    OME_ZARR = "ome-zarr"


@settings_options(SETTINGS)
def segment(
    ctx: typer.Context,
    images: Annotated[
        list[Path],
        typer.Argument(
            help="TIFF, PNG, JPEG, BMP or .npy files; OME-Zarr images and plates; folders of "
            "them; patterns in quotes."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write to.", rich_help_panel=WRITING)
    ],
    model: Model = "micro",
    device: Device = "auto",
    engine: Engine = "torch",
    precision: Precision = "auto",
    input_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the encoder's input in pixels, a multiple of 64 up to 1024; "
            "the model's own if not given.",
            show_default=False,
        ),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(
            help="Detector of everything mode, as `train detector` writes it; the model's own if "
            "not given.",
            show_default=False,
        ),
    ] = None,
    cache_gigabytes: Annotated[
        int,
        typer.Option(
            min=0,
            help="Disk space for embeddings, so that other prompts or settings on the same images "
            "need no encoder; 0 keeps none. See `cache`.",
        ),
    ] = 0,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            help="Find every object; the default without prompts.",
            rich_help_panel=PROMPTS,
        ),
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(
            min=128,
            help="Look at the plane in overlapping tiles of this side, in pixels: for planes in "
            "which the objects would be too small otherwise. Everything mode only.",
            show_default=False,
        ),
    ] = None,
    stack: Annotated[
        bool,
        typer.Option(
            "--stack",
            help="Look at all planes of stacks or time series, and link their objects. "
            "Writes labels, a table and tracks. Everything mode only.",
        ),
    ] = False,
    points: Annotated[
        str | None,
        typer.Option(
            metavar="Y,X[,LABEL];...",
            help="Points in pixels, (0, 0) at the top left. Each with label 1 (or none) is on an "
            "object of its own; those with label 0 are beside all objects.",
            rich_help_panel=PROMPTS,
            show_default=False,
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="Y0,X0,Y1,X1;...",
            help="Boxes in pixels, each around an object of its own.",
            rich_help_panel=PROMPTS,
            show_default=False,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=escape(f"JSON file: {FORM}, or one such entry for each image's file name."),
            rich_help_panel=PROMPTS,
            show_default=False,
        ),
    ] = None,
    one_object: Annotated[
        bool,
        typer.Option(
            "--one-object",
            help="All points, and a box at most, are about one object.",
            rich_help_panel=PROMPTS,
        ),
    ] = False,
    closer: Annotated[
        bool | None,
        typer.Option(
            help="Look at small objects that are prompted again, in a window around them; as the "
            "model's card says if not given. Takes an encoder run a window.",
            rich_help_panel=PROMPTS,
            show_default=False,
        ),
    ] = None,
    plane: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help="Plane of a stack: one number from 0 for each of its axes.",
            rich_help_panel=READING,
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help="One to three channels from 0, shown as grey, red and green, or RGB.",
            rich_help_panel=READING,
            show_default=False,
        ),
    ] = None,
    limits: Annotated[
        str,
        typer.Option(
            metavar="LIMITS",
            help="Intensities shown as black and white: percentile, dtype (the range of the "
            "type) or LOW,HIGH.",
            rich_help_panel=READING,
        ),
    ] = "percentile",
    max_pixels: Annotated[
        int,
        typer.Option(
            min=1,
            help="Largest plane that is read, so that no small file fills the memory.",
            rich_help_panel=READING,
        ),
    ] = MAX_PIXELS,
    formats: Annotated[
        list[Format],
        typer.Option(
            "--format",
            "-f",
            help="Can be given several times.",
            rich_help_panel=WRITING,
        ),
    ] = [Format.TIFF, Format.CSV],  # noqa: B006
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=WRITING),
    ] = False,
    contact_sheet: Annotated[
        bool | None,
        typer.Option(
            help="Write mobilesam-batch.html, a page of thumbnails with the suspicious ones first, "
            "and mobilesam-batch.csv; the default where there are several images.",
            rich_help_panel=WRITING,
            show_default=False,
        ),
    ] = None,
    *,
    changes: dict[str, object],
) -> None:
    """Label the objects in images: at points, in boxes, or all of them.

    Settings of everything mode that are not given are those that the model recommends.

    An image that fails is named, and the others are still done; the exit code is then 1. The same
    command again passes over what is finished, and so goes on with a run that was cut off.
    """
    images = find_images(images)
    _refuse_clashes(images)
    given = _choose_prompts(everything, points, boxes, prompts)
    if tile is not None and given is not None:
        raise typer.BadParameter("--tile is for everything mode; leave the prompts out")
    if closer is not None and given is None:
        raise typer.BadParameter("--closer and --no-closer are for prompts")
    if stack and (given is not None or plane is not None):
        raise typer.BadParameter("--stack finds everything on all planes; leave out the others")
    of_link = {name: changes.pop(name) for name in LinkSettings.model_fields if name in changes}
    if of_link and not stack:
        raise typer.BadParameter(f"--{min(of_link).replace('_', '-')} is for --stack")
    chosen_plane = None if plane is None else whole_numbers(plane, "--plane")
    chosen_channels = None if channels is None else whole_numbers(channels, "--channels")
    chosen_limits = intensity_limits(limits, "--limits")
    card = get_card(model)
    settings = (card.everything if given is None else FilterSettings()).changed(**changes)
    folder = output_folder(output)
    fetch_files(card)

    from napari_mobilesam.api import load_model
    from napari_mobilesam.cli.labelling import Task

    task = Task(
        output=folder,
        formats=tuple(dict.fromkeys(formats)),
        overwrite=overwrite,
        plane=chosen_plane,
        channels=chosen_channels,
        limits=chosen_limits,
        settings=settings,
        prompts=PromptSet() if given is None else given,
        one_object=one_object,
        closer=card.closer if closer is None else closer,
        tile=tile,
        contact_sheet=not stack and (len(images) > 1 if contact_sheet is None else contact_sheet),
        max_pixels=max_pixels,
        linking=LinkSettings().changed(**of_link) if stack else None,
    )
    with err.status("Loading the model"):
        sam = load_model(
            model,
            device=device,
            input_size=input_size,
            detector=detector,
            engine=engine,
            precision=precision,
            cache=_cache(cache_gigabytes),
        )
    _label_all(sam, task, images, debug=ctx.find_root().params["debug"])


def _label_all(sam: "MobileSAM", task: "Task", images: list[Path], *, debug: bool) -> None:
    """Label one image after the other; one that fails is reported and passed over."""
    from napari_mobilesam.bulk.contact_sheet import write_sheet
    from napari_mobilesam.cli.labelling import label_image
    from napari_mobilesam.cli.stacks import label_stack

    label = label_image if task.linking is None else label_stack
    table = Table("image", "objects", "seconds", box=None, padding=(0, 2, 0, 0))
    journal, failed = task.journal(sam), 0
    rows: list[dict[str, object]] = []
    with bars() as progress, progress.bar("images") as report_images:
        for number, path in enumerate(images):
            report_images(number, len(images))
            entry = None if task.overwrite else journal.finished(path)
            rows.append({"image": path, "objects": 0, "seconds": 0.0, "error": ""})
            if entry is not None:
                rows[-1] |= {"objects": entry.objects, "seconds": entry.seconds}
                table.add_row(escape(path.name), str(entry.objects), "done before")
                continue
            start = time.perf_counter()
            try:
                with progress.bar(path.name) as report:
                    found = label(sam, task, path, journal, report)
            except (MobileSAMError, MemoryError) as error:
                failed += 1
                rows[-1]["error"] = str(error) or type(error).__name__
                show_error(error, path.name)
                if debug:
                    err.print_exception()
            else:
                seconds = time.perf_counter() - start
                rows[-1] |= {"objects": len(found), "seconds": seconds}
                table.add_row(escape(path.name), str(len(found)), f"{seconds:.1f}")
    if task.contact_sheet:
        note(f"Look through the results in {write_sheet(task.output, rows)}.")
    if table.row_count:
        out.print(table)
        note(f"The results are in {task.output}.")
    if failed:
        note(f"{failed} of {len(images)} images failed.")
        raise typer.Exit(1)


def _cache(gigabytes: int) -> "EmbeddingCache | Literal[False]":
    if not gigabytes:
        return False
    from napari_mobilesam.inference.cache import EmbeddingCache

    return EmbeddingCache(embeddings_dir(), gigabytes * 10**9)


def _choose_prompts(
    everything: bool, points: str | None, boxes: str | None, prompts: Path | None
) -> PromptSet | dict[str, PromptSet] | None:
    if sum((everything, points is not None or boxes is not None, prompts is not None)) > 1:
        raise typer.BadParameter("choose one of --everything, --points with --boxes, or --prompts")
    return parse_prompts(points, boxes) if prompts is None else read_prompts(prompts)


def _refuse_clashes(images: list[Path]) -> None:
    try:
        refuse_clashes(images)
    except FileFormatError as error:
        raise typer.BadParameter(str(error)) from error
