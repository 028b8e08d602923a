import json

import numpy as np
import pytest
from PIL import Image

from napari_mobilesam.training import detector_data, micro
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_detector


@pytest.fixture
def labelled(tmp_path):
    """A labelled image in a folder."""
    for name in ("images", "labels"):
        (tmp_path / "labelled" / name).mkdir(parents=True)
    scene = generate("particles", 0, (64, 64))
    for name, pixels in (("images", scene.image), ("labels", scene.labels)):
        Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "labelled" / name / "0.png")
    return tmp_path / "labelled"


@pytest.fixture(autouse=True)
def one_kind(monkeypatch):
    monkeypatch.setattr(micro, "KINDS", ["particles"])
    monkeypatch.setattr(detector_data, "KINDS", ["particles"])


def steps_of(folder):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["step"] for line in lines if "loss" in line]


def test_encoder_is_trained_and_gone_on_with(run, labelled, tmp_path, monkeypatch):
    small = {"input_sizes": (64,), "size_weights": (1,), "pixels_per_step": 4096}
    monkeypatch.setattr(micro, "DATA", micro.DATA.changed(**small))
    output = tmp_path / "run"
    command = ["train", "encoder", labelled, "-v", labelled, "-o", output, "--device", "cpu"]
    options = ["--workers", 0, "--warmup-steps", 0, "--synthetic-share", 0]
    code, text = run(*command, *options, "--steps", 1)
    assert (code, steps_of(output)) == (0, [0])
    assert "best.safetensors" in text
    code, _ = run(*command, *options, "--steps", 2)
    assert (code, steps_of(output)) == (0, [0, 1])


def test_detector_is_trained(run, labelled, tmp_path):
    output = tmp_path / "run"
    command = ["train", "detector", labelled, "-v", labelled, "-o", output, "--device", "cpu"]
    data = ["--tile", 64, "--scenes", 1]
    options = ["--steps", 2, "--warmup-steps", 0, "--image-size", 64, "--batch-size", 2]
    code, text = run(*command, *data, *options)
    assert code == 0
    assert "best.safetensors" in text
    load_detector(get_card("micro").with_detector(output / "boxes" / "best.safetensors"))
    assert steps_of(output / "boxes") == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "detector", "--start", "nano"], "there is no such model"),
        (["train", "detector", "--image-size", "100"], "multiple of 32"),
        (["train", "detector", "--least-zoom", "9"], "least_zoom must not be above"),
        (
            ["train", "encoder", "--warmup-steps", "5", "--steps", "5"],
            "fewer than the 5 steps",
        ),
    ],
)
def test_wrong_usage(run, labelled, tmp_path, arguments, message):
    code, text = run(*arguments, labelled, "-v", labelled, "-o", tmp_path / "run")
    assert code == 2
    assert message in text


def test_folder_without_labels_is_named(run, labelled, tmp_path):
    code, text = run("train", "detector", tmp_path, "-v", labelled, "-o", tmp_path / "run")
    assert code == 1
    assert "holds no labelled images" in text
