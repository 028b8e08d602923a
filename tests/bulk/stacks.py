"""Stacks whose truth is known."""

import numpy as np
from scipy.ndimage import gaussian_filter

SHAPE = (30, 160, 160)
RADII = 9, 13


def touching_spheres(count=22, seed=0):
    """Spheres of different brightness, most of them touching another, blurred, with noise.

    Returns the image, uint8, and the labels, both of ``SHAPE``.
    """
    rng = np.random.default_rng(seed)
    labels, image = np.zeros(SHAPE, np.int32), np.full(SHAPE, 40.0)
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    for label, (centre, radius) in enumerate(_packed(rng, count), start=1):
        distance = np.linalg.norm(grid - centre, axis=-1) / radius
        labels[distance < 1] = label
        depth = np.sqrt(np.clip(1 - distance**2, 0, 1))
        image += np.where(distance < 1, rng.uniform(110, 190) * (0.75 + 0.25 * depth), 0)
    image = gaussian_filter(image, (0.5, 1, 1)) + rng.normal(0, 12, SHAPE)
    return image.clip(0, 255).astype(np.uint8), labels


def _packed(rng, count):
    placed = []
    while len(placed) < count:
        radius, edge = rng.uniform(*RADII), 0.9 * RADII[1]
        if placed and rng.random() < 0.8:
            other, its_radius = placed[rng.integers(len(placed))]
            way = rng.normal(size=3) * (0.5, 1, 1)
            centre = other + way / np.linalg.norm(way) * (its_radius + radius)
        else:
            centre = rng.uniform(0, SHAPE)
        is_inside = (centre > (7, edge, edge)).all() and (SHAPE - centre > (7, edge, edge)).all()
        apart = (np.linalg.norm(centre - c) >= 0.999 * (r + radius) for c, r in placed)
        if is_inside and all(apart):
            placed.append((centre, radius))
    return placed
