"""How large the objects of an image are, and how it is best looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.api import INPUT_SIZES, MobileSAM, load_model
from napari_mobilesam.bulk.blocks import is_empty
from napari_mobilesam.bulk.plane import Plane, check_plane, plane_limits
from napari_mobilesam.core.geometry import side_for
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.io.images import open_image

LEAST_SEEN, WELL_SEEN = 20, 40
"""Sides of objects at the encoder's input, in pixels: below the first they are missed."""

SMALLEST_WINDOW = 256
"""Side of the smallest window that objects are measured in, in pixels; others double it."""

WINDOWS, PLACES = 3, 4
"""Windows of each size that are looked at; they are taken from a grid of places in each axis."""

FINEST = 1024
"""Pixels along a side of a window that are read; of larger ones only every n-th."""


@dataclass(frozen=True, slots=True)
class Advice:
    """How an image is best looked at.

    Parameters
    ----------
    object_size : float
        Median side of the objects, the root of their boxes' area, in pixels; NaN if there are
        none.
    objects : int
        How many were measured.
    seen_size : float
        The same at the encoder's input, in its pixels, if the advice is followed.
    tile : int or None
        Side of the tiles to look at, in pixels; None for the whole plane at once.
    input_size : int
        Side of the encoder's input, in pixels.
    sentence : str
        The same in words.
    """

    object_size: float
    objects: int
    seen_size: float
    tile: int | None
    input_size: int
    sentence: str


def advise(
    image: Plane | str | PathLike[str],
    sam: MobileSAM | None = None,
    *,
    plane: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    limits: Limits = "percentile",
) -> Advice:
    """Measure the objects of an image, and propose tile and input size.

    The detector looks at a few windows of every size from 256 pixels to the whole plane, spread
    over it. The size at which it sees most, by the sum of its confidence for an area, is taken.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, or path-like
        As for :func:`~.plane.segment_large`.
    sam : MobileSAM, optional
        The model; the bundled one if not given.
    plane, channels, limits
        As for :func:`~.plane.segment_large`.

    Returns
    -------
    Advice
        Where nothing is found, to look at the whole plane.

    Raises
    ------
    ImageError
        If the array is no plane.
    FileFormatError
        If the image at a path cannot be read.
    SettingsError
        If limits or channels do not fit.
    """
    if isinstance(image, str | PathLike):
        image = open_image(image, plane=plane, channels=channels).pixels
        channels = None if channels is None else range(len(channels))
    check_plane(image)
    sam = sam or load_model()
    shown = plane_limits(image, limits)
    sizes = max(
        (_look(sam, image, side, shown, channels) for side in _sides(image.shape)),
        key=lambda found: found[0],
    )[1]
    height, width = image.shape[:2]
    return _advice(sizes, max(height, width), side_for(sam.input_size, (height, width)))


def _sides(shape: tuple[int, ...]) -> Iterator[int]:
    side, longest = SMALLEST_WINDOW, max(shape[:2])
    while side < longest:
        yield side
        side *= 2
    yield longest


def _look(
    sam: MobileSAM,
    image: Plane,
    side: int,
    limits: tuple[float, float],
    channels: Sequence[int] | None,
) -> tuple[float, NDArray[np.float64]]:
    """Propose boxes in windows of one size: confidence per area, and sides in pixels."""
    settings = sam.default_settings()
    confidence, area, looked = 0.0, 0, 0
    sizes: list[NDArray[np.float64]] = []
    step = max(1, side // FINEST)
    for y, x in _corners(image.shape, side):
        rgb = to_rgb8(np.asarray(image[y : y + side : step, x : x + side : step]), limits, channels)
        area += rgb.shape[0] * rgb.shape[1] * step**2
        if is_empty(rgb):
            continue
        found = sam.propose(rgb, settings)
        boxes = found.boxes_yxyx
        whole = (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2:] < np.array(rgb.shape[:2]) - 1).all(
            axis=1
        )
        confidence += float(found.confidence[whole].sum())
        sizes.append(np.sqrt(np.prod(boxes[whole, 2:] - boxes[whole, :2], axis=1)) * step)
        looked += 1
        if looked == WINDOWS:
            break
    return confidence / area, np.concatenate([np.zeros(0), *sizes])


def _corners(shape: tuple[int, ...], side: int) -> Iterator[tuple[int, int]]:
    """Corners of windows, first those that are far from each other."""
    rows, columns = (
        np.unique(np.linspace(0, max(0, length - side), PLACES).astype(int)) for length in shape[:2]
    )
    places = [(int(y), int(x)) for y in rows for x in columns]
    order = np.random.default_rng(0).permutation(len(places))
    return (places[number] for number in order)


def _advice(sizes: NDArray[np.float64], longest: int, input_size: int) -> Advice:
    if not sizes.size:
        sentence = "No object was found; look at the whole plane, or choose other channels."
        return Advice(np.nan, 0, np.nan, None, input_size, sentence)
    size = float(np.median(sizes))
    measured = f"The objects are about {size:.0f} pixels wide (median of {sizes.size})"
    for chosen in (input_size, INPUT_SIZES[-1]):
        seen = size * chosen / longest
        if seen >= LEAST_SEEN:
            how = "look at the whole plane" + (
                "" if chosen == input_size else f" with an input size of {chosen}"
            )
            sentence = f"{measured}; {how}, which shows them {seen:.0f} pixels wide."
            return Advice(size, sizes.size, seen, None, chosen, sentence)
    step = INPUT_SIZES.step
    tile = max(2 * step, round(size * input_size / WELL_SEEN / step) * step)
    seen = size * input_size / tile
    sentence = (
        f"{measured}; the whole plane would show them {size * input_size / longest:.0f} pixels "
        f"wide. Look at tiles of {tile} pixels, which show them {seen:.0f} pixels wide."
    )
    return Advice(size, sizes.size, seen, tile, input_size, sentence)
