"""``napari-mobilesam distill``: a small encoder learns what a large one sees."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mobilesam.cli.console import bars, note
from napari_mobilesam.cli.models import fetch_files
from napari_mobilesam.cli.options import Device, output_folder, settings_options
from napari_mobilesam.training.settings import DistillSettings
from napari_mobilesam.zoo.catalog import get_card


@settings_options({DistillSettings: "Training"})
def distill(
    images: Annotated[
        Path, typer.Argument(help="Folder of images, or labelled images in a folder or zip.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder of the run; one that was cut off in it is gone on with."
        ),
    ],
    teacher: Annotated[str, typer.Option(help="Model whose embeddings are learned.")],
    student: Annotated[str, typer.Option(help="Model whose encoder learns.")] = "micro",
    input_size: Annotated[
        int, typer.Option(min=64, max=1024, help="Side of the encoders' input, in pixels.")
    ] = 1024,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 1,
    *,
    changes: dict[str, object],
) -> None:
    """Teach an encoder the embeddings of another, which are computed once and kept.

    The same command again goes on with a run that was cut off. Started by torchrun, it uses a
    GPU for each process.
    """
    settings = DistillSettings().changed(**changes)
    cards = get_card(teacher), get_card(student)
    for card in cards:
        fetch_files(card)
    folder = output_folder(output)

    from napari_mobilesam.io.labelled_images import LabelledImages
    from napari_mobilesam.training import distill as distillation
    from napari_mobilesam.training.processes import process_group, rank_and_count
    from napari_mobilesam.zoo.checkpoints import load_sam

    is_labelled = images.is_file() or (images / "labels").is_dir()
    source = LabelledImages(images) if is_labelled else distillation.ImageFiles(images)
    embeddings = folder / "embeddings.zarr"
    with process_group(device) as own_device, bars(hidden=rank_and_count()[0] > 0) as progress:
        with progress.bar("embeddings") as report:
            distillation.write_embeddings(
                load_sam(cards[0]),
                source,
                input_size,
                embeddings,
                progress=report,
                device=own_device,
            )
        with progress.bar("steps") as report:
            distillation.distill(
                load_sam(cards[1]),
                distillation.Lessons(source, embeddings, settings),
                settings,
                folder,
                progress=report,
                device=own_device,
                workers=workers,
            )
    note(f"The student's encoder is {folder / 'encoder.safetensors'}.")
