"""The Batch widget, in a window: runs, failures, cancelling, going on, remembering."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

from napari_mobilesam.core.settings import EverythingSettings
from napari_mobilesam.plugin.batching import BatchRun
from napari_mobilesam.plugin.preferences import BatchPreferences, Preferences
from napari_mobilesam.plugin.widgets import batch as batch_module
from napari_mobilesam.plugin.widgets.batch import BatchWidget

COUNT = 3


@pytest.fixture
def remembered(monkeypatch):
    """What the widget saves, and what the next one begins with."""
    kept = [BatchPreferences()]
    monkeypatch.setattr(batch_module, "load_batch_preferences", lambda: kept[-1])
    monkeypatch.setattr(batch_module, "save_batch_preferences", kept.append)
    return kept


@pytest.fixture
def widget(remembered, no_leaks, viewer, qtbot):  # noqa: ARG001
    made = BatchWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.lease.end()


@pytest.fixture
def folder(tmp_path, discs):
    """Images of the discs, and one that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(COUNT):
        tifffile.imwrite(folder / f"field_{number}.tif", np.roll(discs, number, axis=1))
    (folder / "field_x.tif").write_bytes(b"no tiff")
    return folder


def finish(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.busy(), timeout=60_000)
    qtbot.waitUntil(widget.run.isEnabled, timeout=10_000)


def choose(widget, folder, output):
    widget.images.setText(str(folder))
    widget.output.setText(str(output))


def test_a_batch_from_choice_to_contact_sheet(widget, folder, tmp_path, qtbot, monkeypatch):
    answers = {"Folder, or OME-Zarr": str(folder), "Folder for the results": str(tmp_path / "out")}
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda _, title: answers[title])
    files = ([str(folder / "field_0.tif")], "")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: files)
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    widget.choose_files.click()
    widget.choose_folder.click()
    widget.choose_output.click()
    assert widget.images.text() == f"{folder / 'field_0.tif'}; {folder}"
    assert not widget.look.isEnabled()
    widget.run.click()
    assert not widget.run.isEnabled()
    finish(qtbot, widget)
    assert widget.failures.count() == 1
    assert widget.failures.item(0).text().startswith("field_x.tif: ")
    assert "can another program open it?" in widget.failures.item(0).text()
    assert "1 images failed" in widget.status.text()
    assert tifffile.imread(tmp_path / "out" / "field_2.labels.tif").max() == 4
    widget.look.click()
    widget.open_folder.click()
    assert opened == [str(tmp_path / "out" / "mobilesam-batch.html"), str(tmp_path / "out")]


def test_a_cancelled_batch_goes_on(widget, folder, tmp_path, qtbot):
    choose(widget, folder, tmp_path / "out")
    widget.run.click()
    journal = tmp_path / "out" / "mobilesam-batch.jsonl"
    qtbot.waitUntil(journal.exists, timeout=60_000)
    widget.progress.cancelled.emit()
    finish(qtbot, widget)
    assert "Run it again" in widget.status.text()
    widget.run.click()
    finish(qtbot, widget)
    assert "done before" in widget.status.text()
    assert len(list((tmp_path / "out").glob("*.labels.tif"))) == COUNT


def test_choices_are_remembered(widget, remembered, folder, tmp_path, viewer, qtbot):
    choose(widget, folder, tmp_path / "out")
    widget.formats["csv"].setChecked(False)
    widget.formats["ome-zarr"].setChecked(True)
    widget.reading["tile"].value = 150
    widget.reading["input_size"].value = "512"
    widget.forms[-1]["min_area"].value = 33
    widget.run.click()
    finish(qtbot, widget)
    assert (tmp_path / "out" / "field_1.labels.ome.zarr").is_dir()
    again = BatchWidget(viewer)
    qtbot.addWidget(again)
    assert again.images.text() == str(folder)
    assert [name for name, box in again.formats.items() if box.isChecked()] == ["tiff", "ome-zarr"]
    assert again.settings.min_area == 33
    assert again.reading["tile"].value == 150
    assert again.reading["input_size"].value == "512"
    again.lease.end()
    assert remembered[-1].formats == "tiff,ome-zarr"


@pytest.mark.parametrize(("choice", "side"), [("auto", None), ("512", 512)])
def test_planes_are_shown_at_the_chosen_size(choice, side):
    chosen = BatchPreferences(images="a.tif", output="out", input_size=choice)
    run = BatchRun.of(chosen, EverythingSettings(), Preferences(input_size="1024"))
    assert run.load.input_size == side


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda widget: widget.images.clear(), "Choose images"),
        (lambda widget: widget.output.clear(), "Choose an output folder"),
        (lambda widget: widget.reading["channels"].__setattr__("value", "a"), "such as 0,2"),
        (lambda widget: widget.images.setText("/nowhere/*.tif"), "holds no images"),
        (lambda widget: [box.setChecked(False) for box in widget.formats.values()], "a format"),
    ],
)
def test_what_cannot_be_run_is_explained(widget, folder, tmp_path, qtbot, change, message):
    choose(widget, folder, tmp_path / "out")
    change(widget)
    widget.run.click()
    finish(qtbot, widget)
    assert message in widget.status.text()
    assert not list(tmp_path.glob("out/*.labels.*"))


def test_closing_the_widget_stops_the_batch(widget, folder, tmp_path, qtbot):
    choose(widget, folder, tmp_path / "out")
    widget.run.click()
    widget.lease.end()
    qtbot.waitUntil(lambda: not widget.jobs._thread.is_alive(), timeout=60_000)
    assert len(list((tmp_path / "out").glob("*.labels.tif"))) < COUNT


def test_opening_it_imports_no_torch():
    code = "import sys, napari_mobilesam.plugin.widgets.batch; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
