"""What the documentation shows runs, and what it tabulates is what the code says."""

import re
from pathlib import Path

import pytest
import typer

from napari_mobilesam import EverythingSettings
from napari_mobilesam.cli.main import app
from napari_mobilesam.io.annotations import FORMATS
from napari_mobilesam.plugin.keys import KEYS
from napari_mobilesam.zoo.catalog import list_cards

ROOT = Path(__file__).parents[1]


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "docs/tour.md"])
def test_the_python_of_a_page_runs_from_top_to_bottom(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(compile(block, name, "exec"), namespace)
    assert len(namespace["found"]) > 0
    assert (tmp_path / "labels.tif").is_file()
    assert capsys.readouterr().out


def test_the_scripts_run_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", page("docs/scripting.md"), re.MULTILINE | re.DOTALL
    )
    namespace = {}
    for block in blocks:
        exec(compile(block, "docs/scripting.md", "exec"), namespace)
    assert (namespace["again"] == namespace["labels"]).all()
    assert namespace["planes"].labels.array.any(axis=(1, 2)).all()
    assert "False" not in capsys.readouterr().out
    assert (tmp_path / "labels.geojson").is_file()


def test_the_table_of_keys_is_that_of_the_plugin():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page("docs/annotate.md"), re.MULTILINE)
    assert rows == [(key.name, key.help) for key in KEYS]


def test_the_table_of_models_is_that_of_the_zoo():
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| ([\d to]+) \| (\S+) \|$", page("docs/models.md"), re.MULTILINE
    )
    cards = [(card.name, card.sides, card.licence) for card in list_cards()]
    assert sorted(rows) == sorted(cards)


def test_the_notice_names_every_model_that_is_fetched():
    names = set(re.findall(r"\w+", page("NOTICE")))
    assert {card.name for card in list_cards() if not card.is_bundled} <= names


def test_the_table_of_parameters_is_that_of_the_settings():
    section = page("docs/everything.md").split("## Parameters")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", section, re.MULTILINE)
    documented = {name: default.strip().strip('"') for name, default in rows}
    fields = EverythingSettings.model_fields
    assert {name: documented.get(name) for name in fields} == {
        name: str(field.default) for name, field in fields.items()
    }


def test_the_page_of_the_command_line_knows_every_command_and_no_other_option():
    text = page("docs/command-line.md")
    commands, options = _commands_and_options(typer.main.get_command(app))
    assert {name for name in commands if name not in text} == set()
    assert set(re.findall(r"--[a-z][a-z-]+", text)) - options == {"--help"}


def test_the_table_of_formats_is_that_of_the_code():
    rows = re.findall(
        r"^\| `([\w-]+)` \| `\.labels(\S+)` \|", page("docs/formats.md"), re.MULTILINE
    )
    assert dict(rows) == {name: known.extensions[0] for name, known in FORMATS.items()}


def _commands_and_options(command):
    names, options = (
        set(),
        {name for it in command.params for name in (*it.opts, *it.secondary_opts)},
    )
    for name, child in getattr(command, "commands", {}).items():
        below, more = _commands_and_options(child)
        names |= below or {name}
        options |= more
    return names, options
