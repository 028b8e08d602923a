"""``napari-mobilesam models``: see, download, check and export the models of the zoo."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from napari_mobilesam.cli.console import bars, out
from napari_mobilesam.core.errors import DownloadError
from napari_mobilesam.zoo.card import Download, ModelCard, WeightFile
from napari_mobilesam.zoo.catalog import get_card, list_cards
from napari_mobilesam.zoo.download import cached_path, fetch

app = typer.Typer(no_args_is_help=True, help="See, download, check and export models.")

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Models.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, or a checkpoint file.")]

_COLOURS = {"good": "green", "absent": "yellow", "bad": "red"}


@app.command("list")
def list_models() -> None:
    """Show all models: what they are for, and whether they are on this machine."""
    table = Table("model", "for", "on this machine", box=None, padding=(0, 2, 1, 0))
    for card in list_cards():
        table.add_row(f"[bold]{card.name}[/]", card.purpose, _presence(card))
    out.print(table)


@app.command()
def info(name: Name) -> None:
    """Show all that is known about a model."""
    card = get_card(name)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for title, value in (
        ("model", card.name),
        ("title", card.title),
        ("for", card.purpose),
        ("architecture", f"{card.architecture}, detector {card.detector}"),
        ("input size", f"{card.sides} pixels"),
        ("normalisation", card.normalization),
        ("licence", f"{card.licence}; detector AGPL-3.0"),
        ("cite", card.citation),
        ("everything", ", ".join(f"{k}={v}" for k, v in card.everything)),
    ):
        table.add_row(title, escape(value))
    for file in card.files:
        table.add_row(file.role, escape(_describe(file)))
    out.print(table)


@app.command()
def download(names: Names) -> None:
    """Download models and check what came."""
    for name in names:
        fetch_files(get_card(name))
        out.print(f"{name} is ready.")


@app.command()
def export(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    file_format: Annotated[
        Literal["mobile_sam", "safetensors"],
        typer.Option(
            "--format",
            help="A .pt for the official MobileSAM and ultralytics.SAM, or safetensors.",
        ),
    ] = "mobile_sam",
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Write a model's encoder and decoder to one file, for other software."""
    if output.exists() and not overwrite:
        raise typer.BadParameter(f"{output} exists; --overwrite replaces it", param_hint="--output")
    card = get_card(name)
    fetch_files(card)
    from napari_mobilesam.zoo.export import export_model

    path = export_model(card, output, file_format)
    out.print(f"Wrote {escape(str(path))}.", soft_wrap=True)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Models; all if none is named.")
    ] = None,
) -> None:
    """Check hash and content of the files that are on this machine.

    A file that is absent is a failure only for a model that is named.
    """
    from napari_mobilesam.zoo.checkpoints import verify as verify_card

    cards = [get_card(name) for name in names] if names else list_cards()
    failing = {"bad", "absent"} if names else {"bad"}
    failed = False
    for card in cards:
        for report in verify_card(card):
            failed |= report.state in failing
            state = f"[{_COLOURS[report.state]}]{report.state}[/]"
            about = escape(f"{card.name} {report.file.role}: {report.detail}")
            out.print(f"{state}  {about}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def fetch_files(card: ModelCard) -> None:
    """Bring the files of a model onto this machine, with a progress bar for what is downloaded."""
    with bars(of_bytes=True) as progress:
        for file in card.files:
            with progress.bar(file.name) as report:
                fetch(file, report)


def _presence(card: ModelCard) -> str:
    if card.is_bundled:
        return "bundled"
    if all(_is_here(file) for file in card.files):
        return "installed"
    sizes = [file.size for file in card.files if not _is_here(file)]
    return "download" + ("" if None in sizes else f", {sum(filter(None, sizes)) / 1e6:.0f} MB")


def _is_here(file: WeightFile) -> bool:
    try:
        return cached_path(file).is_file()
    except DownloadError:
        return False


def _describe(file: WeightFile) -> str:
    urls = file.source.urls if isinstance(file.source, Download) else ()
    try:
        place = str(cached_path(file))
    except DownloadError as error:
        place = str(error)
    digest = f"SHA-256 {file.sha256}" if file.sha256 else f"xxh128 {file.xxh128}"
    known = digest if file.sha256 or file.xxh128 else "no published hash: pinned when it comes"
    return "\n".join([place + ("" if _is_here(file) else " (not there yet)"), *urls, known])
