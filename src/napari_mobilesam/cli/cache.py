"""``napari-mobilesam cache``: look at the embeddings that are kept on disk, and remove them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from napari_mobilesam.cli.console import out
from napari_mobilesam.zoo.download import embeddings_dir

if TYPE_CHECKING:  # zarr stays out of the command's help
    from napari_mobilesam.inference.cache import EmbeddingCache

app = typer.Typer(no_args_is_help=True, help="Look at embeddings kept on disk; remove them.")


@app.command()
def info() -> None:
    """Show where embeddings are kept, how many, and what they take."""
    cache = _cache()
    entries = cache.entries()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("folder", escape(str(cache.folder)))
    table.add_row("embeddings", str(len(entries)))
    table.add_row("size", decimal(sum(entry.n_bytes for entry in entries)))
    if entries:
        oldest = datetime.fromtimestamp(entries[0].last_used).astimezone()
        table.add_row("least recently used", f"{oldest:%Y-%m-%d %H:%M}")
    out.print(table)


@app.command()
def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove all embeddings; they are made again when they are needed."""
    cache = _cache()
    before = cache.entries()
    if not before:
        out.print("There are no embeddings to remove.")
        return
    size = decimal(sum(entry.n_bytes for entry in before))
    if not yes:
        typer.confirm(f"Remove {len(before)} embeddings ({size}) from {cache.folder}?", abort=True)
    cache.clear()
    left = len(cache.entries())
    out.print(f"Removed {len(before) - left} embeddings ({size}).")
    if left:
        out.print(f"{left} could not be removed from {escape(str(cache.folder))}.", soft_wrap=True)
        raise typer.Exit(1)


def _cache() -> "EmbeddingCache":
    from napari_mobilesam.inference.cache import EmbeddingCache

    return EmbeddingCache(embeddings_dir())
