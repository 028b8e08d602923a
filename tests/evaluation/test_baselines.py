import numpy as np
import pytest
from skimage.draw import disk

from napari_mobilesam.core.errors import CheckpointError, SettingsError
from napari_mobilesam.evaluation.baselines import fastsam, find_baseline, otsu_watershed
from napari_mobilesam.evaluation.metrics import label_iou, match
from napari_mobilesam.models.detector import import_ultralytics


def discs(dark=False):
    labels = np.zeros((90, 120), np.int32)
    for number, (row, column, radius) in enumerate(
        [(20, 20, 12), (20, 41, 11), (60, 30, 14), (55, 90, 20)], start=1
    ):
        labels[disk((row, column), radius, shape=labels.shape)] = number
    noise = np.random.default_rng(0).normal(0, 5, labels.shape)
    image = 60 + 120 * (labels > 0) + noise
    return (255 - image if dark else image).astype(np.uint8), labels


@pytest.mark.parametrize("dark", [False, True])
def test_otsu_and_watershed_find_discs_and_part_those_that_touch(dark):
    image, labels = discs(dark)
    counts = match(label_iou(labels, otsu_watershed(image)), 0.75)
    assert (counts.true_positive, counts.false_positive) == (4, 0)


def test_otsu_finds_nothing_in_nothing():
    assert not otsu_watershed(np.full((20, 30), 7, np.uint8)).any()


def test_fastsam_runs_with_weights_of_ones_own(tmp_path):
    ultralytics = import_ultralytics()
    model = ultralytics.YOLO("yolov8n-seg.yaml", task="segment")
    model.save(tmp_path / "random.pt")
    labels = fastsam(tmp_path / "random.pt")(discs()[0])
    assert labels.shape == (90, 120)
    assert labels.dtype == np.int32


def test_what_is_no_fastsam_is_refused(tmp_path):
    (tmp_path / "no.pt").write_bytes(b"no weights")
    with pytest.raises(CheckpointError):
        fastsam(tmp_path / "no.pt")


@pytest.mark.parametrize("name", ["", "fastsam", "fastsam=", "cellpose"])
def test_unknown_baselines_are_refused(name):
    with pytest.raises(SettingsError):
        find_baseline(name, None)
