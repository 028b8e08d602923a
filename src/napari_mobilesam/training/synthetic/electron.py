"""Electron microscopy of cells: membranes, mitochondria, vesicles."""

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.synthetic.noise import fractal_noise
from napari_mobilesam.training.synthetic.optics import blur, expose, uneven_light
from napari_mobilesam.training.synthetic.scene import Field, Shape, compose
from napari_mobilesam.training.synthetic.shapes import (
    Draw,
    blob,
    depth,
    each,
    log_uniform,
    object_radius,
    rod,
    scatter,
    stripes,
    tessellate,
)


def membranes(rng: np.random.Generator, shape: Shape) -> Scene:
    """Packed neurites of mixed calibre in dark membranes, with organelles inside."""
    radius = object_radius(rng, shape, 9, 0.25)
    labels = _neurites(rng, shape, radius)
    inside = depth(labels)
    room = inside > rng.uniform(2, 4)
    organelles = scatter(
        rng,
        shape,
        _mitochondrion(rng),
        radius * rng.uniform(0.2, 0.5) + 2,
        coverage=rng.uniform(0, 0.2),
        within=room,
    )
    membrane = np.exp(-((inside / rng.uniform(0.8, 0.06 * radius + 1.5)) ** 2))
    cytoplasm = each(rng, labels, -0.08, 0.08) + 0.06 * fractal_noise(rng, shape, radius / 2 + 2)
    grey = rng.uniform(0.55, 0.75) + cytoplasm - rng.uniform(0.3, 0.5) * membrane
    grey = _draw_organelles(rng, grey.astype(np.float32), organelles)
    grey = _draw_vesicles(rng, grey, room & (organelles == 0))
    return compose(rng, _micrograph(rng, grey), labels, organelles)


def organelles(rng: np.random.Generator, shape: Shape) -> Scene:
    """Mitochondria and dense granules large in the field, over textured cytoplasm."""
    radius = object_radius(rng, shape, 7, 0.2)
    labels = scatter(
        rng,
        shape,
        _mitochondrion(rng),
        radius,
        coverage=rng.uniform(0.08, 0.5),
        spread=rng.uniform(0.1, 0.5),
    )
    cytoplasm = 0.12 * fractal_noise(rng, shape, radius) + 0.06 * fractal_noise(rng, shape, 4)
    walls = tessellate(rng, shape, radius * rng.uniform(2, 5), warp=0.5)
    lines = np.exp(-((depth(walls) / rng.uniform(0.8, 2.5)) ** 2)) * rng.uniform(0, 0.4)
    grey = rng.uniform(0.5, 0.75) + cytoplasm - lines * (labels == 0)
    grey = _draw_organelles(rng, grey.astype(np.float32), labels)
    grey = _draw_vesicles(rng, grey, labels == 0)
    return compose(rng, _micrograph(rng, grey), labels)


def nucleus_section(rng: np.random.Generator, shape: Shape) -> Scene:
    """Cells cut through their nuclei: an envelope, patches of chromatin, a dark nucleolus."""
    radius = object_radius(rng, shape, 20, 0.35)
    cells = _neurites(rng, shape, 1.5 * radius)
    inside = depth(cells)
    nuclei = scatter(
        rng,
        shape,
        blob(rng.uniform(0.02, 0.08), 1.6),
        0.7 * radius,
        coverage=0.4,
        within=inside > 3,
    )
    chromatin = fractal_noise(rng, shape, radius / 4 + 3) > rng.uniform(0, 0.8)
    deep = depth(nuclei)
    envelope = np.exp(-(((deep - 1) / 1.2) ** 2)) * (nuclei > 0)
    membrane = np.exp(-((inside / rng.uniform(1, 2.5)) ** 2))
    grey = 0.62 + 0.07 * fractal_noise(rng, shape, 8) - 0.4 * membrane - 0.35 * envelope
    grey = np.where(nuclei > 0, grey + rng.uniform(-0.15, 0.15) - 0.2 * chromatin, grey)
    room = (inside > 4) & (nuclei == 0)
    small = scatter(rng, shape, _mitochondrion(rng), 0.12 * radius + 3, coverage=0.1, within=room)
    grey = _draw_organelles(rng, grey.astype(np.float32), small)
    small = np.where(small > 0, small + int(nuclei.max()), nuclei).astype(np.int32)
    return compose(rng, _micrograph(rng, grey), cells, small)


def _neurites(rng: np.random.Generator, shape: Shape, radius: float) -> Labels:
    """Voronoi cells of which some are merged with finer ones, as thick and thin neurites mix."""
    coarse = tessellate(rng, shape, radius, warp=rng.uniform(0.2, 0.8), jitter=1.0)
    if radius < 16 or rng.random() < 0.3:
        return coarse
    fine = tessellate(rng, shape, radius * rng.uniform(0.3, 0.5), warp=0.6, jitter=1.0)
    split = rng.random(int(coarse.max()) + 1) < rng.uniform(0.1, 0.5)
    pairs = np.where(split[coarse], coarse * (int(fine.max()) + 1) + fine, coarse)
    numbers: Labels = np.unique(pairs, return_inverse=True)[1].astype(np.int32).reshape(shape) + 1
    return numbers


def _mitochondrion(rng: np.random.Generator) -> Draw:
    return rod((1.0, 3.5), 0.8) if rng.random() < 0.5 else blob(0.08, 2.5)


def _draw_organelles(rng: np.random.Generator, grey: Field, labels: Labels) -> Field:
    """Darken organelles, outline them by a membrane and fill them with cristae."""
    body = labels > 0
    inside = depth(labels)
    period = rng.uniform(4, 9)
    wave = fractal_noise(rng, grey.shape, 12, 2)
    cristae = np.clip(stripes(rng, labels, period) + 0.5 * wave, -1, 1) * rng.uniform(0, 0.15)
    fill = each(rng, labels, -0.05, 0.05) - rng.uniform(0.05, 0.3)
    rim = np.exp(-(((inside - 1) / 1.2) ** 2)) * rng.uniform(0.1, 0.35)
    drawn: Field = np.where(body, grey + fill + cristae - rim, grey).astype(np.float32)
    return drawn


def _draw_vesicles(rng: np.random.Generator, grey: Field, room: NDArray[np.bool_]) -> Field:
    """Add small rings and dots that no one labels."""
    if rng.random() < 0.4:
        return grey
    dots = scatter(
        rng, grey.shape, blob(0.02, 1.1), rng.uniform(1.5, 3.5), coverage=0.03, within=room
    )
    ring = np.exp(-depth(dots)) * (dots > 0)
    return grey - np.float32(rng.uniform(0.1, 0.3)) * ring


def _micrograph(rng: np.random.Generator, grey: Field) -> Field:
    """Blur, grain and uneven staining of a section; sometimes inverted contrast."""
    stain = uneven_light(rng, grey.shape, rng.uniform(0, 0.12))
    image = blur(grey * stain, log_uniform(rng, 0.5, 1.6))
    image = expose(rng, image, log_uniform(rng, 30, 2000), rng.uniform(0, 0.06))
    image = blur(image, rng.uniform(0.3, 0.8))
    return 1 - image if rng.random() < 0.1 else image
