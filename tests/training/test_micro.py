import json

import numpy as np
import pytest
import torch
from PIL import Image

from napari_mobilesam.training import micro
from napari_mobilesam.training.synthetic import KINDS, generate


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    scene = generate("particles", 1, (96, 96))
    Image.fromarray(scene.image.astype(np.uint8)).save(tmp_path / "images" / "0.png")
    Image.fromarray(scene.labels.astype(np.uint16)).save(tmp_path / "labels" / "0.png")
    return tmp_path


def test_the_table_has_a_row_for_every_kind(folder):
    table = micro.score_table(
        "micro", folder, input_size=64, scenes_per_kind=1, objects_per_image=1, device="cpu"
    )
    assert list(table.index) == ["real", *KINDS]
    assert table.objects.sum() > 15
    assert 0 < table.box.mean() <= 1


def test_the_recipe_trains_and_validates(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(micro, "KINDS", ["particles"])
    run = tmp_path / "run"
    micro.train_micro(
        [folder],
        folder,
        run,
        data=micro.DATA.changed(input_sizes=(64,), size_weights=(1,), pixels_per_step=4096),
        settings=micro.TRAINING.changed(steps=2, warmup_steps=0),
        device="cpu",
        workers=0,
    )
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["validation"]) == {
        "real_box",
        "real_point",
        "synthetic_box",
        "synthetic_point",
        "score",
    }
    assert (run / "best.safetensors").is_file()


def test_a_gpu_takes_many_images_at_once():
    data, settings = micro.recipe(torch.device("cuda", 1))
    assert settings.bfloat16
    assert settings.pixels_at_once >= 2 * max(data.input_sizes) ** 2
    assert micro.recipe(torch.device("cpu")) == (micro.DATA, micro.TRAINING)
    detector = micro.detector_recipe(torch.device("cuda"))
    assert detector.bfloat16
    assert detector.batch_size > micro.detector_recipe(torch.device("cpu")).batch_size
