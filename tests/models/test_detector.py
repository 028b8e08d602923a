import json
import os
import subprocess
import sys
from importlib.resources import as_file, files

import torch
from safetensors.torch import load_file

from napari_mobilesam.models.detector import build_detector

PROBE = """
import json, os, socket, sys
import numpy as np
import torch

def refuse(*args, **kwargs):
    raise AssertionError("the network was used")

socket.getaddrinfo = socket.socket.connect = refuse
environment, printing, save = dict(os.environ), np.get_printoptions(), torch.save
from napari_mobilesam.models.detector import build_detector
assert "ultralytics" not in sys.modules
build_detector()
import ultralytics
from ultralytics.utils import AUTOINSTALL, LOGGER
from ultralytics.utils.events import events
print(json.dumps({
    "environment": dict(os.environ) == environment,
    "printing": np.get_printoptions() == printing,
    "save": torch.save is save,
    "switched on": [name for name, value in ultralytics.settings.items() if value is True],
    "events": events.enabled,
    "auto-install": AUTOINSTALL,
    "log level": LOGGER.level,
}))
"""


def test_ultralytics_leaves_the_process_and_the_home_folder_alone(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TMPDIR": str(temporary),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {
        "environment": True,
        "printing": True,
        "save": True,
        "switched on": [],
        "events": False,
        "auto-install": False,
        "log level": 40,
    }
    assert [*home.rglob("*"), *temporary.rglob("settings.json")] == []


@torch.inference_mode()
def test_bundled_weights_fit():
    weights = files("napari_mobilesam") / "zoo" / "weights" / "detector.safetensors"
    with as_file(weights) as path:
        detector = build_detector("yolov8n")
        detector.load_state_dict(load_file(path))
    proposals = detector(torch.zeros(2, 3, 64, 96))[0]
    assert proposals.shape == (2, 5, 8 * 12 + 4 * 6 + 2 * 3)


def test_sizes_and_classes_are_those_asked_for():
    detector = build_detector("yolov8s", num_classes=2)
    assert sum(p.numel() for p in detector.parameters()) > 11e6
    assert detector.model[-1].nc == 2
    assert not detector.training
