"""Whatever happens to viewers, widgets and layers while work is under way."""

import numpy as np
import pytest
from napari.layers import Labels

from .conftest import CENTRES, dock, finish, our_callbacks


@pytest.fixture
def open_window(no_leaks, make_napari_viewer, discs, qtbot):
    """Open viewers with the discs and the Annotate widget; nothing may be left in the end."""
    viewers = []

    def opened():
        viewer = make_napari_viewer()
        viewer.add_image(discs, name="discs")
        widget = dock(viewer, "Annotate")
        viewers.append(viewer)
        return viewer, widget

    yield opened
    for viewer in viewers:
        no_leaks.extend(viewer.layers)
        viewer.close()
    qtbot.wait(50)


def test_two_windows_annotate_side_by_side(open_window, qtbot):
    windows = [open_window() for _ in range(2)]
    controllers = [widget.controller for _, widget in windows]
    assert controllers[0] is not controllers[1]
    for controller, centre in zip(controllers, CENTRES, strict=False):
        controller.prompting.create_layers()
        controller.prompting.points.add(centre)
    for controller in controllers:
        finish(qtbot, controller)
        controller.prompting.accept()
    first, second = (controller.target.layer for controller in controllers)
    assert first in windows[0][0].layers
    assert second in windows[1][0].layers
    assert [first.data[centre] for centre in CENTRES[:2]] == [1, 0]
    assert [second.data[centre] for centre in CENTRES[:2]] == [0, 1]
    windows[0][0].close()
    controllers[1].prompting.points.add(CENTRES[2])
    finish(qtbot, controllers[1])
    controllers[1].prompting.accept()
    assert second.data[CENTRES[2]] == 2


def test_a_widget_says_what_to_begin_with(no_leaks, make_napari_viewer, discs, qtbot):
    viewer = make_napari_viewer()
    widget = dock(viewer, "Annotate")
    assert "Open an image" in widget.status.text()
    image = viewer.add_image(discs)
    assert "Click on an object" in widget.status.text()
    viewer.layers.remove(image)
    assert "Open an image" in widget.status.text()
    viewer.add_image(discs)
    widget.controller.embed()
    finish(qtbot, widget.controller)
    said = widget.status.text()
    assert "is embedded" in said
    viewer.add_image(discs)
    assert widget.status.text() == said
    viewer.layers.clear()
    assert "Open an image" in widget.status.text()
    no_leaks.extend(viewer.layers)
    viewer.close()
    qtbot.wait(50)


def test_a_widget_closed_in_mid_run_leaves_the_viewer_alone(open_window, qtbot):
    viewer, widget = open_window()
    controller = widget.controller
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    controller.proposing.run()
    viewer.window.remove_dock_widget(widget)
    qtbot.wait(300)
    assert not our_callbacks(viewer.layers.events)
    assert not [layer for layer in viewer.layers if isinstance(layer, Labels)]
    again = dock(viewer, "Annotate")
    again.controller.embed()
    finish(qtbot, again.controller)
    assert again.controller.is_ready()


def test_both_widgets_share_a_controller_until_the_last_is_closed(open_window, qtbot):
    viewer, annotate = open_window()
    everything = dock(viewer, "Everything")
    assert everything.controller is annotate.controller
    viewer.window.remove_dock_widget(annotate)
    everything.run.click()
    finish(qtbot, everything.controller)
    assert everything.controller.here.session.found is not None
    assert everything.accept.isEnabled()


def test_everything_is_found_while_the_image_is_the_active_layer(open_window, qtbot):
    viewer, _ = open_window()
    everything = dock(viewer, "Everything")
    viewer.layers.selection.active = viewer.layers["discs"]
    everything.run.click()
    finish(qtbot, everything.controller)
    assert everything.controller.here.session.found
    assert len(everything.controller.proposing.layer.data)


@pytest.mark.parametrize("shape", [(100, 200), (3, 200, 200)])
def test_another_image_is_opened_while_a_mask_is_shown(open_window, qtbot, discs, shape):
    viewer, annotate = open_window()
    controller = annotate.controller
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    other = viewer.add_image(np.broadcast_to(discs[: shape[-2]], shape).copy(), name="other")
    finish(qtbot, controller)
    assert controller.image is other
    assert [layer.name for layer in viewer.layers].count("MobileSAM preview") <= 1
    assert len(viewer.layers) <= 5


def test_masks_and_prompts_lie_above_the_image_that_is_annotated(open_window, qtbot, discs):
    viewer, annotate = open_window()
    controller = annotate.controller
    controller.prompting.take_tool("point")
    controller.prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    controller.prompting.accept()
    second = viewer.add_image(discs[::-1].copy(), name="second")
    controller.prompting.take_tool("point")
    controller.prompting.points.add((200 - CENTRES[1][0], CENTRES[1][1]))
    finish(qtbot, controller)
    dock(viewer, "Everything").run.click()
    finish(qtbot, controller)
    layers = viewer.layers
    ours = [layers["MobileSAM preview"], layers["MobileSAM found"], controller.prompting.points]
    assert all(layers.index(layer) > layers.index(second) for layer in ours)


@pytest.mark.parametrize("name", ["run", "run_all"])
def test_what_was_asked_of_an_image_is_not_done_to_another(open_window, qtbot, discs, name):
    viewer, annotate = open_window()
    controller, everything = annotate.controller, dock(viewer, "Everything")
    getattr(everything, name).click()
    other = viewer.add_image(np.stack([discs] * 3), name="other")
    finish(qtbot, controller)
    assert controller.image is other
    assert controller.proposing.layer is None
    assert {layer.name for layer in viewer.layers} <= {"discs", "other", "MobileSAM preview"}


def test_write_to_is_right_in_both_widgets(open_window, qtbot):
    viewer, annotate = open_window()
    everything = dock(viewer, "Everything")
    annotate.controller.prompting.create_layers()
    annotate.controller.prompting.points.add(CENTRES[0])
    finish(qtbot, annotate.controller)
    annotate.accept.click()
    assert annotate.target.currentText() == everything.target.currentText() == "discs labels"


def test_a_volume_is_called_one(open_window, discs):
    viewer, annotate = open_window()
    viewer.add_image(np.stack([discs] * 3), name="stack")
    viewer.dims.ndisplay = 3
    annotate.controller.embed()
    assert "2D" in annotate.status.text()
    viewer.dims.ndisplay = 2


@pytest.mark.parametrize("victim", ["image", "points", "shapes", "preview", "target", "proposals"])
def test_a_layer_may_go_while_work_is_under_way(open_window, qtbot, victim):
    viewer, widget = open_window()
    controller = widget.controller
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    controller.prompting.accept()
    controller.prompting.points.add(CENTRES[1])
    controller.proposing.run()
    qtbot.waitUntil(lambda: controller.proposing.layer is not None)
    layers = {
        "image": viewer.layers["discs"],
        "points": controller.prompting.points,
        "shapes": controller.prompting.shapes,
        "preview": viewer.layers["MobileSAM preview"],
        "target": controller.target.layer,
        "proposals": controller.proposing.layer,
    }
    viewer.layers.remove(layers[victim])
    finish(qtbot, controller)
    assert layers[victim] not in viewer.layers
    controller.proposing.cancel()
    viewer.layers.clear()
    finish(qtbot, controller)
    assert len(viewer.layers) == 0


def test_a_replaced_image_is_read_anew(open_window, qtbot, discs):
    viewer, widget = open_window()
    controller = widget.controller
    controller.embed()
    finish(qtbot, controller)
    viewer.layers["discs"].data = np.ascontiguousarray(discs[:, ::-1])
    assert not controller.is_ready()
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[2])
    finish(qtbot, controller)
    assert controller.here.session.masks


def test_nobody_elses_layer_is_written_to(open_window, qtbot, discs):
    viewer, widget = open_window()
    theirs = viewer.add_labels(np.full_like(discs, 3, dtype=np.int32), name="theirs")
    viewer.layers.selection.active = viewer.layers["discs"]
    controller = widget.controller
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    finish(qtbot, controller)
    controller.prompting.accept()
    assert (theirs.data == 3).all()
    assert controller.target.layer is not theirs
