"""The command ``napari-mobilesam`` as a whole: its subcommands, its errors, its exit codes.

0: all is well. 1: something could not be done. 2: wrong usage. 130: stopped by Ctrl-C.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import napari_mobilesam
from napari_mobilesam.cli import cache, models, train
from napari_mobilesam.cli.advise import advise
from napari_mobilesam.cli.console import note, out, show_error
from napari_mobilesam.cli.demo import demo
from napari_mobilesam.cli.distill import distill
from napari_mobilesam.cli.evaluate import evaluate
from napari_mobilesam.cli.info import info
from napari_mobilesam.cli.segment import segment
from napari_mobilesam.core.errors import (
    MobileSAMError,
    PromptError,
    SettingsError,
    UnknownModelError,
)

_WRONG_USAGE = (PromptError, SettingsError, UnknownModelError)


class _Commands(TyperGroup):
    """Turns our errors and Ctrl-C into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MobileSAMError as error:
            if ctx.params["debug"]:
                raise
            show_error(error)
            raise typer.Exit(2 if isinstance(error, _WRONG_USAGE) else 1) from error
        except KeyboardInterrupt as error:
            note("Stopped. Files that were finished are whole; the others were not written.")
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command()(demo)
app.command()(segment)
app.command()(advise)
app.command()(distill)
app.command()(evaluate)
app.command()(info)
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"napari-mobilesam {napari_mobilesam.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Label scientific images with MobileSAM: from points, from boxes, or everything at once."""
