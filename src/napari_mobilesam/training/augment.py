"""Random views of a labelled scene: where it is cut, how it is turned, how its grey values look."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Labels, Scene

Pixels = NDArray[np.uint8 | np.uint16]
Number = TypeVar("Number", bound=np.generic)


def crop(
    rng: np.random.Generator, scene: Scene, size: int, min_side: int
) -> tuple[Pixels, list[Labels]]:
    """Cut a window that holds part of some object out of a scene.

    The window's sides run from the larger of ``min_side`` and an eighth of the input ``size`` up
    to the whole scene, one time in four apart from each other by up to a factor of two.
    """
    height, width = scene.labels.shape
    least = max(min_side, size // 8)
    side = np.exp(rng.uniform(np.log(least), np.log(max(least, max(height, width)))))
    aspect = 2 ** rng.uniform(-1, 1) if rng.random() < 0.25 else 1.0
    rows, cols = min(height, int(side * min(1, aspect))), min(width, int(side / max(1, aspect)))
    on_object = np.flatnonzero(scene.labels)
    y, x = divmod(int(on_object[rng.integers(len(on_object))]), width)
    top = _start(rng, y, rows, height)
    left = _start(rng, x, cols, width)
    window = (slice(top, top + rows), slice(left, left + cols))
    return scene.image[window], [scene.labels[window], scene.inner[window]]


def orient(
    rng: np.random.Generator, image: Pixels, layers: list[Labels]
) -> tuple[Pixels, list[Labels]]:
    """Turn by a multiple of 90 degrees and mirror, the image and its labels alike."""
    turns, mirror = int(rng.integers(4)), rng.random() < 0.5

    def apply(array: NDArray[Number]) -> NDArray[Number]:
        turned = np.rot90(array, turns)
        return np.ascontiguousarray(turned[:, ::-1] if mirror else turned)

    return apply(image), [apply(labels) for labels in layers]


def render(rng: np.random.Generator, image: Pixels) -> NDArray[np.uint8]:
    """Show an image as 8-bit RGB, its contrast, gamma, colours, sharpness and noise varied."""
    values = to_rgb8(image, _limits(rng, image)).astype(np.float32) / 255
    if image.ndim == 3 and rng.random() < 0.3:
        values = values[..., rng.permutation(3)]
    if image.ndim == 3 and rng.random() < 0.15:
        values = np.repeat(values.mean(-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.2:
        values = 1 - values
    if rng.random() < 0.5:
        values = values ** np.float32(np.exp(rng.normal(0, 0.4)))
    if rng.random() < 0.3:
        low, high = rng.uniform(0, 0.3), rng.uniform(0.6, 1)
        values = low + (high - low) * values
    if rng.random() < 0.2:
        sigma = rng.uniform(0.3, 1.5)
        values = ndimage.gaussian_filter(values, (sigma, sigma, 0), truncate=3)
    if rng.random() < 0.25:
        grey = rng.standard_normal(values.shape[:2], dtype=np.float32)[..., None]
        values = values + np.float32(rng.uniform(0.01, 0.1)) * grey
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _limits(rng: np.random.Generator, image: Pixels) -> tuple[float, float]:
    """Black and white: the whole range of 8 bits, or percentiles near the ends."""
    if image.dtype == np.uint8 and rng.random() < 0.3:
        return 0.0, 255.0
    tails = (0.1, 99.9) if rng.random() < 0.5 else (rng.uniform(0, 3), rng.uniform(97, 100))
    low, high = np.percentile(image, tails)
    return float(low), float(max(high, low + 1))


def _start(rng: np.random.Generator, position: int, length: int, whole: int) -> int:
    """Start of a window of ``length`` that holds ``position`` and lies in ``whole``."""
    first, last = max(0, position - length + 1), min(position, whole - length)
    return int(rng.integers(first, last + 1))
