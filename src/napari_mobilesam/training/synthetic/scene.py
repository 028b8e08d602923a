"""From values and numbered objects to a scene with exact instance labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.scene import Labels, Scene

Field = NDArray[np.floating[Any]]
Shape = tuple[int, int]

_LEAST_AREA = 24


def compose(
    rng: np.random.Generator, image: Field, labels: Labels, inner: Labels | None = None
) -> Scene:
    """Quantise an image with values in 0..1 and number its objects without gaps.

    One grey image in four becomes uint16, with the small range that a camera often uses.
    """
    image = np.clip(image, 0.0, 1.0)
    if image.ndim == 2 and rng.random() < 0.25:
        low, span = rng.uniform(100, 2000), rng.uniform(800, 40_000)
        pixels: NDArray[np.uint8 | np.uint16] = (low + span * image).astype(np.uint16)
    else:
        pixels = np.rint(image * 255).astype(np.uint8)
    nested = np.zeros_like(labels) if inner is None else inner
    return Scene(pixels, without_specks(labels), without_specks(nested))


def without_specks(labels: Labels, least_area: int = _LEAST_AREA) -> Labels:
    """Drop objects of fewer pixels than ``least_area`` and renumber the others 1..N."""
    kept = np.bincount(labels.ravel()) >= least_area
    kept[0] = False
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return renumbered[labels]
