"""What microscopes and cameras do to an image; fields are (H, W) or (H, W, 3), 0..1."""

import numpy as np
from scipy import ndimage

from napari_mobilesam.training.synthetic.noise import smooth_noise
from napari_mobilesam.training.synthetic.scene import Field, Shape


def blur(image: Field, sigma: float) -> Field:
    """Gaussian blur, the point spread function of a lens; colours apart."""
    sigmas = (sigma, sigma) if image.ndim == 2 else (sigma, sigma, 0)
    blurred: Field = ndimage.gaussian_filter(image, sigmas, truncate=3.0)
    return blurred


def wide_blur(image: Field, sigma: float) -> Field:
    """Blur of many pixels, computed on a coarse grid."""
    step = max(1, int(sigma / 3))
    if step == 1:
        return blur(image, sigma)
    height, width = image.shape
    coarse = blur(np.ascontiguousarray(image[::step, ::step]), sigma / step)
    rows = np.minimum(np.arange(height) / step, coarse.shape[0] - 1)
    cols = np.minimum(np.arange(width) / step, coarse.shape[1] - 1)
    grid = np.meshgrid(rows, cols, indexing="ij")
    fine: Field = ndimage.map_coordinates(coarse, grid, order=1, mode="nearest")
    return fine


def uneven_light(rng: np.random.Generator, shape: Shape, strength: float) -> Field:
    """Illumination around 1: a tilt, a vignette and slow clouds."""
    y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    tilt = rng.uniform(-1, 1) * y + rng.uniform(-1, 1) * x
    vignette = -rng.uniform(0, 1) * (y**2 + x**2)
    clouds = 0.3 * smooth_noise(rng, shape, max(shape) / 2)
    light: Field = 1 + np.float32(strength) * (tilt + vignette + clouds)
    return np.clip(light, 0.15, 3).astype(np.float32)


def expose(
    rng: np.random.Generator, image: Field, photons: float, read_noise: float = 0.01
) -> Field:
    """Photon and read noise of a camera that collects ``photons`` where the image is 1.

    Photon noise is taken as Gaussian of the same variance.
    """
    spread = np.sqrt(np.maximum(image, 0) / photons + read_noise**2)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    noisy: Field = image + spread.astype(np.float32) * grain
    return noisy


def span(image: Field, low: float = 0.02, high: float = 0.98) -> Field:
    """Stretch an image to ``low``..``high``."""
    least, most = float(image.min()), float(image.max())
    stretched: Field = low + (high - low) * (image - least) / max(most - least, 1e-6)
    return stretched.astype(np.float32)


def tint(grey: Field, colour: tuple[float, float, float]) -> Field:
    """Absorb light by a stain: Beer and Lambert's law with one absorbance a colour channel.

    Parameters
    ----------
    grey : (H, W) array
        Amount of stain, 0 or more.
    colour : tuple of float
        Absorbance of red, green and blue light by an amount of 1.
    """
    transmitted: Field = np.exp(-grey[..., None] * np.asarray(colour, np.float32))
    return transmitted.astype(np.float32)
