"""How long a hand on the mouse waits, and how long the event loop stands still.

    python benchmarks/live_preview.py

opens windows in two processes, the first without compiled shaders (Mesa's, which software GL
takes long to compile), the second with what the first has compiled; each loads a model, embeds,
prompts and finds everything, on a micrograph and on a field of 324 discs. On a machine without a
display, run it under xvfb-run with LIBGL_ALWAYS_SOFTWARE=1.
"""

import os
import subprocess
import sys
import tempfile
import time

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication
from skimage import data
from skimage.draw import disk

from napari_mobilesam.plugin.preferences import PLUGIN

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


def field():
    """Make a (1024, 1024) image of 18 x 18 bright discs."""
    image = np.random.default_rng(0).integers(20, 40, (1024, 1024)).astype(np.uint8)
    for centre in (np.indices((18, 18)).reshape(2, -1).T + 0.5) * 1024 / 18:
        image[disk(centre, 19)] += 160
    return image


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


def open_window():
    """Show a micrograph, both widgets and a pair of prompt layers; return the controller."""
    viewer = napari.Viewer()
    viewer.add_image(micrograph(), name="tissue", rgb=True)
    started = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Annotate")
    print(f"opening the widget: {time.perf_counter() - started:.2f} s")
    viewer.window.add_plugin_dock_widget(PLUGIN, "Everything", tabify=True)
    controller = widget.controller
    controller.preferences = controller.preferences.changed(cache_gigabytes=0)
    controller.prompting.create_layers()
    QApplication.processEvents()
    return controller


def measure(what, controller, start, jobs):
    """Time from when a worker begins until nothing is under way and everything is painted."""
    pulse, started = Pulse(), time.perf_counter()
    start()
    run_until(jobs.busy)
    adding, before = time.perf_counter() - started, pulse.longest
    pulse.restart()
    finish(controller)
    print(
        f"{what}: layers {1e3 * adding:.0f} ms, blocked {1e3 * before:.0f} ms at most; then "
        f"{time.perf_counter() - started - adding:.2f} s, blocked {1e3 * pulse.longest:.0f} ms"
    )


def measure_all():
    """Print all measurements of one process."""
    controller = open_window()
    measure("first embedding, with the model", controller, controller.embed, controller.live_jobs)
    session = controller.here.session
    session.use_source(session.source)
    measure("embedding", controller, controller.embed, controller.live_jobs)
    rng = np.random.default_rng(0)
    waits = [preview_seconds(controller, rng.integers(50, 970, 2)) for _ in range(POINTS)]
    median, late = np.percentile(waits, (50, 95)) * 1e3
    print(f"point to preview: median {median:.0f} ms, 95th percentile {late:.0f} ms")
    measure_everything(controller)
    controller.set_image(controller.viewer.add_image(field(), name="field"))
    QApplication.processEvents()
    controller.embed()
    finish(controller)
    measure_everything(controller)
    controller.viewer.close()


def measure_everything(controller):
    """Find everything twice: the second time the layers are there."""
    for time_of in ("first", "second"):
        name = f"everything in {controller.image.name}, {time_of} time"
        measure(name, controller, controller.proposing.run, controller.long_jobs)
    print(f"  {len(controller.here.session.found)} objects")


def main():
    with tempfile.TemporaryDirectory() as shaders:
        for state in ("without compiled shaders", "with compiled shaders"):
            print(f"-- {state}", flush=True)
            environment = os.environ | {"MESA_SHADER_CACHE_DIR": shaders}
            subprocess.run([sys.executable, __file__, "here"], env=environment, check=True)


if __name__ == "__main__":
    measure_all() if sys.argv[1:] == ["here"] else main()
