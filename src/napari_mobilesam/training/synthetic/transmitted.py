"""Transmitted light: phase contrast, differential interference contrast and bright field."""

import numpy as np
from scipy import ndimage

from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.synthetic.noise import background, fractal_noise
from napari_mobilesam.training.synthetic.optics import blur, expose, uneven_light, wide_blur
from napari_mobilesam.training.synthetic.scene import Field, Shape, compose
from napari_mobilesam.training.synthetic.shapes import (
    blob,
    depth,
    each,
    filament,
    log_uniform,
    object_radius,
    rod,
    scatter,
    stripes,
)


def phase_contrast(rng: np.random.Generator, shape: Shape) -> Scene:
    """Adherent cells: a body of mixed grey with granules, and a bright halo around it."""
    radius = object_radius(rng, shape, 7, 0.3)
    labels = _adherent(rng, shape, radius)
    return compose(rng, _phase(rng, labels, radius, dark=rng.uniform(0.0, 0.35)), labels)


def dic(rng: np.random.Generator, shape: Shape) -> Scene:
    """Relief from the gradient of thickness, bright on one side of a cell, dark on the other."""
    radius = object_radius(rng, shape, 7, 0.35)
    labels = _adherent(rng, shape, radius)
    body = np.sqrt(np.minimum(depth(labels) / (rng.uniform(0.2, 0.8) * radius), 1)) * (labels > 0)
    grains = fractal_noise(rng, shape, radius / 3 + 1.5) * rng.uniform(0.02, 0.15) * (labels > 0)
    height = blur((body + grains).astype(np.float32), rng.uniform(0.7, 2))
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.sin(angle) * ndimage.sobel(height, 0) + np.cos(angle) * ndimage.sobel(height, 1)
    slope = slope / max(float(np.abs(slope).max()), 1e-6)
    image = 0.5 + rng.uniform(0.3, 0.5) * slope + 0.05 * background(rng, shape)
    return compose(rng, _lit(rng, image.astype(np.float32)), labels)


def bacteria(rng: np.random.Generator, shape: Shape) -> Scene:
    """Rods in chains and clumps: dark in phase contrast, bright in fluorescence, or outlined."""
    radius = object_radius(rng, shape, 2.5, 0.08)
    draw = rod((1.2, rng.uniform(2, 8)), rng.uniform(0, 1))
    labels = scatter(
        rng,
        shape,
        draw,
        radius,
        coverage=rng.uniform(0.05, 0.5),
        overlap=rng.choice([0, 0.15]),
        clumping=rng.uniform(0, 0.9),
        spread=0.1,
    )
    return compose(rng, _thin_objects(rng, labels, radius), labels)


def filaments(rng: np.random.Generator, shape: Shape) -> Scene:
    """Hyphae, worms and fibres: long threads that cross one another."""
    radius = object_radius(rng, shape, 2.5, 0.06)
    draw = filament((6, rng.uniform(10, 40)), rng.uniform(0.2, 1.6))
    labels = scatter(
        rng, shape, draw, radius, coverage=rng.uniform(0.05, 0.3), overlap=0.3, limit=25
    )
    return compose(rng, _thin_objects(rng, labels, radius), labels)


def yeast(rng: np.random.Generator, shape: Shape) -> Scene:
    """Ovals with a bright or dark wall and a vacuole, mothers with their buds."""
    radius = object_radius(rng, shape, 6, 0.25)
    draw = blob(0.02, 1.5, 2)
    labels = scatter(
        rng,
        shape,
        draw,
        radius,
        coverage=rng.uniform(0.1, 0.6),
        spread=rng.uniform(0.1, 0.4),
        overlap=0.05,
        clumping=rng.uniform(0.2, 0.9),
    )
    inside = depth(labels)
    wall = rng.uniform(1.0, 0.15 * radius + 1)
    ring = np.exp(-(((inside - wall) / wall) ** 2)) * (labels > 0)
    outside = wide_blur((labels > 0).astype(np.float32), 0.3 * radius + 1) * (labels == 0)
    room = inside > 0.35 * radius
    vacuole = scatter(
        rng, shape, blob(0.05), 0.35 * radius, coverage=0.15, within=room & (labels > 0)
    )
    sign = rng.choice([-1.0, 1.0])
    image = 0.5 + sign * rng.uniform(0.15, 0.4) * ring - sign * rng.uniform(0, 0.35) * outside
    image += (labels > 0) * each(rng, labels, -0.12, 0.12)
    image += (labels > 0) * 0.05 * fractal_noise(rng, shape, radius / 3 + 1)
    image += (vacuole > 0) * rng.uniform(-0.2, 0.2) + 0.04 * background(rng, shape)
    return compose(rng, _lit(rng, image.astype(np.float32)), labels)


def _adherent(rng: np.random.Generator, shape: Shape, radius: float) -> Labels:
    spindle = rng.random() < 0.4
    draw = (
        rod((2, 7), 1.0)
        if spindle
        else blob(rng.uniform(0.02, 0.35), rng.uniform(1.1, 4), int(rng.integers(3, 9)))
    )
    return scatter(
        rng,
        shape,
        draw,
        radius * (0.5 if spindle else 1),
        coverage=rng.uniform(0.1, 0.7),
        overlap=rng.choice([0, 0.1, 0.2]),
        clumping=rng.uniform(0, 0.7),
    )


def _phase(rng: np.random.Generator, labels: Labels, radius: float, dark: float) -> Field:
    """Phase-contrast image of flat bodies: darker than the ground, haloed on the outside."""
    shape = labels.shape
    body = (labels > 0).astype(np.float32)
    halo = wide_blur(body, rng.uniform(0.15, 0.5) * radius + 1.0) - blur(body, 0.7)
    grains = fractal_noise(rng, shape, radius / 2 + 1.5, 4, 0.8)
    image = 0.45 + rng.uniform(0.3, 1.0) * halo - dark * body * each(rng, labels, 0.6, 1)
    image += rng.uniform(0.03, 0.15) * grains * body
    rim = np.exp(-depth(labels) / rng.uniform(0.8, 2.5)) * body
    image += rng.uniform(-0.3, 0.3) * rim + 0.06 * background(rng, shape)
    return _lit(rng, image.astype(np.float32))


def _thin_objects(rng: np.random.Generator, labels: Labels, radius: float) -> Field:
    """Render rods and threads in one of three contrasts."""
    shape = labels.shape
    style = rng.integers(3)
    if style == 0:
        return _phase(rng, labels, 2 * radius, dark=rng.uniform(0.15, 0.45))
    inside = depth(labels)
    body = np.minimum(inside / radius, 1) * (labels > 0)
    if style == 1:
        signal = body * each(rng, labels, 0.3, 1.0)
        signal *= 1 + rng.uniform(0, 0.3) * stripes(rng, labels, 4 * radius)
        light = uneven_light(rng, shape, rng.uniform(0, 0.4))
        image = (blur(signal.astype(np.float32), log_uniform(rng, 0.4, 1.5)) + 0.05) * light
        return np.clip(expose(rng, image, log_uniform(rng, 20, 2000), 0.02), 0, 1)
    rim = np.exp(-inside / rng.uniform(0.7, 0.3 * radius + 1)) * (labels > 0)
    image = rng.uniform(0.4, 0.7) + rng.choice([-1, 1]) * rng.uniform(0.2, 0.4) * rim
    image = image + body * rng.uniform(-0.2, 0.2) + 0.1 * background(rng, shape)
    return _lit(rng, image.astype(np.float32))


def _lit(rng: np.random.Generator, image: Field) -> Field:
    """Finish a bright image: uneven light, a little blur, fine noise."""
    light = uneven_light(rng, image.shape[:2], rng.uniform(0, 0.15))
    sharp = blur(image * light, log_uniform(rng, 0.3, 1.4))
    return np.clip(expose(rng, sharp, log_uniform(rng, 100, 5000), rng.uniform(0, 0.03)), 0, 1)
