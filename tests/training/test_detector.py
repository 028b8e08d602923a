import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from napari_mobilesam.core.errors import CheckpointError, SettingsError
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.core.settings import DetectorSettings
from napari_mobilesam.inference.detect import Detector
from napari_mobilesam.models.detector import build_detector
from napari_mobilesam.training.detector import DrawnViews, score_detector, train_detector
from napari_mobilesam.training.detector_data import gather_tiles
from napari_mobilesam.training.settings import (
    DetectorDataSettings,
    DetectorTrainingSettings,
    ViewSettings,
)
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_detector

SETTINGS = DetectorTrainingSettings(
    mask_steps=1, steps=3, image_size=64, batch_size=2, warmup_steps=0, checkpoint_seconds=0
)
NAME = "model.22.cv2.0.2.weight"


ALONE = """
import socket, sys
from pathlib import Path

def refuse(*args, **kwargs):
    raise AssertionError("the network was used")

socket.getaddrinfo = socket.socket.connect = refuse
from napari_mobilesam.training.detector import train_detector
from napari_mobilesam.training.detector_data import gather_tiles
from napari_mobilesam.training.settings import (
    DetectorDataSettings,
    DetectorTrainingSettings,
    ViewSettings,
)

tiles = gather_tiles([], DetectorDataSettings(tile=64, scenes=2))
settings = DetectorTrainingSettings.model_validate_json(sys.argv[2])
train_detector(tiles, [], Path(sys.argv[1]), settings, ViewSettings())
"""


class GaveUpError(Exception):
    pass


@pytest.fixture(scope="module")
def scenes():
    return [generate("particles", seed, (64, 64)) for seed in range(3)]


@pytest.fixture(scope="module")
def tiles(scenes):
    return gather_tiles([scenes], DetectorDataSettings(tile=64, scenes=0))


def bundled():
    return load_detector(get_card("micro"))


def losses(folder):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def finished(tiles, scenes, tmp_path_factory):
    """A run that was never cut off."""
    run = tmp_path_factory.mktemp("run")
    reports = []
    path = train_detector(
        tiles,
        scenes,
        run,
        SETTINGS,
        ViewSettings(),
        start=bundled(),
        progress=lambda *report: reports.append(report),
    )
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return path, run


def test_result_is_a_detector_of_the_zoo(finished, scenes):
    path, run = finished
    assert path == run / "boxes" / "best.safetensors"
    network = load_detector(get_card("micro").with_detector(path))
    assert not torch.equal(network.state_dict()[NAME], bundled().state_dict()[NAME])
    with safe_open(path, "pt") as file:
        assert file.metadata()["licence"].startswith("AGPL-3.0")
        assert file.get_tensor(NAME).dtype == torch.float16
    found = Detector(network, torch.device("cpu")).propose(
        to_rgb8(scenes[0].image), DetectorSettings(confidence=0.01, image_size=64)
    )
    assert len(found) > 0


def test_nothing_is_written_outside_of_the_folder_and_no_network_is_used(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    places = {name: str(elsewhere) for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, run, SETTINGS.model_dump_json()],
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name} | places,
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.rglob("*")) == []
    assert sorted(path.name for path in run.iterdir()) == ["boxes", "masks"]


def test_masks_come_first(finished):
    _, run = finished
    assert sorted(path.name for path in run.iterdir()) == ["boxes", "masks"]
    with safe_open(run / "masks" / "detector.safetensors", "pt") as file:
        assert any(".proto." in name for name in file.keys())  # noqa: SIM118 (no mapping)
    load_detector(get_card("micro").with_detector(run / "masks" / "detector.safetensors"))


def test_a_run_goes_on_to_the_same_losses(finished, tiles, scenes, tmp_path):
    def give_up(done, _):
        if done == 3:
            raise GaveUpError

    arguments = (tiles, scenes, tmp_path, SETTINGS, ViewSettings())
    with pytest.raises(GaveUpError):
        train_detector(*arguments, start=bundled(), progress=give_up)
    train_detector(*arguments, start=bundled())
    for stage in ("masks", "boxes"):
        assert losses(tmp_path / stage) == pytest.approx(losses(finished[1] / stage), rel=1e-4)


def test_the_loss_falls(tiles, tmp_path):
    settings = SETTINGS.changed(mask_steps=0, steps=60, batch_size=4, warmup_steps=5)
    views = ViewSettings(least_zoom=1, greatest_zoom=1, mosaic=0)
    train_detector(tiles, [], tmp_path, settings, views, start=bundled())
    values = losses(tmp_path / "boxes")
    assert np.mean(values[-15:]) < 0.9 * np.mean(values[:15])


def test_the_clock_ends_a_run(tiles, tmp_path):
    settings = SETTINGS.changed(mask_steps=0, steps=10_000, seconds=1, warmup_steps=0)
    result = train_detector(tiles, [], tmp_path, settings, ViewSettings())
    assert result == tmp_path / "boxes" / "detector.safetensors"
    assert 0 < len(losses(tmp_path / "boxes")) < 1000


def test_views_follow_from_seed_and_step(tiles):
    def images(seed, step):
        return DrawnViews(tiles, SETTINGS.changed(seed=seed), ViewSettings())[step].images

    assert torch.equal(images(0, 5), images(0, 5))
    assert not torch.equal(images(0, 5), images(1, 5))
    assert not torch.equal(images(0, 5), images(0, 6))


@pytest.mark.parametrize("architecture", ["yolov8s", "yolov8x"])
def test_a_detector_of_another_size_is_refused(tiles, tmp_path, architecture):
    start = build_detector(architecture)
    with pytest.raises(SettingsError, match="yolov8n"):
        train_detector(tiles, [], tmp_path, SETTINGS, ViewSettings(), start=start)


def test_a_foreign_network_is_refused(tiles, tmp_path):
    with pytest.raises(SettingsError, match="2 others"):
        train_detector(tiles, [], tmp_path, SETTINGS, ViewSettings(), start=torch.nn.Linear(2, 2))


def test_a_damaged_checkpoint_is_refused(tiles, tmp_path):
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="empty folder"):
        train_detector(tiles, [], tmp_path, SETTINGS.changed(mask_steps=0), ViewSettings())


def test_a_foreign_checkpoint_is_refused(tiles, tmp_path):
    (tmp_path / "boxes").mkdir()
    torch.save({"network": {"other": torch.zeros(1)}}, tmp_path / "boxes" / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="empty folder"):
        train_detector(
            tiles, [], tmp_path, SETTINGS.changed(mask_steps=0), ViewSettings(), start=bundled()
        )


def test_score_is_the_average_precision_of_boxes():
    scene = generate("blood_smear", 2**31, (256, 256))
    nothing = Scene(scene.image, np.zeros_like(scene.labels), np.zeros_like(scene.labels))
    scores = score_detector(bundled(), [scene], torch.device("cpu"))
    assert 0.6 < scores["score"] <= scores["ap50"] <= 1
    assert scores["ap75"] <= scores["ap50"]
    halved = score_detector(bundled(), [scene, nothing], torch.device("cpu"))
    assert halved["ap50"] == pytest.approx(scores["ap50"] / 2, rel=0.1)
