import inspect
from typing import get_args

import pytest
import typer

from napari_mobilesam.cli.options import (
    intensity_limits,
    rows_of_numbers,
    settings_options,
    whole_numbers,
)
from napari_mobilesam.cli.segment import SETTINGS
from napari_mobilesam.core.settings import EverythingSettings, LinkSettings

FIELDS = EverythingSettings.model_fields | LinkSettings.model_fields


@settings_options(SETTINGS)
def command(name: str, *, changes: dict) -> None:
    recorded.append((name, changes))


recorded: list = []
parameters = inspect.signature(command).parameters


def test_every_setting_is_an_option_with_the_fields_own_words():
    assert set(parameters) == {"name", *FIELDS}
    for name, field in FIELDS.items():
        option = get_args(parameters[name].annotation)[1]
        assert option.default == f"--{name.replace('_', '-')}"
        assert option.help == field.description


def test_ranges_are_the_fields_own():
    def option(name):
        return get_args(parameters[name].annotation)[1]

    assert (option("confidence").min, option("confidence").max) == (0.0, 1.0)
    assert (option("min_area").min, option("min_area").max) == (1, None)
    assert option("grid_min_score").rich_help_panel == "Everything mode: grid of points"
    assert option("sampler").rich_help_panel == "Everything mode"


def test_the_command_receives_what_was_given():
    recorded.clear()
    settings = dict.fromkeys(FIELDS)
    command(name="a", **settings | {"min_area": 5, "min_score": 0.0})
    assert recorded == [("a", {"min_score": 0.0, "min_area": 5})]


def test_numbers():
    assert whole_numbers("0,2", "--plane") == (0, 2)
    rows = rows_of_numbers("1,2.5;3,-4,0;", (2, 3), "--points", "y,x[,label]")
    assert rows == [(1.0, 2.5), (3.0, -4.0, 0.0)]
    assert intensity_limits("dtype", "--limits") == "dtype"
    assert intensity_limits("10,200.5", "--limits") == (10.0, 200.5)


@pytest.mark.parametrize(
    "parse",
    [
        lambda: whole_numbers("1.5", "--o"),
        lambda: rows_of_numbers("1,x", (2,), "--o", "form"),
        lambda: rows_of_numbers("", (2,), "--o", "form"),
        lambda: rows_of_numbers("1,2,3,4", (2, 3), "--o", "form"),
        lambda: intensity_limits("minmax", "--o"),
        lambda: intensity_limits("1,2,3", "--o"),
        lambda: intensity_limits("1,2;3,4", "--o"),
    ],
)
def test_what_is_no_number(parse):
    with pytest.raises(typer.BadParameter) as raised:
        parse()
    assert raised.value.param_hint == "--o"
