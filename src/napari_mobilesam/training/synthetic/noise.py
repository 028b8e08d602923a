"""Random fields and textures."""

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mobilesam.training.synthetic.scene import Field, Shape

PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
"""Photographs inside scikit-image's wheel that lend their texture; no micrographs, no coins."""


def smooth_noise(rng: np.random.Generator, shape: Shape, scale: float) -> Field:
    """Gaussian noise of unit variance that changes over about ``scale`` pixels."""
    rows, cols = (max(2, int(np.ceil(side / max(scale, 1.0))) + 1) for side in shape)
    coarse = Image.fromarray(rng.standard_normal((rows, cols), dtype=np.float32))
    fine = np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return fine.astype(np.float32)


def fractal_noise(
    rng: np.random.Generator, shape: Shape, scale: float, octaves: int = 4, roughness: float = 0.6
) -> Field:
    """Noise with detail at every scale below ``scale``, of about unit variance."""
    total = np.zeros(shape, np.float32)
    power, weight = 0.0, 1.0
    for _ in range(octaves):
        total += np.float32(weight) * smooth_noise(rng, shape, scale)
        power += weight**2
        weight, scale = weight * roughness, scale / 2
        if scale < 1:
            break
    return total / np.float32(np.sqrt(power))


def fibrous_noise(rng: np.random.Generator, shape: Shape, scale: float) -> Field:
    """Noise drawn out along slowly turning lines, as collagen is."""
    waves = smooth_noise(rng, shape, 6 * scale) * 3 * scale
    y, x = np.indices(shape, dtype=np.float32)
    angle = rng.uniform(0, np.pi)
    across = y * np.sin(angle) + x * np.cos(angle) + waves
    along = (x * np.sin(angle) - y * np.cos(angle)) / 6
    return lookup_noise(rng, across / scale, along / scale)


def lookup_noise(rng: np.random.Generator, y: Field, x: Field) -> Field:
    """Read a periodic random texture at the given positions, one unit a lattice point."""
    side = 128
    table = smooth_noise(rng, (4 * side, 4 * side), 4)
    rows = np.rint(4 * y).astype(np.intp) % (4 * side)
    cols = np.rint(4 * x).astype(np.intp) % (4 * side)
    values: Field = table[rows, cols]
    return values


def photo(rng: np.random.Generator, shape: Shape) -> Field:
    """Cut a random part from a photograph, turned and scaled, (H, W, 3) in 0..1."""
    source = _load(PHOTOS[int(rng.integers(len(PHOTOS)))])
    side = int(rng.uniform(0.15, 1.0) * min(source.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in source.size)
    cut = source.resize(
        (shape[1], shape[0]), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    pixels: Field = np.asarray(cut, dtype=np.float32) / 255
    turned = np.rot90(pixels, int(rng.integers(4))) if shape[0] == shape[1] else pixels
    return np.ascontiguousarray(turned)


def background(rng: np.random.Generator, shape: Shape) -> Field:
    """Make a grey surface of low contrast: flat, cloudy, grainy, fibrous or photographic; -1..1."""
    kind = rng.integers(5)
    if kind == 0:
        return np.zeros(shape, np.float32)
    if kind == 1:
        return fractal_noise(rng, shape, min(shape) / 2) / 2
    if kind == 2:
        return fractal_noise(rng, shape, float(rng.uniform(2, 12)), 2) / 2
    if kind == 3:
        return fibrous_noise(rng, shape, float(rng.uniform(2, 8))) / 2
    grey: Field = 2 * photo(rng, shape).mean(-1) - 1
    return grey


@cache
def _load(name: str) -> Image.Image:
    pixels: NDArray[np.uint8]
    with files("skimage.data").joinpath(name).open("rb") as file:
        pixels = np.asarray(Image.open(file).convert("RGB"))
    return Image.fromarray(pixels)
