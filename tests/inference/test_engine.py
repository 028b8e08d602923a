import numpy as np
import pytest
import torch

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.inference.engine import PromptArrays, TorchEngine, choose_device
from napari_mobilesam.models.sam import build_sam

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine():
    torch.manual_seed(0)
    return TorchEngine(build_sam("tiny_vit"), CPU)


def test_arrays_go_in_and_come_out(engine):
    rgb = np.zeros((40, 64, 3), np.uint8)
    features = engine.encode(rgb, 64)
    assert features.shape == (256, 4, 4)
    features.flags.writeable = False  # as it is when it was read from a cache
    points = PromptArrays(
        np.array([[(3, 4)], [(50, 30)]], np.float32), np.ones((2, 1), dtype=np.int64)
    )
    logits, scores = engine.decode(features, points, multimask=True, input_size=64)
    assert logits.shape == (2, 3, 16, 16)
    assert scores.shape == (2, 3)
    assert {features.dtype, logits.dtype, scores.dtype} == {np.dtype(np.float32)}


def test_logits_have_a_quarter_of_the_embeddings_stride(engine):
    assert engine.logits_stride == 4
    with torch.device("meta"):
        unstrided = build_sam("tiny_vit_unstrided")
    assert unstrided.embedding_stride == 4
    assert TorchEngine(unstrided, torch.device("meta")).logits_stride == 1


def test_devices():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", "", "cpu:x"])
def test_devices_that_are_not_there(name):
    with pytest.raises(SettingsError, match="device cannot be used") as caught:
        choose_device(name)
    assert caught.value.got == repr(name)
    assert caught.value.remedy
