"""``napari-mobilesam evaluate``: how good a model is on labelled images."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_mobilesam.cli.console import bars, note, out
from napari_mobilesam.cli.models import fetch_files
from napari_mobilesam.cli.options import Device, Engine, Model, Precision, output_folder
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.zoo.catalog import get_card


def evaluate(
    images: Annotated[
        Path,
        typer.Argument(help="Folder or zip with images/ID.png and labels/ID.png (0 = background)."),
    ],
    model: Model = "micro",
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="otsu, grid or fastsam=FILE, on the same images. Can be given several times.",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another model, to compare masks with.", show_default=False)
    ] = None,
    clicks: Annotated[
        bool, typer.Option("--clicks", help="Count clicks to a good mask, which takes long.")
    ] = False,
    objects: Annotated[
        int, typer.Option(min=0, help="Most objects prompted in an image; 0 for all.")
    ] = 12,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most images, evenly spaced.", show_default=False)
    ] = None,
    closer: Annotated[
        bool | None,
        typer.Option(
            "--closer/--no-closer",
            help="Look at small objects that are prompted again, in a window around them; the "
            "model's own way if not given.",
            show_default=False,
        ),
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(help="Side of the encoder's input; the model's own if not given."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for evaluation.json, .md and .png.", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    engine: Engine = "torch",
    precision: Precision = "auto",
) -> None:
    """Evaluate a model on labelled images that it did not learn from.

    Mean IoU from boxes and points, average precision and panoptic quality of everything mode,
    average recall of its proposals; of baselines, too.
    """
    folder = None if output is None else output_folder(output)
    for name in filter(None, (model, against)):
        fetch_files(get_card(name))

    from napari_mobilesam.evaluation.evaluate import evaluate as run
    from napari_mobilesam.evaluation.plots import plot

    with bars() as progress, progress.bar("images") as report:
        evaluation = run(
            model,
            images,
            baselines=baseline or (),
            against=against,
            clicks=clicks,
            objects_per_image=objects or None,
            limit=limit,
            closer=closer,
            input_size=input_size,
            device=device,
            engine=engine,
            precision=precision,
            progress=report,
        )
    table = Table("of", "measure", "value", box=None, padding=(0, 2, 0, 0))
    for _, row in evaluation.table().iterrows():
        table.add_row(row["of"], row["measure"], f"{row['value']:.3f}")
    out.print(table)
    if folder is not None:
        evaluation.to_json(folder / "evaluation.json")
        with replacing(folder / "evaluation.md") as draft:
            draft.write_text(evaluation.to_markdown() + "\n", encoding="utf-8")
        plot(evaluation, folder / "evaluation.png")
        note(f"The figures are in {folder}.")
