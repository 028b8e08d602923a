import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from skimage.draw import disk

from napari_mobilesam import load_model
from napari_mobilesam.plugin import preferences
from napari_mobilesam.plugin.controller import Controller
from napari_mobilesam.plugin.models import LoadModel
from napari_mobilesam.plugin.preferences import PLUGIN
from napari_mobilesam.plugin.threads import Inline

CENTRES = ((40, 45), (45, 150), (150, 60), (140, 150))


@pytest.fixture(scope="session")
def discs():
    """Four bright discs of radius 22 on a dark, noisy ground, (200, 200) uint8."""
    image = np.random.default_rng(0).integers(20, 40, (200, 200)).astype(np.uint8)
    for centre in CENTRES:
        image[disk(centre, 22)] += 160
    return image


@pytest.fixture(scope="session")
def model():
    """The bundled model at an input size that makes it fast."""
    return load_model("micro", device="cpu", input_size=256)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Preferences that start from their defaults and are remembered by nobody."""
    monkeypatch.setattr(preferences, "_stored", lambda *_: None)


@pytest.fixture(autouse=True)
def loaded(monkeypatch, model):
    """Loading any model gives the one of the tests."""
    monkeypatch.setattr(LoadModel, "run", lambda *_: model)


def dock(viewer, name):
    """Open a widget as napari's menu does, which hands it a proxy of the viewer."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    return widget


def finish(qtbot, controller):
    """Wait until nothing is under way and all results are delivered and painted."""
    qtbot.waitUntil(lambda: not controller.busy(), timeout=60_000)
    qtbot.wait(10)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def controller(viewer):
    """A controller whose requests run at once, with what it says in ``controller.heard``."""
    made = Controller(viewer, Inline(), Inline())
    made.heard = []
    made.said.connect(made.heard.append)
    made.failed.connect(made.heard.append)
    yield made
    made.close()


@pytest.fixture
def no_leaks():
    """Check that a test leaves no worker thread, and no callback of ours on any layer."""
    layers: list[Layer] = []
    yield layers
    for thread in threading.enumerate():
        if thread.name.startswith("mobilesam"):
            thread.join(timeout=10)  # its last step may still run
            assert not thread.is_alive()
    for layer in layers:
        assert not our_callbacks(layer.events)


def our_callbacks(events):
    """Callbacks that the plugin has connected to any event of a group."""
    return [
        callback
        for emitter in events.emitters.values()
        for callback in emitter.callbacks
        if "napari_mobilesam" in repr(callback)
    ]
