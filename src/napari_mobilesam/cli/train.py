"""``napari-mobilesam train``: make an encoder or a detector that fits your images."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mobilesam.cli.console import bars, note
from napari_mobilesam.cli.models import fetch_files
from napari_mobilesam.cli.options import Device, output_folder, settings_options
from napari_mobilesam.core.settings import Settings
from napari_mobilesam.training.settings import (
    DecoderGuidedSettings,
    DetectorDataSettings,
    DetectorTrainingSettings,
    ViewSettings,
)
from napari_mobilesam.zoo.catalog import get_card

app = typer.Typer(no_args_is_help=True, help="Train an encoder or a detector on your images.")

ENCODER: dict[type[Settings], str] = {DecoderGuidedSettings: "Training"}
DETECTOR: dict[type[Settings], str] = {
    DetectorDataSettings: "What is learned from",
    ViewSettings: "How it is shown",
    DetectorTrainingSettings: "Training",
}

Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...", help="Folders or zips with images/ID.png and labels/ID.png."
    ),
]
Validation = Annotated[
    Path, typer.Option("--validation", "-v", help="The same, to choose the best by.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder of the run; one that was cut off in it is gone on with."
    ),
]
Start = Annotated[str, typer.Option(help="Model to start from: a name, or a checkpoint.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare images.")]


@app.command()
@settings_options(ENCODER)
def encoder(
    images: Images,
    validation: Validation,
    output: Output,
    start: Start = "micro",
    synthetic_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the images that are synthetic scenes.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same examples.")] = 0,
    device: Device = "auto",
    workers: Workers = 1,
    *,
    changes: dict[str, object],
) -> None:
    """Train an image encoder through the frozen decoder, from labels.

    The same command again goes on with a run that was cut off. Started by torchrun, it uses a
    GPU for each process. Without other options it trains for an hour and a half, on a GPU for
    ten minutes; there most of the work is to prepare the images, so give it many workers.
    """
    fetch_files(get_card(start))
    folder = output_folder(output)

    from napari_mobilesam.training.micro import recipe, train_micro
    from napari_mobilesam.training.processes import process_group, rank_and_count

    with (
        process_group(device) as own_device,
        bars(hidden=rank_and_count()[0] > 0) as progress,
        progress.bar("steps") as report,
    ):
        data, settings = recipe(own_device)
        train_micro(
            images,
            validation,
            folder,
            start=start,
            data=data.changed(synthetic_share=synthetic_share, seed=seed),
            settings=settings.changed(**changes),
            device=own_device,
            progress=report,
            workers=workers,
        )
    note(f"The best encoder is {folder / 'best.safetensors'}.")


@app.command()
@settings_options(DETECTOR)
def detector(
    images: Images,
    validation: Validation,
    output: Output,
    start: Annotated[
        str, typer.Option(help="Model to start from, or `scratch` for random weights.")
    ] = "micro",
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that draw scenes; 0 for none besides.")
    ] = 0,
    *,
    changes: dict[str, object],
) -> None:
    """Train the detector of everything mode, from labels.

    The same command again goes on with a run that was cut off.
    """
    card = None if start == "scratch" else get_card(start)
    if card is not None:
        fetch_files(card)
    folder = output_folder(output)

    from napari_mobilesam.io.labelled_images import LabelledImages
    from napari_mobilesam.training.detector import train_detector
    from napari_mobilesam.training.detector_data import gather_tiles, held_out_scenes
    from napari_mobilesam.training.micro import detector_recipe
    from napari_mobilesam.training.processes import process_group, rank_and_count
    from napari_mobilesam.zoo.checkpoints import load_detector

    data = DetectorDataSettings().changed(**_of(DetectorDataSettings, changes))
    views = ViewSettings().changed(**_of(ViewSettings, changes))
    with process_group(device) as own_device, bars(hidden=rank_and_count()[0] > 0) as progress:
        training = detector_recipe(own_device).changed(**_of(DetectorTrainingSettings, changes))
        network = None if card is None else load_detector(card)
        sources = [LabelledImages(path) for path in images]
        held_out = [*LabelledImages(validation), *held_out_scenes(data.tile)]
        with progress.bar("images") as report:
            tiles = gather_tiles(sources, data, workers=workers, progress=report)
        with progress.bar("steps") as report:
            result = train_detector(
                tiles,
                held_out,
                folder,
                training,
                views,
                start=network,
                device=own_device,
                progress=report,
            )
    note(f"The best detector is {result}.")


def _of(settings: type[Settings], changes: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in changes.items() if name in settings.model_fields}
