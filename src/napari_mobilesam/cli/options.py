"""Options that several commands share, and those that come from the settings themselves."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic.fields import FieldInfo

from napari_mobilesam.core.settings import Limits, Settings


def settings_options(
    panels: Mapping[type[Settings], str],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for every field of some settings classes.

    Names, types, ranges and help are the fields' own. The command receives those that were
    given as a dictionary, ``changes``.

    Parameters
    ----------
    panels : mapping of type of Settings to str
        The classes, each with the heading of its options in the command's help. A field that
        several classes share belongs to the first of them.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = {
            name: _option(name, field, panel)
            for settings, panel in reversed(list(panels.items()))
            for name, field in settings.model_fields.items()
        }

        @wraps(command)
        def with_options(**values: Any) -> None:
            given = {name: values.pop(name) for name in options}
            changes = {name: value for name, value in given.items() if value is not None}
            command(**values, changes=changes)

        own = [p for p in inspect.signature(command).parameters.values() if p.name != "changes"]
        parameters = [*own, *options.values()]
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_options

    return decorate


def _option(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    """State a pydantic field as a typer option that is None unless it is given."""
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=field.description,
        min=_bound(field, "ge"),
        max=_bound(field, "le"),
        rich_help_panel=panel,
        show_default=False,
    )
    kind: Any = field.annotation
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _bound(field: FieldInfo, name: str) -> float | None:
    """Least ("ge") or greatest ("le") value that a field allows."""
    found = (getattr(constraint, name, None) for constraint in field.metadata)
    return next((bound for bound in found if bound is not None), None)


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them, as ``option`` was given.

    Raises
    ------
    typer.BadParameter
        If they are none.
    """
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise _misread(text, option, "whole numbers such as 0,2") from error


def intensity_limits(text: str, option: str) -> Limits:
    """Read ``percentile``, ``dtype`` or two intensities, as ``option`` was given."""
    names: dict[str, Limits] = {"percentile": "percentile", "dtype": "dtype"}
    if text in names:
        return names[text]
    form = "percentile, dtype or LOW,HIGH"
    rows = rows_of_numbers(text, (2,), option, form)
    if len(rows) != 1:
        raise _misread(text, option, form)
    return rows[0][0], rows[0][1]


def rows_of_numbers(
    text: str, lengths: Sequence[int], option: str, form: str
) -> list[tuple[float, ...]]:
    """Read rows of numbers with semicolons between them, as ``option`` was given."""
    try:
        rows = [tuple(map(float, row.split(","))) for row in text.split(";") if row.strip()]
    except ValueError as error:
        raise _misread(text, option, form) from error
    if not rows or any(len(row) not in lengths for row in rows):
        raise _misread(text, option, form)
    return rows


def _misread(text: str, option: str, form: str) -> typer.BadParameter:
    return typer.BadParameter(f"expected {form}, got {text!r}", param_hint=option)


def output_folder(path: Path) -> Path:
    """Make sure that a folder to write to exists."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"the folder {path} cannot be made: {error}", param_hint="--output"
        ) from error
    return path


Model = Annotated[
    str,
    typer.Option("--model", "-m", help="Name of a model (see `models list`), or a checkpoint."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]

Engine = Annotated[
    Literal["torch", "openvino"],
    typer.Option(help="What runs encoder and decoder; openvino is an extra, for CPUs."),
]

Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(
        help="What they compute in. auto is float16 on a GPU, bfloat16 on a CPU that is made for "
        "it, float32 elsewhere.",
    ),
]
