"""Networks rearranged or converted for speed still compute what the plain ones do."""

import numpy as np
import pytest
import torch

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.inference.engine import PromptArrays, TorchEngine, choose_precision
from napari_mobilesam.inference.engines import choose_engine
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam

CPU = torch.device("cpu")
SIZE = 320
BOXES = PromptArrays(boxes_xyxy=np.array([[20, 30, 150, 200], [100, 60, 260, 180]], np.float32))
POINT = PromptArrays(np.array([[(90, 90)]], np.float32), np.ones((1, 1), np.int64))


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 255, (SIZE, 290, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain():
    return TorchEngine(load_sam(get_card("micro")), CPU)


@pytest.fixture(scope="module", params=["torch", "openvino"])
def engine(request):
    return choose_engine(request.param, CPU, "float32")(load_sam(get_card("micro")))


@pytest.fixture(scope="module")
def features(plain, rgb):
    return plain.encode(rgb, SIZE)


def test_embeddings_are_the_same(engine, features, rgb):
    np.testing.assert_allclose(engine.encode(rgb, SIZE), features, atol=1e-5)


@pytest.mark.parametrize("kind", ["boxes", "point", "mask"])
@pytest.mark.parametrize("multimask", [True, False])
def test_masks_are_the_same(kind, multimask, engine, plain, features):
    prompts = {"boxes": BOXES, "point": POINT}.get(kind)
    if prompts is None:
        mask, _ = plain.decode(features, POINT, multimask=False, input_size=SIZE)
        prompts = PromptArrays(POINT.points_xy, POINT.point_labels, mask_inputs=mask)
    expected = plain.decode(features, prompts, multimask=multimask, input_size=SIZE)
    found = engine.decode(features, prompts, multimask=multimask, input_size=SIZE)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_window_holds_what_the_whole_does(engine, features):
    windows = [(1, 2, 14, 11), (0, 5, 20, 20)]
    whole, scores = engine.decode(features, BOXES, multimask=False, input_size=SIZE)
    part, same = engine.decode(features, BOXES, multimask=False, input_size=SIZE, windows=windows)
    np.testing.assert_allclose(same, scores, atol=1e-5)
    for (y0, x0, y1, x1), ours, theirs in zip(windows, part[:, 0], whole[:, 0], strict=True):
        inside = np.s_[4 * y0 : 4 * y1, 4 * x0 : 4 * x1]
        np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-3)
        outside = np.ones_like(ours, dtype=bool)
        outside[inside] = False
        assert (ours[outside] < -1000).all()


def test_another_embedding_is_noticed(engine, plain, features):
    engine.decode(features, BOXES, multimask=False, input_size=SIZE)
    other = np.ascontiguousarray(features[:, ::-1])
    found, _ = engine.decode(other, BOXES, multimask=False, input_size=SIZE)
    expected, _ = plain.decode(other, BOXES, multimask=False, input_size=SIZE)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_bfloat16_means_the_same_masks(name, features, plain, rgb):
    engine = choose_engine(name, CPU, "bfloat16")(load_sam(get_card("micro")))
    found, _ = engine.decode(engine.encode(rgb, SIZE), BOXES, multimask=False, input_size=SIZE)
    expected, _ = plain.decode(features, BOXES, multimask=False, input_size=SIZE)
    both, either = (found > 0) & (expected > 0), (found > 0) | (expected > 0)
    assert both.sum() / either.sum() > 0.9


def test_precision_follows_the_device():
    assert choose_precision("auto", torch.device("cuda")) == torch.float16
    assert choose_precision("auto", CPU) in (torch.float32, torch.bfloat16)
    assert choose_precision("float32", torch.device("cuda")) == torch.float32


def test_settings_that_cannot_be():
    with pytest.raises(SettingsError, match="no such precision"):
        choose_engine("torch", CPU, "float8")
    with pytest.raises(SettingsError, match="no such engine"):
        choose_engine("abacus", CPU, "auto")
    with pytest.raises(SettingsError, match="CPU alone"):
        choose_engine("openvino", torch.device("cuda"), "float32")


def test_openvino_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("napari_mobilesam.inference.openvino_engine.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="not installed") as caught:
        choose_engine("openvino", CPU, "float32")
    assert "napari-mobilesam[openvino]" in caught.value.remedy
