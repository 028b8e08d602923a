import numpy as np

from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.training.validation import validation_scenes


def test_validation_scenes_are_not_those_of_training():
    scene = validation_scenes("grains", 1, 96)[0]
    np.testing.assert_array_equal(scene.image, generate("grains", 2**31, (96, 96)).image)
