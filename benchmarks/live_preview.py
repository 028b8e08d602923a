"""How long a hand on the mouse waits.

From a new point to its painted preview, and how long the event loop stands still meanwhile:

    python benchmarks/live_preview.py

opens a window; on a machine without a display, run it under xvfb-run with
LIBGL_ALWAYS_SOFTWARE=1.
"""

import time

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication
from skimage import data

from napari_mobilesam.plugin.widgets.annotate import AnnotateWidget

POINTS = 50
TICK_MS = 2


class Pulse:
    """Measures how long the event loop fails to come round."""

    def __init__(self):
        self._timer = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._beat)
        self.restart()
        self._timer.start()

    def restart(self):
        """Forget what was measured."""
        self._last = time.perf_counter()
        self.longest = 0.0

    def _beat(self):
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now


def micrograph():
    """Make a (1024, 1024, 3) micrograph: stained tissue, mirrored at its edges."""
    return np.pad(data.immunohistochemistry(), ((0, 512), (0, 512), (0, 0)), mode="symmetric")


def run_until(condition):
    """Run the event loop until a condition holds."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: condition() and loop.quit())
    timer.start(1)
    loop.exec()


def finish(controller):
    """Run the event loop until nothing is under way and everything is painted."""
    run_until(lambda: not controller.busy())
    QApplication.processEvents()


def preview_seconds(controller, point):
    """Seconds from adding a point to the next frame after its mask was painted."""
    painted = []
    controller.prompting.candidates_changed.connect(lambda: painted.append(True))
    started = time.perf_counter()
    controller.prompting.points.add(point)
    run_until(lambda: painted)
    QApplication.processEvents()
    seconds = time.perf_counter() - started
    controller.prompting.candidates_changed.disconnect()
    finish(controller)
    controller.prompting.clear()
    finish(controller)
    return seconds


def main():
    viewer = napari.Viewer()
    viewer.add_image(micrograph(), name="tissue", rgb=True)
    started = time.perf_counter()
    widget = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Annotate")
    print(f"opening the widget: {time.perf_counter() - started:.2f} s")
    controller, pulse = widget.controller, Pulse()
    controller.prompting.create_layers()
    QApplication.processEvents()
    pulse.restart()
    controller.embed()
    run_until(lambda: not controller.live_jobs.busy())
    print(f"first embedding, with the model: blocked {1e3 * pulse.longest:.0f} ms at most")
    finish(controller)
    controller.here.session.use_source(controller.here.session.source)  # embed once more
    pulse.restart()
    started = time.perf_counter()
    controller.embed()
    finish(controller)
    seconds = time.perf_counter() - started
    print(f"embedding: {seconds:.2f} s; event loop blocked {1e3 * pulse.longest:.0f} ms at most")

    rng = np.random.default_rng(0)
    waits = [preview_seconds(controller, rng.integers(50, 970, 2)) for _ in range(POINTS)]
    median, late = np.percentile(waits, (50, 95)) * 1e3
    print(f"point to preview: median {median:.0f} ms, 95th percentile {late:.0f} ms")

    started = time.perf_counter()
    controller.proposing.run()
    run_until(controller.long_jobs.busy)
    print(f"adding layers for everything: {1e3 * (time.perf_counter() - started):.0f} ms")
    pulse.restart()
    finish(controller)
    seconds, count = time.perf_counter() - started, len(controller.here.session.found)
    print(
        f"everything, {count} objects: {seconds:.1f} s; "
        f"event loop blocked {1e3 * pulse.longest:.0f} ms at most"
    )
    viewer.close()


if __name__ == "__main__":
    main()
