"""Materials: grains, pores, crystals, particles."""

import numpy as np

from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.synthetic.noise import background, fractal_noise, photo
from napari_mobilesam.training.synthetic.optics import blur, expose, uneven_light, wide_blur
from napari_mobilesam.training.synthetic.scene import Field, Shape, compose
from napari_mobilesam.training.synthetic.shapes import (
    blob,
    depth,
    each,
    local_positions,
    log_uniform,
    object_radius,
    polygon,
    ramps,
    scatter,
    stripes,
    tessellate,
)


def grains(rng: np.random.Generator, shape: Shape) -> Scene:
    """Polycrystals: grains of different grey, etched borders, twins and scratches."""
    radius = object_radius(rng, shape, 8, 0.3)
    labels = tessellate(rng, shape, radius, warp=rng.choice([0.0, 0.1, 0.3]), jitter=1.0)
    contrast = rng.choice([0.0, rng.uniform(0.05, 0.5)])
    grey = 0.5 + each(rng, labels, -contrast, contrast)
    twins = each(rng, labels, 0, 1) < rng.uniform(0, 0.4)
    grey += twins * 0.1 * (stripes(rng, labels, radius * rng.uniform(0.5, 1.5)) > 0.3)
    line = np.exp(-((depth(labels) / rng.uniform(0.6, 2.5)) ** 2))
    strength = rng.uniform(0.15, 0.5) if contrast < 0.2 else rng.uniform(0, 0.4)
    grey += rng.choice([-1, -1, 1]) * strength * line * _faded(rng, shape, radius)
    grey += rng.uniform(0, 0.08) * fractal_noise(rng, shape, 2 * radius, 3)
    grey += 0.04 * background(rng, shape)
    return compose(rng, _micrograph(rng, grey.astype(np.float32)), labels)


def packed_grains(rng: np.random.Generator, shape: Shape) -> Scene:
    """Loose grains seen from above, lit from one side: sand, seeds, powders."""
    radius = object_radius(rng, shape, 6, 0.3)
    draw = blob(0.1, 1.8) if rng.random() < 0.6 else polygon(5, 9, 0.3)
    labels = scatter(
        rng,
        shape,
        draw,
        radius,
        coverage=rng.uniform(0.3, 0.95),
        overlap=rng.uniform(0.05, 0.5),
        spread=rng.uniform(0.1, 0.5),
        clumping=0.3,
    )
    height = np.sqrt(np.minimum(depth(labels) / (0.8 * radius), 1)) * (labels > 0)
    grey = each(rng, labels, 0.3, 0.8, rng.uniform(0.0, 0.9)) + 0.1 * background(rng, shape)
    grey *= 0.5 + 0.5 * np.where(labels > 0, height, 1) + 0.25 * _shading(rng, height, labels)
    shadow = np.roll(wide_blur((labels > 0).astype(np.float32), 0.2 * radius + 1), 3, (0, 1))
    grey = np.where(labels > 0, grey, grey * (1 - rng.uniform(0, 0.8) * shadow))
    grey += rng.uniform(0, 0.12) * fractal_noise(rng, shape, radius / 2 + 2) * (labels > 0)
    image = _micrograph(rng, grey.astype(np.float32))
    return compose(rng, _coloured(rng, image, labels), labels)


def pores(rng: np.random.Generator, shape: Shape) -> Scene:
    """Dark or bright holes in a textured solid."""
    radius = object_radius(rng, shape, 4, 0.2)
    draw = blob(rng.uniform(0.02, 0.3), 2.5, 7)
    labels = scatter(rng, shape, draw, radius, coverage=rng.uniform(0.03, 0.4), spread=0.5)
    inside = depth(labels)
    solid = 0.5 + 0.12 * background(rng, shape)
    solid += rng.uniform(0, 0.06) * fractal_noise(rng, shape, 3)
    deep = np.minimum(inside / (radius * rng.uniform(0.05, 0.6)), 1)
    hole = each(rng, labels, 0.7, 1) * (0.5 + 0.5 * deep) * (1 + 0.2 * ramps(rng, labels))
    sign = rng.choice([-1, -1, 1])
    grey = solid + sign * rng.uniform(0.2, 0.5) * hole * (labels > 0)
    rim = np.exp(-inside / rng.uniform(0.8, 3)) * rng.uniform(0, 0.3)
    return compose(rng, _micrograph(rng, (grey - sign * rim).astype(np.float32)), labels)


def crystals(rng: np.random.Generator, shape: Shape) -> Scene:
    """Facetted crystals, clear or opaque, with bright or dark edges."""
    radius = object_radius(rng, shape, 6, 0.3)
    labels = scatter(
        rng,
        shape,
        polygon(3, 8, 0.3),
        radius,
        coverage=rng.uniform(0.1, 0.6),
        overlap=rng.choice([0, 0.2, 0.4]),
        spread=0.4,
    )
    y, x, size = local_positions(labels)
    facets = np.floor(
        (np.arctan2(y, x) / (2 * np.pi) + each(rng, labels, 0, 1)) * rng.integers(3, 7)
    )
    shade = np.sin(12.9898 * facets + each(rng, labels, 0, 6)) * (np.hypot(y, x) > 0.25 * size)
    edge = np.exp(-depth(labels) / rng.uniform(0.8, 2.5)) * (labels > 0)
    grey = rng.uniform(0.2, 0.7) + 0.1 * background(rng, shape)
    body = rng.uniform(-0.3, 0.4) * each(rng, labels, 0.5, 1) + rng.uniform(0, 0.2) * shade
    grey = grey + body * (labels > 0) + rng.choice([-1, 1]) * rng.uniform(0.1, 0.5) * edge
    image = _micrograph(rng, grey.astype(np.float32))
    return compose(rng, _coloured(rng, image, labels), labels)


def particles(rng: np.random.Generator, shape: Shape) -> Scene:
    """Spheres, discs and cubes under a scanning electron beam, edges bright, in piles."""
    radius = object_radius(rng, shape, 4, 0.3)
    draw = blob(0.02, 1.15, 2) if rng.random() < 0.7 else polygon(4, 6, 0.1)
    labels = scatter(
        rng,
        shape,
        draw,
        radius,
        coverage=rng.uniform(0.1, 0.8),
        overlap=rng.choice([0, 0.2, 0.5]),
        spread=rng.uniform(0.03, 0.4),
        clumping=rng.uniform(0, 0.8),
    )
    height = np.sqrt(np.minimum(depth(labels) / (radius * rng.uniform(0.2, 1)), 1)) * (labels > 0)
    edge = (1 - height) ** 2 * (labels > 0)
    relief = fractal_noise(rng, shape, radius / 2 + 2) * rng.uniform(0, 0.15)
    grey = rng.uniform(0.05, 0.6) + 0.15 * background(rng, shape)
    body = each(rng, labels, 0.3, 0.6) + rng.uniform(-0.2, 0.5) * edge + relief
    grey = np.where(labels > 0, body + 0.2 * _shading(rng, height, labels), grey)
    return compose(rng, _micrograph(rng, grey.astype(np.float32)), labels)


def _shading(rng: np.random.Generator, height: Field, labels: Labels) -> Field:
    """Lambert shading of rounded bodies, all lit from the same side; about -1..1."""
    y, x, size = local_positions(labels)
    angle = rng.uniform(0, 2 * np.pi)
    side = np.clip((y * np.sin(angle) + x * np.cos(angle)) / np.maximum(size, 1), -1.5, 1.5)
    shading: Field = side * (1 - 0.7 * height) * (labels > 0)
    return shading


def _faded(rng: np.random.Generator, shape: Shape, radius: float) -> Field:
    """Etching that takes unevenly: 0.3..1."""
    taken: Field = np.clip(0.8 + 0.25 * fractal_noise(rng, shape, 3 * radius, 2), 0.3, 1)
    return taken


def _coloured(rng: np.random.Generator, grey: Field, labels: Labels) -> Field:
    """In one image of three, give every object a hue around a common one."""
    if rng.random() < 0.67:
        return grey
    common = rng.uniform(0.5, 1, 3)
    strength = rng.uniform(0, 0.4)
    channels = [
        grey * (value + each(rng, labels, -strength, strength)).astype(np.float32)
        for value in common
    ]
    ground = photo(rng, grey.shape) * rng.uniform(0, 0.3)
    colour: Field = np.stack(channels, -1) + ground * (labels == 0)[..., None]
    return colour


def _micrograph(rng: np.random.Generator, grey: Field) -> Field:
    light = uneven_light(rng, grey.shape, rng.uniform(0, 0.2))
    image = blur(grey * light, log_uniform(rng, 0.4, 1.6))
    return np.clip(expose(rng, image, log_uniform(rng, 60, 5000), rng.uniform(0, 0.05)), 0, 1)
