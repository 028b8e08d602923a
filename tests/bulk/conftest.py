import pytest

from napari_mobilesam import load_model

from .stacks import touching_spheres


@pytest.fixture(scope="session")
def spheres():
    """Image (30, 160, 160) uint8 of touching spheres, and its labels."""
    return touching_spheres()


@pytest.fixture(scope="session")
def small_model():
    """The bundled model at an input size that makes it fast."""
    return load_model("micro", device="cpu", input_size=256)
