"""With the network forbidden, all that needs no download runs to the end."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.draw import disk

FORBID = """
import sys
wanted = []

def forbid(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], (str, bytes)):
        return  # a socket of this machine, such as the display's
    names = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
    installs = event == "subprocess.Popen" and "pip" in " ".join(map(str, arguments[1]))
    if event in names or installs:
        wanted.append((event, arguments))
        raise OSError(f"the network is forbidden: {event} {arguments}")

sys.addaudithook(forbid)
"""

HEADLESS = """
from pathlib import Path
import napari_mobilesam as mobilesam
from napari_mobilesam.cli.main import app

folder = Path(sys.argv[1])
try:
    app(["demo", "-o", str(folder / "demo")])
except SystemExit as exit:
    assert exit.code == 0
report = mobilesam.batch(folder / "cells.png", folder / "out", image_size=128)
assert report["error"].tolist() == [""] and report["objects"][0] > 0, report

from ultralytics import utils
assert not utils.ONLINE and not utils.AUTOINSTALL
assert not any(value is True for value in utils.SETTINGS.values()), dict(utils.SETTINGS)
assert not utils.SETTINGS["sync"]
assert not wanted, wanted
"""

WIDGETS = """
import napari
from pathlib import Path
from qtpy.QtWidgets import QApplication
from napari_mobilesam.io.images import read_image
from napari_mobilesam.plugin.widgets.annotate import AnnotateWidget
from napari_mobilesam.plugin.widgets.everything import EverythingWidget

viewer = napari.Viewer(show=False)
viewer.add_image(read_image(Path(sys.argv[1]) / "cells.png").pixels)
annotate, everything = AnnotateWidget(viewer), EverythingWidget(viewer)
for widget in (annotate, everything):
    viewer.window.add_dock_widget(widget)
controller = annotate.controller

def finish():
    QApplication.processEvents()
    while controller.busy():
        QApplication.processEvents()

controller.prompting.create_layers()
controller.prompting.points.add((30, 30))
finish()
controller.prompting.accept()
assert controller.target.layer.data[30, 30] == 1
everything.run.click()
finish()
assert controller.here.session.found is not None
viewer.close()
assert not wanted, wanted
"""


def run_forbidden(code, folder):
    image = np.random.default_rng(0).normal(40, 4, (120, 120))
    for centre in ((30, 30), (30, 90), (90, 60)):
        image[disk(centre, 14)] += 150
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "cells.png")
    script = Path(folder) / "script.py"
    script.write_text(FORBID + code, encoding="utf-8")
    arguments = [sys.executable, str(script), str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_demo_and_a_batch(tmp_path):
    run_forbidden(HEADLESS, tmp_path)
    assert (tmp_path / "out" / "cells.labels.tif").is_file()


def test_the_widgets(tmp_path):
    run_forbidden(WIDGETS, tmp_path)


def test_the_network_would_have_been_noticed(tmp_path):
    code = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass\n"
    code += "assert [event for event, _ in wanted] == ['socket.getaddrinfo'], wanted"
    run_forbidden(code, tmp_path)
