"""Fluorescence: bright on dark, with haze, uneven light and photon noise."""

import numpy as np

from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.synthetic.noise import fractal_noise
from napari_mobilesam.training.synthetic.optics import blur, expose, span, uneven_light, wide_blur
from napari_mobilesam.training.synthetic.scene import Field, Shape, compose
from napari_mobilesam.training.synthetic.shapes import (
    blob,
    depth,
    each,
    log_uniform,
    object_radius,
    ramps,
    scatter,
    tessellate,
)


def nuclei(rng: np.random.Generator, shape: Shape) -> Scene:
    """Nuclei with chromatin texture and nucleoli, touching in clumps, over out-of-focus haze."""
    radius = object_radius(rng, shape, 4, 0.25)
    draw = blob(rng.uniform(0.01, 0.08), rng.uniform(1.1, 2.2))
    labels = scatter(
        rng,
        shape,
        draw,
        radius,
        coverage=rng.uniform(0.05, 0.6),
        overlap=rng.choice([0, 0.1, 0.3]),
        clumping=rng.uniform(0, 0.8),
    )
    bright = each(rng, labels, rng.uniform(0.1, 0.7), 1.0)
    dome = np.minimum(depth(labels) / (radius * rng.uniform(0.1, 0.9)), 1)
    texture = 1 + rng.uniform(0, 0.35) * fractal_noise(rng, shape, radius / 2 + 2)
    signal = bright * (0.4 + 0.6 * dome) * np.clip(texture, 0.2, 2)
    return compose(rng, _record(rng, signal, radius, shape), labels)


def cells(rng: np.random.Generator, shape: Shape) -> Scene:
    """Whole cells, apart or in a monolayer, stained in the cytoplasm or along the membrane."""
    radius = object_radius(rng, shape, 8, 0.3)
    if rng.random() < 0.5:
        labels = tessellate(rng, shape, radius, warp=rng.uniform(0, 0.5))
        labels = _with_gaps(rng, labels, rng.uniform(0, 0.4))
    else:
        draw = blob(rng.uniform(0.05, 0.3), 2.5)
        labels = scatter(
            rng, shape, draw, radius, coverage=0.6, overlap=rng.uniform(0, 0.3), clumping=0.5
        )
    inside = depth(labels)
    nucleus = _nuclei_within(rng, labels, inside, radius)
    bright = each(rng, labels, rng.uniform(0.2, 0.8), 1.0, 0.02)
    texture = np.clip(1 + 0.3 * fractal_noise(rng, shape, radius / 3 + 2), 0.2, 2)
    if rng.random() < 0.5:
        rim = np.exp(-inside / rng.uniform(1.0, 0.1 * radius + 1.5))
        signal: Field = (0.12 * texture + rim) * (labels > 0) * bright
    else:
        signal = bright * texture * np.minimum(0.3 + inside / (0.6 * radius), 1)
    style = rng.integers(3)
    if style == 0:
        signal = np.where(nucleus > 0, signal * rng.uniform(0.1, 0.5), signal)
    if style == 1:
        signal = signal + (nucleus > 0) * rng.uniform(0.3, 0.8)
    image = _record(rng, signal.astype(np.float32), radius / 2, shape)
    if rng.random() < 0.4:
        image = _two_colours(rng, image, _record(rng, _dome(nucleus), radius / 3, shape))
    return compose(rng, image, labels, nucleus if style < 2 else None)


def _record(rng: np.random.Generator, signal: Field, radius: float, shape: Shape) -> Field:
    """Image a signal in 0..1 with haze, uneven light, a point spread function and noise."""
    haze = wide_blur(signal, radius * rng.uniform(1, 4)) * rng.uniform(0, 0.6)
    light = uneven_light(rng, shape, rng.uniform(0, 0.4))
    seen = (blur(signal, log_uniform(rng, 0.4, 2.2)) + haze + rng.uniform(0, 0.2)) * light
    image = expose(rng, seen, log_uniform(rng, 15, 3000), rng.uniform(0, 0.04))
    return span(image) ** np.float32(rng.uniform(0.6, 1.3))


def _nuclei_within(
    rng: np.random.Generator, labels: Labels, inside: Field, radius: float
) -> Labels:
    """One nucleus in each cell: what lies deeper than a share of the cell's greatest depth."""
    deepest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(deepest, labels.ravel(), inside.ravel())
    share = rng.uniform(0.35, 0.6)
    wave = 0.1 * radius * fractal_noise(rng, labels.shape, radius / 2 + 2, 2)
    nucleus: Labels = np.where((inside + wave > share * deepest[labels]) & (labels > 0), labels, 0)
    return nucleus


def _with_gaps(rng: np.random.Generator, labels: Labels, share: float) -> Labels:
    gone = rng.random(int(labels.max()) + 1) < share
    gone[0] = True
    remaining: Labels = np.where(gone[labels], 0, labels)
    return remaining


def _dome(labels: Labels) -> Field:
    inside = depth(labels)
    dome: Field = (labels > 0) * (0.5 + 0.5 * np.minimum(inside / 6, 1))
    return dome.astype(np.float32)


def _two_colours(rng: np.random.Generator, image: Field, nucleus: Field) -> Field:
    """Merge two recordings into a colour image, each in a channel of its own."""
    first, second = rng.permutation(3)[:2]
    colour = np.zeros((*image.shape, 3), np.float32)
    colour[..., first] = image
    colour[..., second] = nucleus
    return colour


def vesicles(rng: np.random.Generator, shape: Shape) -> Scene:
    """Vesicles and organoids: bright or dark rims, smaller ones nested inside."""
    radius = object_radius(rng, shape, 10, 0.35)
    labels = scatter(
        rng, shape, blob(0.05, 1.4), radius, coverage=rng.uniform(0.2, 0.6), spread=0.4
    )
    smaller = radius * rng.uniform(0.15, 0.45)
    room = (depth(labels) > 2) & (labels > 0)
    inner = scatter(
        rng, shape, blob(0.05, 1.4), smaller, coverage=0.2, overlap=0.1, spread=0.3, within=room
    )
    rim = rng.uniform(0.8, 0.06 * radius + 1.5)
    fill = rng.uniform(-0.3, 0.5)
    signal: Field = np.zeros(shape, np.float32)
    for part in (labels, inner):
        signal += (part > 0) * (fill * each(rng, part, 0.5, 1) + np.exp(-depth(part) / rim))
    signal *= 1 + 0.2 * ramps(rng, labels)
    if rng.random() < 0.5:
        return compose(rng, _record(rng, span(signal, 0, 1), radius / 2, shape), labels, inner)
    grey = 0.5 - rng.uniform(0.2, 0.45) * signal + 0.05 * fractal_noise(rng, shape, 40)
    image = expose(rng, blur(grey.astype(np.float32), rng.uniform(0.4, 1.5)), 600, 0.02)
    return compose(rng, image, labels, inner)
