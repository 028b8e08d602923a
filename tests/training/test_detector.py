import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from napari_mobilesam.core.errors import CheckpointError
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import DetectorSettings
from napari_mobilesam.inference.detect import Detector
from napari_mobilesam.training.detector import export_detector, train_detector, vary_contrast
from napari_mobilesam.training.detector_data import write_detector_dataset
from napari_mobilesam.training.settings import DetectorDataSettings, DetectorTrainingSettings
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_detector

SETTINGS = DetectorTrainingSettings(
    mask_epochs=1, box_epochs=2, image_size=64, batch_size=4, warmup_epochs=0
)

INTERRUPTED = """
import socket, sys
from pathlib import Path

def refuse(*args, **kwargs):
    raise AssertionError("the network was used")

socket.getaddrinfo = socket.socket.connect = refuse
from napari_mobilesam.training.detector import train_detector
from napari_mobilesam.training.settings import DetectorTrainingSettings
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_detector

def give_up(done, total):
    if done == 2:
        sys.exit(3)

settings = DetectorTrainingSettings.model_validate_json(sys.argv[3])
start = load_detector(get_card("micro"))
train_detector(Path(sys.argv[1]), Path(sys.argv[2]), settings, start=start, progress=give_up)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    scenes = [generate("particles", seed, (64, 64)) for seed in range(6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_mobilesam.training.detector_data.KINDS", ["particles"])
        write_detector_dataset([scenes], [], folder, DetectorDataSettings(tile=64, scenes=2))
    return folder


@pytest.fixture(scope="module")
def interrupted(dataset, tmp_path_factory):
    """A run that ended before its last epoch, and all other places that it might write to."""
    run, elsewhere = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("elsewhere")
    places = {name: str(elsewhere) for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, dataset, run, SETTINGS.model_dump_json()],
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name} | places,
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    return run, elsewhere


@pytest.fixture(scope="module")
def finished(dataset, interrupted):
    """The detector of that run, gone on with, and the epochs that were reported then."""
    epochs = []
    start = load_detector(get_card("micro"))
    path = train_detector(
        dataset,
        interrupted[0],
        SETTINGS,
        start=start,
        progress=lambda done, total: epochs.append((done, total)),
    )
    return path, epochs


def test_nothing_is_written_outside_of_the_folder(interrupted):
    run, elsewhere = interrupted
    assert list(elsewhere.rglob("*")) == []
    assert sorted(path.name for path in run.iterdir()) == ["boxes", "masks", "masks.safetensors"]


def test_run_goes_on_after_its_last_whole_epoch(finished):
    path, epochs = finished
    assert epochs == [(3, 3)]
    with (path.parent / "boxes" / "results.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_finished_run_is_left_alone(dataset, finished):
    before = finished[0].stat().st_mtime_ns
    assert train_detector(dataset, finished[0].parent, SETTINGS) == finished[0]
    assert finished[0].stat().st_mtime_ns == before


def test_result_is_a_detector_of_the_zoo(finished):
    path, _ = finished
    network = load_detector(get_card("micro").with_detector(path))
    start = load_detector(get_card("micro"))
    name = "model.22.cv2.0.2.weight"
    assert not torch.equal(network.state_dict()[name], start.state_dict()[name])
    with safe_open(path, "pt") as file:
        assert file.metadata()["licence"].startswith("AGPL-3.0")
        assert file.get_tensor(name).dtype == torch.float16
    rgb = to_rgb8(generate("particles", 1, (64, 64)).image)
    proposals = Detector(network, torch.device("cpu")).propose(
        rgb, DetectorSettings(confidence=0.01, image_size=64)
    )
    assert len(proposals) > 0


def test_unfinished_run_can_be_exported(interrupted, tmp_path):
    checkpoint = interrupted[0] / "boxes" / "weights" / "last.pt"
    path = export_detector(checkpoint, tmp_path / "now.safetensors", origin="particles")
    with safe_open(path, "pt") as file:
        assert file.metadata()["origin"] == "particles"
    load_detector(get_card("micro").with_detector(path))


def test_other_checkpoints_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "best.pt")
    with pytest.raises(CheckpointError):
        export_detector(tmp_path / "best.pt", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_contrast_is_altered_image_by_image_within_range():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 4, 4)
    altered = vary_contrast(images, 0.5)
    changed = (altered != images).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    assert altered.min() >= 0
    assert altered.max() <= 1
    torch.testing.assert_close(vary_contrast(images, 0.0), images)
    order = np.argsort(images[changed].flatten(1).numpy(), axis=1)
    steps = np.diff(np.take_along_axis(altered[changed].flatten(1).numpy(), order, axis=1))
    assert ((steps >= 0).all(1) | (steps <= 0).all(1)).all()  # order of grey values, or its reverse


def test_the_clock_ends_a_run_and_another_process_prepares_the_images(dataset, tmp_path):
    settings = SETTINGS.changed(mask_epochs=0, box_epochs=100, seconds=0.1)
    result = train_detector(dataset, tmp_path, settings, workers=1)
    with (tmp_path / "boxes" / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) < 10
    load_detector(get_card("micro").with_detector(result))
