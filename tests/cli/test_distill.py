import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from napari_mobilesam.training.encoder import save_encoder
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import architecture_of, load_sam
from napari_mobilesam.zoo.formats import read_tensors


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of four images."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(4):
        pixels = generate("particles", seed, (64, 64)).image
        Image.fromarray(pixels.astype(np.uint16)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def worse(tmp_path):
    """Micro's encoder with weights that are a tenth off."""
    encoder = load_sam(get_card("micro")).image_encoder
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight *= 1 + 0.1 * torch.randn(weight.shape, generator=generator)
    path = tmp_path / "worse.safetensors"
    save_encoder(encoder, path, {})
    return path


def arguments(images, output, *options):
    small = ["--input-size", 64, "--workers", 0, "--warmup-steps", 0, "--device", "cpu"]
    return ["distill", images, "-o", output, "--teacher", "micro", *small, *options]


def curve_of(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_student_is_taught_and_gone_on_with(run, images, tmp_path):
    code, text = run(*arguments(images, tmp_path, "--steps", 1, "--batch-size", 2))
    assert code == 0
    assert "encoder.safetensors" in text
    run(*arguments(images, tmp_path, "--steps", 2, "--batch-size", 2))
    assert len(curve_of(tmp_path)) == 2
    assert architecture_of(read_tensors(tmp_path / "encoder.safetensors")) == "tiny_vit"


def test_two_processes_learn_as_one_does_from_batches_of_both(run, images, worse, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    student = ["--student", worse, "--learning-rate", 1e-5]
    run(*arguments(images, alone, *student, "--steps", 3, "--batch-size", 2))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    command = [sys.executable, "-c", "from napari_mobilesam.cli.main import app; app()"]
    options = arguments(images, together, *student, "--steps", 3, "--batch-size", 1)
    done = subprocess.run(
        [*launch, *command, *map(str, options)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert curve_of(together) == pytest.approx(curve_of(alone), rel=1e-3)


def test_folder_without_images_is_named(run, tmp_path):
    code, text = run(*arguments(tmp_path, tmp_path / "run"))
    assert code == 1
    assert "holds no images" in text
