"""The story in a real viewer, under a virtual display."""

import gc
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_mobilesam.io.annotations import FORMATS
from napari_mobilesam.session.session_file import replay

from .conftest import CENTRES, dock, finish, our_callbacks

LONGEST_OPENING_S = 1.5


@pytest.fixture
def window(no_leaks, make_napari_viewer, discs, qtbot):
    """A viewer with the discs; its layers must be free of our callbacks in the end."""
    viewer = make_napari_viewer()
    viewer.add_image(discs, name="discs")
    yield viewer
    no_leaks.extend(viewer.layers)
    viewer.close()
    qtbot.wait(50)


@pytest.fixture
def annotate(window):
    return dock(window, "Annotate")


def test_the_whole_story(window, annotate, qtbot, tmp_path, model):
    controller = annotate.controller
    prompting, accepting = controller.prompting, controller.accepting
    annotate.embed.click()
    finish(qtbot, controller)
    assert annotate.embed.text() == "Embedded"
    prompting.create_layers()
    prompting.points.add([CENTRES[0], (45, 50)])
    prompting.switch_kind()
    prompting.points.add((95, 95))
    finish(qtbot, controller)
    assert len(controller.here.session.drawn) == 3
    prompting.step()
    prompting.choose(0)
    annotate.accept.click()
    labels = controller.target.layer
    assert labels.data[CENTRES[0]] == 1
    annotate.undo.click()
    assert not labels.data.any()
    annotate.redo.click()
    assert labels.data[CENTRES[0]] == 1

    prompting.set_kind("positive")
    prompting.shapes.add_rectangles([[20, 125], [20, 175], [70, 175], [70, 125]])
    finish(qtbot, controller)
    prompting.accept()
    assert labels.data[CENTRES[1]] == 2
    row, column = CENTRES[2]
    corners = np.add([[-22, 0], [0, 22], [22, 0], [0, -22]], (row, column))
    prompting.shapes.add_polygons(corners)
    finish(qtbot, controller)
    prompting.accept()
    assert labels.data[CENTRES[2]] == 3

    everything = dock(window, "Everything")
    assert everything.controller is controller
    proposing = controller.proposing
    proposing.settings = proposing.settings.changed(confidence=0.1)
    everything.run.click()
    finish(qtbot, controller)
    found = len(controller.here.session.found)
    proposing.layer.remove([0])
    finish(qtbot, controller)
    assert len(controller.here.session.found) == found - 1
    everything.filters["min_score"].value = 1.0
    finish(qtbot, controller)
    assert len(controller.here.session.found) == 0
    everything.discard.click()

    for name, known in FORMATS.items():
        path = tmp_path / f"labels{known.extensions[0]}"
        accepting.export(path, name)
        assert path.stat().st_size
    accepting.save(tmp_path / "story.mobilesam.json")
    again = replay(tmp_path / "story.mobilesam.json", window.layers["discs"].data, model=model)
    assert np.array_equal(again.labels.array, labels.data)


def test_write_to_shows_what_is_written_to(window, annotate, qtbot):
    controller, combo = annotate.controller, annotate.target
    wrong = window.add_labels(np.zeros((50, 50), int), name="of another shape")
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    listed = [combo.itemText(index) for index in range(combo.count())]
    assert listed == ["new layer", "of another shape"]
    combo.setCurrentIndex(1)
    combo.activated.emit(1)
    assert wrong.name in annotate.status.text()
    assert combo.currentText() == "new layer"
    controller.prompting.accept()
    assert combo.layer is controller.target.layer
    assert combo.currentText() == "discs labels"


def test_docks_fit_below_each_other(window, annotate):
    everything, batch = dock(window, "Everything"), dock(window, "Batch")
    heights = [each.minimumSizeHint().height() for each in (annotate, everything, batch)]
    assert sum(heights) < 800
    annotate.status.complain("what went wrong " * 60)
    assert annotate.minimumSizeHint().height() < 500


OPEN_WIDGETS = """
import sys
import napari
import numpy as np
from napari_mobilesam.plugin.widgets.annotate import AnnotateWidget
from napari_mobilesam.plugin.widgets.everything import EverythingWidget

viewer = napari.Viewer(show=False)
viewer.add_image(np.zeros((64, 64)))
annotate = AnnotateWidget(viewer)
viewer.window.add_dock_widget(annotate)
viewer.window.add_dock_widget(EverythingWidget(viewer))
annotate.controller.prompting.create_layers()
print("torch" in sys.modules)
viewer.close()
"""


def test_widgets_open_without_torch():
    command = [sys.executable, "-c", OPEN_WIDGETS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_widget_opens_fast_and_a_closed_one_leaves_nothing(window, qtbot):
    for _ in range(2):
        started = time.perf_counter()
        widget = dock(window, "Annotate")
        assert time.perf_counter() - started < LONGEST_OPENING_S
        widget.controller.prompting.create_layers()
        qtbot.wait(10)
        window.window.remove_dock_widget(widget)
    assert not our_callbacks(window.layers.events)
    assert not our_callbacks(window.dims.events)
    assert not [key for key in window.keymap if str(key) in "GHJKNQUW"]


def test_layers_may_change_at_any_time(window, annotate, qtbot, discs):
    controller = annotate.controller
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    window.layers["discs"].name = "renamed"
    window.layers.move(0, 2)
    finish(qtbot, controller)
    window.layers.remove("MobileSAM preview")
    controller.prompting.points.add(CENTRES[1])
    finish(qtbot, controller)
    assert "MobileSAM preview" in window.layers
    window.layers["renamed"].data = discs[::-1].copy()
    finish(qtbot, controller)
    window.layers.remove(controller.prompting.points)
    finish(qtbot, controller)
    window.layers.clear()
    finish(qtbot, controller)
    assert controller.here is None


def test_a_viewer_may_be_closed_in_mid_run(window, annotate):
    annotate.controller.prompting.create_layers()
    annotate.controller.prompting.points.add(CENTRES[0])
    annotate.controller.proposing.run()
    window.close()
    gc.collect()
