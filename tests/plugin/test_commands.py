"""Every command of the manifest, run as napari runs it."""

from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_mobilesam.core.errors import MobileSAMError
from napari_mobilesam.plugin import commands
from napari_mobilesam.plugin.preferences import BatchPreferences, Preferences
from napari_mobilesam.plugin.widgets.save_dialog import ask_for_file
from napari_mobilesam.session.session_file import replay

from .conftest import finish

MANIFEST = PluginManifest.from_distribution("napari-mobilesam")
IDS = [command.id for command in MANIFEST.contributions.commands]


@pytest.fixture(autouse=True)
def plugin(npe2pm: PluginManager):
    npe2pm.register(MANIFEST)
    return npe2pm


@pytest.fixture
def window(make_napari_viewer, discs, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(discs, name="discs")
    yield viewer
    viewer.close()
    qtbot.wait(50)


@pytest.fixture
def chosen_path(tmp_path, monkeypatch):
    """What a user enters when asked for a file."""
    path = tmp_path / "labels.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    return path


@pytest.mark.parametrize(
    ("section", "kind"), [("annotate", Preferences), ("batch", BatchPreferences)]
)
def test_the_configuration_of_the_manifest_is_the_preferences(section, kind):
    properties = MANIFEST.contributions.configurations[section].properties
    assert {name: known.default for name, known in properties.items()} == kind().model_dump()
    for name, known in properties.items():
        assert known.title == kind.model_fields[name].title
        assert known.description == kind.model_fields[name].description


def test_every_command_is_one_of_those_below():
    tested = {name for name in vars(commands) if f"napari-mobilesam.{name}" in IDS}
    others = {"annotate", "everything", "batch"}
    others |= {name.split(".")[1] for name in IDS if ".write_" in name or ".open_" in name}
    others.add("read_session")
    assert {name.split(".")[1] for name in IDS} == tested | others


@pytest.mark.parametrize("name", ["annotate", "everything", "batch"])
def test_widgets_are_opened_by_their_command(plugin, window, name):
    widget = plugin.commands.execute(f"napari-mobilesam.{name}", (window,))
    assert widget.controller.viewer is window
    widget.lease.end()


def test_commands_do_what_the_buttons_do(plugin, window, qtbot, chosen_path):
    def execute(name):
        plugin.commands.execute(f"napari-mobilesam.{name}", (window,))
        controller = commands.open_annotate(window).controller
        finish(qtbot, controller)
        return controller

    execute("open_annotate")
    execute("open_everything")
    controller = execute("embed")
    assert controller.is_ready()
    execute("draw_prompts")
    controller.prompting.points.add((40, 45))
    execute("find_everything")
    execute("accept")
    assert controller.target.layer.data[40, 45] == 1
    execute("export_labels")
    assert chosen_path.stat().st_size
    execute("save_session")
    session = chosen_path.with_name("labels.tif.mobilesam.json")
    (points,) = window.open(session, plugin="napari-mobilesam")
    assert points.data.tolist() == [[40, 45]]
    assert points.features["prompt"].tolist() == ["positive"]


TYPES = {"COCO JSON": (".coco.json", ".json"), "Label TIFF": (".tif", ".tiff")}


@pytest.mark.parametrize(
    ("entered", "chosen", "expected"),
    [
        ("cells", "COCO JSON (*.coco.json)", "cells.coco.json"),
        ("cells", "Label TIFF (*.tif)", "cells.tif"),
        ("cells", "", "cells.coco.json"),
        ("cells.v2", "Label TIFF (*.tif)", "cells.v2.tif"),
        ("cells.TIF", "COCO JSON (*.coco.json)", "cells.TIF"),
        ("", "", None),
    ],
)
def test_a_file_gets_the_ending_of_its_type(qtbot, monkeypatch, entered, chosen, expected):
    parent = QWidget()
    qtbot.addWidget(parent)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (entered, chosen))
    path = ask_for_file(parent, "Export", TYPES)
    assert path == (None if expected is None else Path(expected))


def test_a_file_that_nobody_was_asked_about_is_not_replaced(qtbot, monkeypatch, tmp_path):
    parent = QWidget()
    qtbot.addWidget(parent)
    (tmp_path / "a.mobilesam.json").touch()
    for entered in ("a", "a.json"):
        answer = (str(tmp_path / entered), "")
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, answer=answer: answer)
        with pytest.raises(MobileSAMError, match="exists"):
            ask_for_file(parent, "Save", {"Session": (".mobilesam.json",)})


LABEL_WRITERS = [
    writer
    for writer in MANIFEST.contributions.writers
    if writer.command != "napari-mobilesam.write_session"
]


def test_napari_saves_the_session_of_the_viewer(plugin, window, qtbot, tmp_path):
    path = tmp_path / "story.mobilesam.json"
    with pytest.raises(MobileSAMError, match="Annotate"):
        window.layers.save(str(path), plugin="napari-mobilesam")
    plugin.commands.execute("napari-mobilesam.draw_prompts", (window,))
    controller = commands.open_annotate(window).controller
    controller.prompting.points.add((40, 45))
    finish(qtbot, controller)
    controller.prompting.accept()
    assert window.layers.save(str(path), plugin="napari-mobilesam") == [str(path)]
    assert replay(path, window.layers["discs"].data, model=controller.model).labels.max_label() == 1


@pytest.mark.parametrize("writer", LABEL_WRITERS, ids=lambda w: w.command)
def test_napari_finds_every_writer_by_its_ending(window, tmp_path, writer):
    labels = window.add_labels(np.eye(20, dtype=int))
    path = tmp_path / f"labels{writer.filename_extensions[0]}"
    assert labels.save(str(path), plugin="napari-mobilesam") == [str(path)]
    assert path.stat().st_size
