"""Stained specimens in colour: tissue sections and blood smears."""

import numpy as np

from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.synthetic.noise import fibrous_noise, fractal_noise
from napari_mobilesam.training.synthetic.optics import blur, expose, tint, uneven_light
from napari_mobilesam.training.synthetic.scene import Field, Shape, compose
from napari_mobilesam.training.synthetic.shapes import (
    blob,
    depth,
    each,
    log_uniform,
    object_radius,
    scatter,
)

HAEMATOXYLIN = (0.95, 1.05, 0.45)
EOSIN = (0.15, 0.85, 0.35)
DAB = (0.4, 0.8, 1.3)


def tissue(rng: np.random.Generator, shape: Shape) -> Scene:
    """Nuclei in haematoxylin on fibres and cytoplasm in eosin, with lumens left white."""
    radius = object_radius(rng, shape, 4, 0.15)
    lumen = fractal_noise(rng, shape, min(shape) / 3, 3) > rng.uniform(0.8, 2.5)
    labels = scatter(
        rng,
        shape,
        blob(rng.uniform(0.04, 0.12), rng.uniform(1.3, 3)),
        radius,
        coverage=rng.uniform(0.08, 0.45),
        overlap=rng.choice([0, 0.15]),
        clumping=rng.uniform(0, 0.6),
        within=~lumen,
    )
    body = (labels > 0).astype(np.float32)
    chromatin = np.clip(1 + rng.uniform(0.1, 0.5) * fractal_noise(rng, shape, radius / 2 + 1), 0, 3)
    rim = np.exp(-depth(labels) / rng.uniform(0.8, 2)) * rng.uniform(0, 0.6)
    blue = body * each(rng, labels, rng.uniform(0.2, 0.6), 1.3) * (chromatin + rim)
    pink = (
        0.45
        + 0.2 * fractal_noise(rng, shape, 5 * radius)
        + 0.25 * fibrous_noise(rng, shape, log_uniform(rng, 2, 2 * radius))
    )
    pink = np.clip(pink, 0.03, 2) * ~lumen * (1 - 0.5 * body)
    if rng.random() < 0.2:
        pink = pink + 0.8 * np.clip(fractal_noise(rng, shape, 2 * radius), 0, 2)
    counterstain = EOSIN if rng.random() < 0.7 else DAB
    haze = blur(blue.astype(np.float32), 2 * radius) * rng.uniform(0, 0.3)
    colour = tint(blur(blue.astype(np.float32), 0.8) + haze, _varied(rng, HAEMATOXYLIN))
    colour = colour * tint(blur(pink.astype(np.float32), 0.8), _varied(rng, counterstain))
    return compose(rng, _photographed(rng, colour * rng.uniform(0.85, 1)), labels)


def blood_smear(rng: np.random.Generator, shape: Shape) -> Scene:
    """Red cells with a pale centre, a few white cells with a lobed nucleus, and platelets."""
    radius = object_radius(rng, shape, 7, 0.22)
    crowd = rng.uniform(0.1, 0.6)
    overlap = rng.choice([0, 0.1, 0.35])
    outline = blob(rng.uniform(0.01, 0.06), rng.uniform(1.05, 1.4), 3)
    red = scatter(
        rng, shape, outline, radius, coverage=crowd, spread=0.08, overlap=overlap, clumping=0.3
    )
    white = scatter(
        rng, shape, blob(0.04, 1.2), radius * rng.uniform(1.3, 2.2), coverage=0.06, spread=0.1
    )
    white[red > 0] = 0 if rng.random() < 0.5 else white[red > 0]
    red[white > 0] = 0
    platelets = scatter(
        rng, shape, blob(0.15, 1.5), 0.3 * radius + 1, coverage=0.01, within=(red + white) == 0
    )
    nucleus = scatter(
        rng,
        shape,
        blob(0.2, 1.6),
        0.8 * radius,
        coverage=0.05,
        overlap=0.6,
        clumping=0.5,
        within=(white > 0) & (depth(white) > 1.5),
    )
    nucleus = np.where(nucleus > 0, white, 0).astype(np.int32)
    colour = _smear_colours(rng, red, white, platelets, nucleus, radius)
    offset = int(red.max())
    labels = np.where(white > 0, white + offset, red)
    labels = np.where(platelets > 0, platelets + int(labels.max()), labels).astype(np.int32)
    return compose(rng, _photographed(rng, colour), labels, nucleus)


def _smear_colours(
    rng: np.random.Generator,
    red: Labels,
    white: Labels,
    platelets: Labels,
    nucleus: Labels,
    radius: float,
) -> Field:
    shape = red.shape
    inside = depth(red)
    pallor = 1 - rng.uniform(0, 0.9) * np.clip(inside / radius / rng.uniform(0.4, 0.9), 0, 1) ** 2
    rim = 1 + rng.uniform(-0.3, 0.8) * np.exp(-inside / rng.uniform(1, 2.5))
    eosin = (red > 0) * each(rng, red, 0.4, 0.8) * pallor * rim
    granules = 1 + 0.3 * fractal_noise(rng, shape, radius / 4 + 1.5)
    purple = (white > 0) * rng.uniform(0.1, 0.3) + (nucleus > 0) * rng.uniform(0.7, 1.4)
    purple = (purple + (platelets > 0) * 0.5) * np.clip(granules, 0.3, 2)
    plasma = 0.05 + 0.03 * fractal_noise(rng, shape, max(shape) / 2)
    stain = blur((eosin + plasma).astype(np.float32), rng.uniform(0.4, 1.2))
    violet = blur(purple.astype(np.float32), rng.uniform(0.4, 1.0))
    colour = tint(stain, _varied(rng, (0.25, 0.9, 0.7))) * tint(violet, _varied(rng, HAEMATOXYLIN))
    return colour * np.asarray(rng.uniform(0.8, 1, 3), np.float32)


def _varied(
    rng: np.random.Generator, colour: tuple[float, float, float]
) -> tuple[float, float, float]:
    red, green, blue = (value * rng.uniform(0.7, 1.3) for value in colour)
    return red, green, blue


def _photographed(rng: np.random.Generator, colour: Field) -> Field:
    """Uneven light, noise, and sometimes a grey camera."""
    light = uneven_light(rng, colour.shape[:2], rng.uniform(0, 0.1))
    image = expose(rng, colour * light[..., None], log_uniform(rng, 200, 5000))
    return image.mean(-1) if rng.random() < 0.2 else image
