"""``napari-mobilesam demo``: a real micrograph, three prompts, then everything; offline."""

from pathlib import Path
from typing import Annotated

import typer

from napari_mobilesam.cli.console import err
from napari_mobilesam.cli.models import fetch_files
from napari_mobilesam.cli.options import Device, Model, output_folder
from napari_mobilesam.zoo.catalog import get_card


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder to write to; files of an earlier demo are replaced."
        ),
    ] = Path("mobilesam-demo"),
    model: Model = "micro",
    device: Device = "auto",
) -> None:
    """Segment a stained tissue section: three glands from prompts, then every nucleus.

    The picture comes with scikit-image; with the bundled model nothing is downloaded.
    """
    fetch_files(get_card(model))
    folder = output_folder(output)
    with err.status("Starting"):
        from napari_mobilesam.cli.showcase import show
    show(folder, model, device)
