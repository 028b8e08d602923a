"""Make the screenshots of the documentation.

    python docs/screenshots.py

opens a viewer; on a machine without a display, run it under xvfb-run with
LIBGL_ALWAYS_SOFTWARE=1.
"""

import os
import tempfile
from pathlib import Path

import napari
from qtpy.QtCore import QEventLoop, QTimer
from skimage import data

from napari_mobilesam.plugin.preferences import PLUGIN

IMAGES = Path(__file__).parent / "images"
WINDOW = 1280, 860
NUCLEUS, BESIDE = (251, 297), (262, 300)
VIEW, ZOOM = (310, 320), 4


def finish(controller):
    """Run the event loop until nothing is under way and everything is painted."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: controller.busy() or loop.quit())
    timer.start(100)
    loop.exec()


def shoot(viewer, name):
    """Save what the window shows."""
    viewer.screenshot(str(IMAGES / f"{name}.png"), canvas_only=False, flash=False)


def main():
    """Annotate a nucleus by points, then find all of them."""
    IMAGES.mkdir(exist_ok=True)
    os.environ["MOBILESAM_CACHE_DIR"] = tempfile.mkdtemp()  # no work to restore, nothing kept
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    viewer.add_image(data.immunohistochemistry(), name="tissue", rgb=True)
    _, annotate = viewer.window.add_plugin_dock_widget(PLUGIN, "Annotate")
    controller = annotate.controller
    controller.prompting.create_layers()
    viewer.scene.camera.center, viewer.scene.camera.zoom = VIEW, ZOOM
    controller.prompting.points.add(NUCLEUS)
    controller.prompting.set_kind("negative")
    controller.prompting.points.add(BESIDE)
    finish(controller)
    shoot(viewer, "annotate")
    controller.prompting.accept()
    controller.proposing.settings = controller.proposing.settings.changed(
        confidence=0.15, max_area=1500
    )
    viewer.window.add_plugin_dock_widget(PLUGIN, "Everything", tabify=True)
    controller.proposing.run()
    finish(controller)
    shoot(viewer, "everything")
    viewer.close()


if __name__ == "__main__":
    main()
