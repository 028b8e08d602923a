"""YOLOv8, the object-aware detector of MobileSAMv2, built by ultralytics.

Zhang et al., "MobileSAMv2: Faster Segment Anything to Everything" (arXiv 2312.09579), section 3.2.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from torch import nn

from napari_mobilesam.core.imports import without_triton
from napari_mobilesam.core.responsive import uncollected

DetectorArchitecture = Literal["yolov8n", "yolov8s", "yolov8m", "yolov8l", "yolov8x"]


def build_detector(
    architecture: DetectorArchitecture = "yolov8n", num_classes: int = 1
) -> nn.Module:
    """Build a YOLOv8 detector with random weights, in evaluation mode.

    Parameters
    ----------
    architecture : str
        "yolov8n" to "yolov8x"; MobileSAMv2's own detector is the largest.
    num_classes : int
        Classes of objects; one if it only has to find them.

    Returns
    -------
    torch.nn.Module
        Called with images (B, 3, H, W) in [0, 1], sides multiples of 32, it returns a tuple whose
        first item holds (B, 4 + num_classes, N) proposals: centre x, centre y, width and height in
        pixels, and a confidence in [0, 1] per class.
    """
    with uncollected(), without_triton():
        import_ultralytics()
        tasks = importlib.import_module("ultralytics.nn.tasks")
        detector: nn.Module = tasks.DetectionModel(
            f"{architecture}.yaml", nc=num_classes, verbose=False
        )
    return detector.eval()


def import_ultralytics() -> ModuleType:
    """Import ultralytics without what it does to the process around it.

    It sends no telemetry, synchronises no settings, installs no packages, starts no experiment
    trackers, logs errors only, and writes its settings to a folder that is gone afterwards. The
    environment variables, how arrays are printed, and `torch.save` stay what they were.

    Where it has been imported before by someone else, it is left as they set it up.
    """
    if "ultralytics" in sys.modules:
        return sys.modules["ultralytics"]
    with tempfile.TemporaryDirectory() as settings_folder, _process_unchanged():
        os.environ |= {
            "YOLO_CONFIG_DIR": settings_folder,
            "YOLO_OFFLINE": "true",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_VERBOSE": "false",
        }
        ultralytics = importlib.import_module("ultralytics")
    switched_off = {name: False for name, value in ultralytics.settings.items() if value is True}
    dict.update(ultralytics.settings, switched_off)  # its own update would write the file
    return ultralytics


@contextmanager
def _process_unchanged() -> Iterator[None]:
    """Restore the process-wide state that importing ultralytics, and OpenCV with it, changes."""
    environment = dict(os.environ)
    save = torch.save
    try:
        with np.printoptions():
            yield
    finally:
        torch.save = save
        torch.set_printoptions(profile="default")
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
