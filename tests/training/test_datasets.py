import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from napari_mobilesam.io.labelled_images import LabelledImages
from napari_mobilesam.training.datasets import (
    LOGITS_STRIDE,
    DataSettings,
    Steps,
    make_example,
)
from napari_mobilesam.training.synthetic import generate

SMALL = DataSettings(input_sizes=(128, 192), size_weights=(1, 1), pixels_per_step=2 * 128**2)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        scene = generate("particles", i, (96, 128))
        for name, pixels in (("images", scene.image), ("labels", scene.labels)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_step_is_a_pure_function_of_the_settings(folder):
    data = Steps((LabelledImages(folder),), SMALL)
    for first, second in zip(data[5], data[5], strict=True):
        np.testing.assert_array_equal(first.rgb, second.rgb)
        np.testing.assert_array_equal(first.masks, second.masks)
        np.testing.assert_array_equal(first.boxes_xyxy, second.boxes_xyxy)
        np.testing.assert_array_equal(first.points_xy, second.points_xy)
    other = Steps((LabelledImages(folder),), SMALL.changed(seed=1))
    assert not np.array_equal(other[5][0].rgb, data[5][0].rgb)


def test_steps_draw_every_size_within_the_budget():
    data = Steps((), SMALL)
    counts = {(data[i][0].input_size, len(data[i])) for i in range(8)}
    assert counts == {(128, 2), (192, 1)}


@pytest.mark.parametrize("seed", range(10))
def test_prompts_fit_their_masks(seed):
    scene = generate("yeast", seed, (160, 160))
    example = make_example(np.random.default_rng(seed), scene, 192, SMALL)
    assert example is not None
    assert max(example.rgb.shape[:2]) == 192
    side = 192 // LOGITS_STRIDE
    assert example.masks.shape == (len(example.boxes_xyxy), side, side)
    for mask, box, (point,) in zip(
        example.masks, example.boxes_xyxy, example.points_xy, strict=True
    ):
        x, y = (point // LOGITS_STRIDE).astype(int)
        assert mask[y, x] > 0
        rows, cols = np.nonzero(mask)
        exact = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]) * LOGITS_STRIDE
        width, height = exact[2:] - exact[:2]
        assert abs(box - exact).max() <= min(20, 0.5 * max(width, height)) + LOGITS_STRIDE


def test_an_empty_scene_gives_no_example():
    scene = generate("yeast", 0, (160, 160))
    empty = type(scene)(scene.image, np.zeros_like(scene.labels), np.zeros_like(scene.labels))
    assert make_example(np.random.default_rng(0), empty, 128, SMALL) is None


def test_real_and_synthetic_are_mixed_as_asked(folder, monkeypatch):
    drawn = []
    read = LabelledImages.__getitem__
    monkeypatch.setattr(
        LabelledImages, "__getitem__", lambda self, i: drawn.append(i) or read(self, i)
    )
    data = Steps((LabelledImages(folder),), SMALL.changed(synthetic_share=0.0))
    images = sum(len(data[i]) for i in range(6))
    assert len(drawn) >= images
    assert set(drawn) <= {0, 1, 2}
    drawn.clear()
    Steps((LabelledImages(folder),), SMALL.changed(synthetic_share=1.0))[0]
    assert not drawn


def test_sizes_and_weights_go_together():
    with pytest.raises(ValidationError, match="differ in length"):
        DataSettings(input_sizes=(256,), size_weights=(0.5, 0.5))
