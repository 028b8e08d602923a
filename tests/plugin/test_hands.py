"""What hands do: press keys, move the cursor, click; and what is remembered of choices."""

import numpy as np
import pytest
from napari.settings import get_plugin_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_mobilesam.plugin import preferences
from napari_mobilesam.plugin.keys import KEYS
from napari_mobilesam.plugin.preferences import Preferences, load_preferences, save_preferences

from .conftest import CENTRES, dock, finish


@pytest.fixture
def window(make_napari_viewer, discs, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(discs, name="discs")
    yield viewer
    viewer.close()
    qtbot.wait(50)


@pytest.fixture
def canvas(window):
    return window.window._qt_viewer.canvas.native


@pytest.fixture
def controller(window):
    widget = dock(window, "Annotate")
    return widget.controller


def pixel_on_canvas(window, row, column):
    """Where a pixel of the image is on the canvas."""
    canvas = window.window._qt_viewer.canvas
    camera = getattr(window, "scene", window).camera  # napari before 0.9 has no scene
    centre, zoom = camera.center[-2:], camera.zoom
    height, width = canvas.native.height(), canvas.native.width()
    return QPoint(
        round(width / 2 + (column - centre[1]) * zoom),
        round(height / 2 + (row - centre[0]) * zoom),
    )


def test_every_key_does_what_it_says(window, canvas, controller, qtbot):
    def press(key):
        canvas.setFocus()
        QTest.keyClick(canvas, key)
        finish(qtbot, controller)

    window.window.activate()
    press(Qt.Key.Key_G)
    assert controller.is_ready()
    press(Qt.Key.Key_9)
    prompting = controller.prompting
    assert window.layers.selection.active is prompting.shapes
    press(Qt.Key.Key_0)
    assert prompting.shapes.mode == "add_polygon_lasso"
    press(Qt.Key.Key_8)
    assert window.layers.selection.active is prompting.points
    press(Qt.Key.Key_Q)
    assert prompting.kind == "negative"
    press(Qt.Key.Key_Q)
    press(Qt.Key.Key_J)
    assert controller.preferences.mode == "many"
    press(Qt.Key.Key_J)
    press(Qt.Key.Key_H)
    assert controller.preferences.hover
    press(Qt.Key.Key_H)
    prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    press(Qt.Key.Key_Tab)
    assert controller.here.session.candidate_index == 1
    press(Qt.Key.Key_N)
    labels = controller.target.layer
    assert labels.data[CENTRES[0]] == 1
    press(Qt.Key.Key_U)
    assert not labels.data.any()
    prompting.points.add(CENTRES[1])
    finish(qtbot, controller)
    press(Qt.Key.Key_W)
    assert len(prompting.points.data) == 0


def test_keys_are_those_that_napari_leaves_free():
    assert {key.name for key in KEYS} <= {*"GHJKNQUW890", "Tab"}


def test_a_drawn_point_and_the_cursor_decode(window, canvas, controller, qtbot):
    controller.prompting.create_layers()
    controller.embed()
    finish(qtbot, controller)
    controller.toggle("hover")
    QTest.mouseMove(canvas, pixel_on_canvas(window, *CENTRES[2]))
    qtbot.waitUntil(lambda: controller.here.session.hovered is not None, timeout=5_000)
    finish(qtbot, controller)
    assert window.layers["MobileSAM preview"].data[CENTRES[2]] == 1
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=pixel_on_canvas(window, *CENTRES[0]))
    finish(qtbot, controller)
    (point,) = controller.prompting.points.data
    assert np.allclose(point, CENTRES[0], atol=2)
    assert controller.here.session.masks[0].to_array((200, 200))[CENTRES[0]]


def test_a_click_on_an_accepted_label_brings_its_prompts_back(window, canvas, controller, qtbot):
    prompting = controller.prompting
    prompting.create_layers()
    prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    prompting.accept()
    assert len(prompting.points.data) == 0
    window.layers.selection.active = controller.target.layer
    controller.target.layer.mode = "pan_zoom"
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=pixel_on_canvas(window, *CENTRES[0]))
    finish(qtbot, controller)
    assert prompting.points.data.tolist() == [list(CENTRES[0])]


@pytest.fixture
def forgetful():
    """Preferences are remembered here."""


@pytest.mark.usefixtures("window")
def test_choices_are_remembered():
    settings = get_plugin_settings(preferences.PLUGIN)
    assert settings is not None
    chosen = Preferences(mode="many", taken="ask", live=False)
    try:
        save_preferences(chosen)
        assert load_preferences() == chosen
    finally:
        save_preferences(Preferences())
    assert load_preferences() == Preferences()
