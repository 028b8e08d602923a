"""Outlines of objects, and how they are laid out in a scene.

An outline is an (n, 2) array of (row, column) around the origin.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_mobilesam.core.scene import Labels
from napari_mobilesam.training.synthetic.noise import smooth_noise
from napari_mobilesam.training.synthetic.scene import Field, Shape

Outline = NDArray[np.float64]
Draw = Callable[[np.random.Generator, float], Outline]
"""Makes an outline of about the given radius in pixels."""

_MOST_MISSES = 60
"""Attempts in a row without room for an object, after which a scene is full."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between two positive ones, as likely in each octave."""
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))


def object_radius(
    rng: np.random.Generator, shape: Shape, least: float = 4.0, most: float = 0.3
) -> float:
    """Typical radius of a scene's objects: from ``least`` pixels to a share of the image."""
    return log_uniform(rng, least, most * min(shape))


def turned(rng: np.random.Generator, outline: Outline) -> Outline:
    """Rotate an outline by a random angle."""
    angle = rng.uniform(0, 2 * np.pi)
    sine, cosine = np.sin(angle), np.cos(angle)
    rotated: Outline = outline @ np.array([[cosine, -sine], [sine, cosine]])
    return rotated


def blob(roughness: float = 0.12, elongation: float = 1.6, harmonics: int = 5) -> Draw:
    """Round to elongated shapes; higher harmonics of the radius make them irregular."""

    def draw(rng: np.random.Generator, radius: float) -> Outline:
        theta = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        order = np.arange(2, harmonics + 2)[:, None]
        size = rng.normal(0, roughness, order.shape) / np.sqrt(order)
        phase = rng.uniform(0, 2 * np.pi, order.shape)
        r = radius * np.clip(1 + (size * np.cos(order * theta + phase)).sum(0), 0.35, 1.8)
        stretch = np.sqrt(rng.uniform(1, elongation))
        return turned(rng, np.stack([r * np.sin(theta) / stretch, r * np.cos(theta) * stretch], -1))

    return draw


def polygon(least: int = 3, most: int = 8, irregular: float = 0.35) -> Draw:
    """Polygons of straight edges, convex or nearly so."""

    def draw(rng: np.random.Generator, radius: float) -> Outline:
        corners = int(rng.integers(least, most + 1))
        step = 2 * np.pi / corners
        theta = step * (np.arange(corners) + rng.uniform(-irregular, irregular, corners))
        r = radius * rng.uniform(1 - irregular, 1 + irregular / 2, corners)
        stretch = np.sqrt(rng.uniform(1, 2))
        return turned(rng, np.stack([r * np.sin(theta) / stretch, r * np.cos(theta) * stretch], -1))

    return draw


def rod(aspect: tuple[float, float] = (2.0, 6.0), bend: float = 0.6) -> Draw:
    """Rods with round ends, bent by up to ``bend`` radians; the radius is half the width."""

    def draw(rng: np.random.Generator, radius: float) -> Outline:
        length = 2 * radius * rng.uniform(*aspect)
        turn = rng.uniform(-bend, bend) * np.linspace(-1, 1, 24)
        return ribbon(rng, turn, length, radius)

    return draw


def filament(aspect: tuple[float, float] = (10.0, 40.0), wander: float = 1.2) -> Draw:
    """Long threads whose direction wanders; the radius is half the width."""

    def draw(rng: np.random.Generator, radius: float) -> Outline:
        length = 2 * radius * rng.uniform(*aspect)
        knots = np.cumsum(rng.normal(0, wander / np.sqrt(6), 7))
        turn = ndimage.zoom(knots, 64 / 7, order=3)
        return ribbon(rng, turn, length, radius)

    return draw


def ribbon(
    rng: np.random.Generator, direction: NDArray[np.float64], length: float, radius: float
) -> Outline:
    """Outline at distance ``radius`` around a spine of the given directions, in radians."""
    step = length / len(direction)
    unit = np.stack([np.sin(direction), np.cos(direction)], -1)
    spine = np.cumsum(unit * step, axis=0)
    spine -= spine.mean(0)
    side = radius * np.stack([unit[:, 1], -unit[:, 0]], -1)
    cap = np.linspace(0, np.pi, 8)[1:-1, None]
    end = spine[-1] + np.cos(cap) * side[-1] + np.sin(cap) * unit[-1] * radius
    start = spine[0] - np.cos(cap) * side[0] - np.sin(cap) * unit[0] * radius
    return turned(rng, np.concatenate([spine + side, end, (spine - side)[::-1], start]))


def scatter(
    rng: np.random.Generator,
    shape: Shape,
    draw: Draw,
    radius: float,
    *,
    coverage: float,
    spread: float = 0.25,
    overlap: float = 0.0,
    clumping: float = 0.0,
    within: NDArray[np.bool_] | None = None,
    limit: int = 160,
) -> Labels:
    """Lay objects out at random, cut by the border, until they cover the image as asked.

    Parameters
    ----------
    draw : callable
        Outline of one object for a radius.
    radius : float
        Typical radius in pixels; single ones vary log-normally by ``spread``.
    coverage : float
        Share of the image to cover, 0..1; less is reached where there is no room.
    overlap : float
        Greatest share of an object that may fall on others; which one is on top is random.
    clumping : float
        Probability that an object seeks the side of another one.
    within : (H, W) bool array, optional
        Objects keep to these pixels.
    limit : int
        Most objects.
    """
    labels = np.zeros(shape, np.int32)
    if within is not None:
        labels[~within] = -1
    centres: list[tuple[float, float, float]] = []
    covered, wanted, misses = 0, coverage * labels.size, 0
    while covered < wanted and len(centres) < limit and misses < _MOST_MISSES:
        misses += 1
        size = radius * float(np.exp(rng.normal(0, spread)))
        centre = _centre(rng, shape, size, centres, clumping)
        if _is_refused(labels, centre, size, overlap):
            continue
        corner, mask = rasterise(draw(rng, size) + centre, shape)
        rows, cols = (slice(c, c + n) for c, n in zip(corner, mask.shape, strict=True))
        window = labels[rows, cols]
        under = window[mask]
        if not under.size or under.min() < 0 or (under > 0).mean() > overlap:
            continue
        on_top = rng.random() < 0.5
        window[mask if on_top else mask & (window == 0)] = len(centres) + 1
        centres.append((*centre, size))
        covered += int(np.count_nonzero(under == 0))
        misses = 0
    return np.maximum(labels, 0)


def _centre(
    rng: np.random.Generator,
    shape: Shape,
    radius: float,
    centres: list[tuple[float, float, float]],
    clumping: float,
) -> tuple[float, float]:
    if centres and rng.random() < clumping:
        y, x, other = centres[int(rng.integers(len(centres)))]
        angle, reach = rng.uniform(0, 2 * np.pi), 0.97 * (radius + other)
        return y + reach * np.sin(angle), x + reach * np.cos(angle)
    beyond = 0.5 * radius
    return (
        float(rng.uniform(-beyond, shape[0] + beyond)),
        float(rng.uniform(-beyond, shape[1] + beyond)),
    )


def _is_refused(labels: Labels, centre: tuple[float, float], radius: float, overlap: float) -> bool:
    """Whether a few pixels already rule an object out, before it is drawn."""
    reach = int(0.6 * radius)
    height, width = labels.shape
    y, x = (min(max(int(c), 0), side - 1) for c, side in zip(centre, labels.shape, strict=True))
    top, bottom, left, right = y - reach, y + reach, x - reach, x + reach
    probes = [labels[y, x]]
    if overlap < 0.2:
        probes += [labels[max(top, 0), x], labels[min(bottom, height - 1), x]]
        probes += [labels[y, max(left, 0)], labels[y, min(right, width - 1)]]
    return min(probes) < 0 or (overlap < 0.2 and max(probes) > 0)


def rasterise(outline: Outline, shape: Shape) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Fill an outline; returns the corner and the mask of the window that holds it."""
    low = np.clip(np.floor(outline.min(0)).astype(int), 0, shape)
    high = np.clip(np.ceil(outline.max(0)).astype(int) + 1, low, shape)
    height, width = (high - low).tolist()
    if not height or not width:
        return (0, 0), np.zeros((0, 0), bool)
    canvas = Image.new("L", (width, height))
    xy = (outline - low)[:, ::-1]
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in xy.tolist()], fill=1)
    return (int(low[0]), int(low[1])), np.asarray(canvas, dtype=bool)


def tessellate(
    rng: np.random.Generator, shape: Shape, radius: float, *, warp: float = 0.3, jitter: float = 0.9
) -> Labels:
    """Fill the plane with cells: Voronoi regions of jittered seeds, with wavy borders.

    Parameters
    ----------
    radius : float
        Half the distance between seeds, in pixels.
    warp : float
        Strength of the waves, in radii.
    jitter : float
        How far seeds leave a regular grid: 0 is a grid, 1 is near to random.
    """
    pitch = 2 * radius
    rows, cols = (int(np.ceil(side / pitch)) + 2 for side in shape)
    grid = np.stack(np.meshgrid(np.arange(rows) - 0.5, np.arange(cols) - 0.5, indexing="ij"), -1)
    grid[1::2, :, 1] += 0.5
    seeds = (grid + rng.uniform(-jitter, jitter, grid.shape) / 2).reshape(-1, 2) * pitch
    margin = int(radius * max(1, 3 * warp))
    canvas = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.int32)
    y, x = np.clip(np.rint(seeds).astype(int) + margin, 0, np.array(canvas.shape) - 1).T
    canvas[y, x] = np.arange(1, len(seeds) + 1)
    nearest = ndimage.distance_transform_edt(
        canvas == 0, return_distances=False, return_indices=True
    )
    cells = canvas[nearest[0], nearest[1]]
    return _warped(rng, cells, shape, margin, warp * radius, radius)


def _warped(
    rng: np.random.Generator, cells: Labels, shape: Shape, margin: int, reach: float, scale: float
) -> Labels:
    index = []
    for axis, grid in enumerate(np.ogrid[: shape[0], : shape[1]]):
        shift = reach * smooth_noise(rng, shape, scale)
        last = cells.shape[axis] - 1
        index.append(np.clip(np.rint(grid + shift + margin), 0, last).astype(np.intp))
    warped: Labels = cells[index[0], index[1]]
    return warped


def borders(labels: Labels) -> NDArray[np.bool_]:
    """Pixels with a neighbour of another label to the right or below, or to the left or above."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        a, b = [slice(None)] * 2, [slice(None)] * 2
        a[axis], b[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(a)] != labels[tuple(b)]
        edge[tuple(a)] |= differs
        edge[tuple(b)] |= differs
    return edge


def depth(labels: Labels) -> Field:
    """Distance of every pixel to the nearest border between labels, in pixels."""
    edge = borders(labels)
    if not edge.any():
        return np.full(labels.shape, max(labels.shape), np.float32)
    distance: Field = ndimage.distance_transform_edt(~edge).astype(np.float32)
    return distance


def each(
    rng: np.random.Generator, labels: Labels, low: float, high: float, background: float = 0.0
) -> Field:
    """One uniform random value an object, spread over its pixels."""
    values = rng.uniform(low, high, int(labels.max()) + 1).astype(np.float32)
    values[0] = background
    return values[labels]


def local_positions(labels: Labels) -> tuple[Field, Field, Field]:
    """Row and column relative to the object's centre, and the object's equivalent radius."""
    flat = labels.ravel()
    area = np.maximum(np.bincount(flat), 1)
    y, x = np.indices(labels.shape, dtype=np.float32)
    centre_y = (np.bincount(flat, y.ravel()) / area).astype(np.float32)
    centre_x = (np.bincount(flat, x.ravel()) / area).astype(np.float32)
    radius = np.sqrt(area / np.pi).astype(np.float32)
    return y - centre_y[labels], x - centre_x[labels], radius[labels]


def ramps(rng: np.random.Generator, labels: Labels) -> Field:
    """Make a linear ramp across every object, in a direction of its own; about -1..1."""
    y, x, radius = local_positions(labels)
    angle = each(rng, labels, 0, 2 * np.pi)
    ramp: Field = (y * np.sin(angle) + x * np.cos(angle)) / radius
    return ramp


def stripes(rng: np.random.Generator, labels: Labels, period: float) -> Field:
    """Parallel stripes in every object, in a direction of its own; -1..1."""
    y, x, _ = local_positions(labels)
    angle = each(rng, labels, 0, np.pi)
    wave: Field = np.sin((y * np.sin(angle) + x * np.cos(angle)) * (2 * np.pi / period))
    return wave
