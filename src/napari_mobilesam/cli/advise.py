"""``napari-mobilesam advise``: how large the objects are, and how to look at the image."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mobilesam.cli.console import err, out
from napari_mobilesam.cli.models import fetch_files
from napari_mobilesam.cli.options import Device, Model, intensity_limits, whole_numbers
from napari_mobilesam.zoo.catalog import get_card


def advise(
    image: Annotated[Path, typer.Argument(help="An image file, or an OME-Zarr image.")],
    model: Model = "micro",
    device: Device = "auto",
    plane: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help="Plane of a stack: one number from 0 for each of its axes.",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(metavar="N,...", help="One to three channels from 0.", show_default=False),
    ] = None,
    limits: Annotated[
        str,
        typer.Option(metavar="LIMITS", help="percentile, dtype or LOW,HIGH."),
    ] = "percentile",
) -> None:
    """Measure the objects of an image, and propose tile and input size for `segment`."""
    fetch_files(get_card(model))
    chosen_plane = None if plane is None else whole_numbers(plane, "--plane")
    chosen_channels = None if channels is None else whole_numbers(channels, "--channels")
    chosen_limits = intensity_limits(limits, "--limits")

    from napari_mobilesam.api import load_model
    from napari_mobilesam.bulk.advise import advise as measure

    with err.status("Looking at the image"):
        sam = load_model(model, device=device)
        advice = measure(
            image, sam, plane=chosen_plane, channels=chosen_channels, limits=chosen_limits
        )
    out.print(advice.sentence, soft_wrap=True)
    options = f" --input-size {advice.input_size}"
    if advice.tile is not None:
        options += f" --tile {advice.tile}"
    if advice.image_size is not None:
        options += f" --image-size {advice.image_size}"
    out.print(f"napari-mobilesam segment ...{options}")
