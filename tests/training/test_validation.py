import numpy as np
import pytest
import torch

from napari_mobilesam.inference.engine import TorchEngine
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.training.validation import (
    centre_point,
    evaluate_prompts,
    validation_scenes,
)
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam


def test_the_centre_is_the_point_deepest_inside():
    mask = np.zeros((30, 40), bool)
    mask[5:16, 20:31] = True
    mask[15, :20] = True
    assert centre_point(mask) == (10, 25)


def test_the_bundled_model_scores_well_on_simple_shapes():
    engine = TorchEngine(load_sam(get_card("micro")), torch.device("cpu"))
    scores = evaluate_prompts(engine, validation_scenes("particles", 2, 128), 256, 3)
    assert 3 <= scores.objects <= 6
    assert scores.box > 0.6
    assert scores.best_point >= scores.point > 0.1
    assert -1 <= scores.rank_correlation <= 1


def test_validation_scenes_are_not_those_of_training():
    scene = validation_scenes("grains", 1, 96)[0]
    np.testing.assert_array_equal(scene.image, generate("grains", 2**31, (96, 96)).image)


def test_nothing_to_prompt_gives_no_number():
    engine = TorchEngine(load_sam(get_card("micro")), torch.device("cpu"))
    scores = evaluate_prompts(engine, [], 128)
    assert scores.objects == 0
    assert scores.box != scores.box
    assert scores.rank_correlation != pytest.approx(0)
