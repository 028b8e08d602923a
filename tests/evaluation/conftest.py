import numpy as np
import pytest
import torch

from napari_mobilesam.core.scene import Scene
from napari_mobilesam.inference.engine import TorchEngine
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam


@pytest.fixture(scope="session")
def engine():
    """The bundled model."""
    return TorchEngine(load_sam(get_card("micro")), torch.device("cpu"))


@pytest.fixture
def discs():
    """Four bright discs of 8 to 20 pixels radius, the largest with a fifth one in it."""
    rows, cols = np.mgrid[:128, :128]
    labels = np.zeros((128, 128), np.int32)
    for label, (y, x, radius) in {3: (25, 25, 8), 5: (90, 30, 13), 8: (35, 95, 20)}.items():
        labels[(rows - y) ** 2 + (cols - x) ** 2 <= radius**2] = label
    labels[(rows - 100) ** 2 + (cols - 95) ** 2 <= 400] = 9
    inner = ((rows - 100) ** 2 + (cols - 95) ** 2 <= 49).astype(np.int32)
    image = np.where(labels > 0, 150, 40) + 80 * inner
    return Scene(image.astype(np.uint8), labels, inner)
