import numpy as np
import pytest
from scipy import ndimage

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.training.synthetic import KINDS, generate
from napari_mobilesam.training.synthetic.shapes import borders

SIZE = (128, 160)


@pytest.fixture(scope="module")
def scenes():
    return {kind: [generate(kind, seed, SIZE) for seed in range(6)] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_scene(kind, scenes):
    again = generate(kind, 3, SIZE)
    np.testing.assert_array_equal(again.image, scenes[kind][3].image)
    np.testing.assert_array_equal(again.labels, scenes[kind][3].labels)
    np.testing.assert_array_equal(again.inner, scenes[kind][3].inner)
    assert not np.array_equal(again.image, scenes[kind][4].image)


@pytest.mark.parametrize("kind", KINDS)
def test_images_and_labels_have_the_promised_form(kind, scenes):
    for scene in scenes[kind]:
        assert scene.image.shape in (SIZE, (*SIZE, 3))
        assert scene.image.dtype in (np.uint8, np.uint16)
        assert np.ptp(scene.image) > 0
        for labels in (scene.labels, scene.inner):
            assert labels.shape == SIZE
            assert labels.dtype == np.int32
            numbers = np.unique(labels[labels > 0])
            np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_most_scenes_hold_objects(kind, scenes):
    assert sum(scene.labels.any() for scene in scenes[kind]) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_nested_objects_lie_in_whole_ones(kind, scenes):
    assert all((scene.labels[scene.inner > 0] > 0).all() for scene in scenes[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_borders_of_the_labels_show_in_the_image(kind, scenes):
    ratios = []
    for scene in scenes[kind]:
        grey = scene.image.astype(float)
        grey = ndimage.gaussian_filter(grey.mean(-1) if grey.ndim == 3 else grey, 1)
        steps = ndimage.gaussian_gradient_magnitude(grey, 1)
        lines = np.abs(ndimage.gaussian_laplace(grey, 1.5))
        edge = borders(scene.labels)
        if edge.any() and not edge.all():
            ratios.append(max(x[edge].mean() / x[~edge].mean() for x in (steps, lines)))
    assert np.median(ratios) > 1.15


def test_kinds_cover_a_wide_range_of_sizes():
    areas = [
        area
        for kind in KINDS
        for seed in range(3)
        for area in np.bincount(generate(kind, seed, (256, 256)).labels.ravel())[1:]
    ]
    diameters = 2 * np.sqrt(np.array(areas) / np.pi)
    assert diameters.min() < 8
    assert diameters.max() > 128


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(SettingsError, match="blood_smear"):
        generate("cats", 0, SIZE)


def test_too_small_a_scene_is_refused():
    with pytest.raises(SettingsError, match="64"):
        generate("grains", 0, (32, 128))
