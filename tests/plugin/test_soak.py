"""A long session: a thousand edits, with models switched and work stopped at random points."""

import random
import threading

import numpy as np
import psutil
import pytest
from napari.components import ViewerModel

from napari_mobilesam import load_model
from napari_mobilesam.plugin.binding import bind, find, release
from napari_mobilesam.plugin.models import LoadModel

from .conftest import finish, our_callbacks

EDITS = 1000
WAIT_EVERY = 20
MAX_GROWTH = 20 * 2**20


@pytest.fixture
def loaded(monkeypatch):
    """Two models at the smallest input size, by the names of two of the zoo."""
    models = {
        name: load_model("micro", device="cpu", input_size=size)
        for name, size in (("micro", 64), ("mobile_sam", 128))
    }
    monkeypatch.setattr(LoadModel, "run", lambda work, _progress: models[work.name])


def edit(controller, dice):
    """Change the prompts, as a hand would; now and then do something else in between."""
    points = controller.prompting.points
    place = dice.randrange(200), dice.randrange(200)
    what = dice.random()
    if what < 0.70 or not len(points.data):
        points.add(place)
    elif what < 0.95:
        points.data = np.vstack([points.data[:-1], place])
    else:
        points.selected_data = {0}
        points.remove_selected()
    if len(points.data) > 5:
        controller.prompting.clear()
    if dice.random() < 0.10:
        dice.choice(
            [
                controller.cancel,
                controller.proposing.run,
                controller.proposing.cancel,
                controller.prompting.step,
                lambda: accept_what_is_seen(controller),
                controller.accepting.undo,
                lambda: controller.set_preferences(model=dice.choice(["micro", "mobile_sam"])),
            ]
        )()


def accept_what_is_seen(controller):
    here = controller.here
    if here is not None and any(mask.area for mask in here.session.masks):
        controller.prompting.accept()


def test_a_thousand_edits_leave_nothing_behind(discs, qtbot):
    threads = {thread for thread in threading.enumerate() if thread.name.startswith("mobilesam")}
    viewer, dice, process = ViewerModel(), random.Random(0), psutil.Process()
    image = viewer.add_image(discs)
    controller = bind(viewer)
    assert bind(viewer) is controller
    release(controller)
    controller.failed.connect(pytest.fail)
    controller.set_preferences(taken="replace")  # so that there always is something to accept
    controller.prompting.create_layers()
    controller.proposing.settings = controller.proposing.settings.changed(image_size=256)
    measured = []
    for number in range(EDITS):
        edit(controller, dice)
        if number % WAIT_EVERY == 0:
            finish(qtbot, controller)
        if number in (EDITS // 2, EDITS - 1):
            finish(qtbot, controller)
            measured.append(process.memory_info().rss)
    assert measured[1] - measured[0] < MAX_GROWTH
    finish(qtbot, controller)
    layers = list(viewer.layers)
    release(controller)
    qtbot.wait(50)
    assert find(viewer) is None
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("mobilesam"):
            thread.join(timeout=10)
            assert not thread.is_alive()
    for events in (viewer.layers.events, viewer.dims.events, *(layer.events for layer in layers)):
        assert not our_callbacks(events)
    assert image in viewer.layers
