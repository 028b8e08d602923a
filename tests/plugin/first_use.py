"""The first use of the plugin in a process: no torch is loaded, no layer was ever shown.

Prints how long the event loop stood still, in seconds, at most: while napari painted, the model
was loaded and a plane embedded, and hundreds of objects were found.
"""

import json
import sys
import time

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication
from skimage.draw import disk

from napari_mobilesam.plugin.preferences import PLUGIN

SIDE, DISCS_A_SIDE = 1024, 18


class Pulse:
    """Longest time that the event loop did not come round."""

    def __init__(self):
        self._timer = QTimer()
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        self.restart()

    def restart(self):
        """Forget what was measured."""
        self._last, self.longest = time.perf_counter(), 0.0

    def _beat(self):
        now = time.perf_counter()
        self._last, self.longest = now, max(self.longest, now - self._last)


def field():
    """Make an image of many bright discs."""
    image = np.random.default_rng(0).integers(20, 40, (SIDE, SIDE)).astype(np.uint8)
    cell = SIDE / DISCS_A_SIDE
    for centre in (np.indices((DISCS_A_SIDE, DISCS_A_SIDE)).reshape(2, -1).T + 0.5) * cell:
        image[disk(centre, cell / 3)] += 160
    return image


def run_until(condition):
    """Run the event loop until a condition holds."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: condition() and loop.quit())
    timer.start(1)
    loop.exec()


def pause(seconds):
    """Run the event loop for a while."""
    until = time.perf_counter() + seconds
    run_until(lambda: time.perf_counter() > until)


def paint_seconds(viewer):
    """Longest of a few repaints of napari's own."""
    pause(0.5)  # until the window is there
    pulse = Pulse()
    for opacity in (0.9, 1.0, 0.9, 1.0):
        viewer.layers[0].opacity = opacity
        pause(0.05)
    return pulse.longest


def blocked_seconds(controller, start, jobs):
    """Longest block from when a worker begins until nothing is under way."""
    start()
    run_until(jobs.busy)
    pulse = Pulse()
    run_until(lambda: not controller.busy())
    QApplication.processEvents()
    return pulse.longest


def main():
    viewer = napari.Viewer()
    viewer.add_image(field(), name="field")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Annotate")
    viewer.window.add_plugin_dock_widget(PLUGIN, "Everything", tabify=True)
    controller = widget.controller
    controller.preferences = controller.preferences.changed(cache_gigabytes=0)
    blocks = {
        "paint": paint_seconds(viewer),
        "embedding": blocked_seconds(controller, controller.embed, controller.live_jobs),
        "everything": blocked_seconds(controller, controller.proposing.run, controller.long_jobs),
        "objects": len(controller.proposing.layer.data),
    }
    viewer.close()
    sys.stdout.write(json.dumps(blocks))


if __name__ == "__main__":
    main()
