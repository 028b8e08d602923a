import numpy as np
import pytest

from napari_mobilesam.core.scene import Scene
from napari_mobilesam.training.augment import crop, orient, render


@pytest.fixture
def scene():
    labels = np.zeros((90, 140), np.int32)
    labels[20:30, 100:120], labels[60:80, 10:30] = 1, 2
    return Scene((labels * 100).astype(np.uint8), labels, np.zeros_like(labels))


@pytest.mark.parametrize("seed", range(20))
def test_crops_hold_an_object_and_stay_aligned(scene, seed):
    image, (labels, inner) = crop(np.random.default_rng(seed), scene, 256, 40)
    assert labels.any()
    assert image.shape == labels.shape == inner.shape
    np.testing.assert_array_equal(image, labels * 100)


@pytest.mark.parametrize("seed", range(8))
def test_image_and_labels_turn_together(scene, seed):
    image, (labels,) = orient(np.random.default_rng(seed), scene.image, [scene.labels])
    np.testing.assert_array_equal(image, labels * 100)


def test_crops_and_turns_vary(scene):
    crops = {crop(np.random.default_rng(s), scene, 256, 40)[0].shape for s in range(12)}
    turns = {orient(np.random.default_rng(s), scene.image, [])[0].tobytes() for s in range(60)}
    assert len(crops) > 6
    assert len(turns) == 8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_rendered_images_are_rgb_and_keep_their_structure(dtype, colours):
    ramp = np.linspace(50, 250, 64, dtype=dtype)
    image = np.broadcast_to(ramp.reshape(1, -1, *(1 for _ in colours)), (64, 64, *colours))
    for seed in range(15):
        rgb = render(np.random.default_rng(seed), image)
        assert rgb.shape == (64, 64, 3)
        assert rgb.dtype == np.uint8
        profile = rgb.mean((0, 2))
        assert abs(np.corrcoef(profile, ramp)[0, 1]) > 0.8
