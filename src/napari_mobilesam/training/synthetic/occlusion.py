"""Scenes of no kind in particular: simple shapes, and "dead leaves" that hide one another.

The dead leaves model is that of Lee, Mumford and Huang, "Occlusion models for natural images"
(IJCV 2001): objects whose sizes follow a power law, laid over one another until none is missing.
"""

import numpy as np

from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.synthetic.noise import background, fractal_noise, photo
from napari_mobilesam.training.synthetic.optics import blur, expose, uneven_light
from napari_mobilesam.training.synthetic.scene import Field, Shape, compose
from napari_mobilesam.training.synthetic.shapes import (
    Draw,
    blob,
    borders,
    depth,
    each,
    log_uniform,
    object_radius,
    polygon,
    rasterise,
    rod,
    scatter,
)


def shapes(rng: np.random.Generator, shape: Shape) -> Scene:
    """Flat or outlined shapes on an even ground: the simplest scene."""
    radius = object_radius(rng, shape, 5, 0.35)
    labels = scatter(
        rng,
        shape,
        _any_outline(rng),
        radius,
        coverage=rng.uniform(0.05, 0.5),
        overlap=rng.choice([0, 0.3]),
        spread=rng.uniform(0.1, 0.6),
    )
    ground = rng.uniform(0.05, 0.95)
    low, high = (0.0, ground - 0.15) if ground > 0.5 else (ground + 0.15, 1.0)
    flat = each(rng, labels, low, high, ground)
    if rng.random() < 0.4:
        width = log_uniform(rng, 0.7, 0.1 * radius + 1.5)
        line = np.exp(-((depth(labels) / width) ** 2)) * (labels > 0)
        flat = ground + (flat - ground) * line
    image = flat + rng.uniform(0, 0.15) * background(rng, shape)
    image = blur(image.astype(np.float32), log_uniform(rng, 0.3, 2))
    return compose(rng, expose(rng, image, log_uniform(rng, 50, 5000), 0.02), labels)


def dead_leaves(rng: np.random.Generator, shape: Shape) -> Scene:
    """Overlapping shapes of all sizes, filled with texture or photographs, in colour or grey."""
    labels = _leaves(rng, shape)
    image = _filled(rng, labels)
    light = uneven_light(rng, shape, rng.uniform(0, 0.2))[..., None]
    image = blur(image * light, log_uniform(rng, 0.3, 1.2))
    image = expose(rng, image, log_uniform(rng, 100, 10_000), rng.uniform(0, 0.02))
    return compose(rng, image.mean(-1) if rng.random() < 0.5 else image, labels)


def _leaves(rng: np.random.Generator, shape: Shape) -> Labels:
    """Paint from back to front; radii follow r^-3 between their limits, large ones first."""
    least, most = log_uniform(rng, 6, 0.1 * min(shape)), rng.uniform(0.15, 0.4) * min(shape)
    count = int(rng.integers(5, 60))
    uniform = rng.random(count)
    radii = np.sort(1 / np.sqrt(uniform / least**2 + (1 - uniform) / most**2))[::-1]
    labels = np.zeros(shape, np.int32)
    for number, radius in enumerate(radii.tolist(), start=1):
        outline = _any_outline(rng)(rng, radius)
        corner, mask = rasterise(outline + rng.uniform((0, 0), shape), shape)
        window = labels[
            corner[0] : corner[0] + mask.shape[0], corner[1] : corner[1] + mask.shape[1]
        ]
        window[mask] = number
    return labels


def _filled(rng: np.random.Generator, labels: Labels) -> Field:
    """Give every object a colour and one of a few textures; (H, W, 3)."""
    shape = labels.shape
    colours = rng.uniform(0, 1, (int(labels.max()) + 1, 3)).astype(np.float32)
    strength = rng.uniform(0, 0.6)
    patches = [photo(rng, shape), photo(rng, shape), _grain(rng, shape), _grain(rng, shape)]
    chosen = rng.integers(len(patches), size=len(colours))[labels]
    texture = np.select([chosen[..., None] == i for i in range(len(patches))], patches)
    image = (1 - strength) * colours[labels] + strength * texture
    if rng.random() < 0.3:
        image = image * (1 - rng.uniform(0.3, 1) * borders(labels))[..., None]
    return image.astype(np.float32)


def _grain(rng: np.random.Generator, shape: Shape) -> Field:
    grey = 0.5 + 0.25 * fractal_noise(rng, shape, log_uniform(rng, 2, 60))
    return np.repeat(grey[..., None], 3, axis=-1)


def _any_outline(rng: np.random.Generator) -> Draw:
    return (blob(0.03, 1.5), blob(0.25, 2.5, 7), polygon(), rod())[int(rng.integers(4))]
