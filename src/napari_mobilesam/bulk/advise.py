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

DETECTOR_SIDES = (512, 256)
"""Sides at which the detector sees a window, in pixels; the second for the whole plane alone."""

IMAGE_SIZE_STEP, MAX_IMAGE_SIZE = 32, 2048


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
    image_size : int or None
        The detector's image size for the tile or plane, at which it saw the objects best; None
        for the model's own.
    sentence : str
        The same in words.
    """

    object_size: float
    objects: int
    seen_size: float
    tile: int | None
    input_size: int
    image_size: int | None
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
    looks = [
        (*_look(sam, image, side, seen_at, shown, channels), seen_at / side)
        for side, seen_at in _sides(image.shape)
    ]
    _, sizes, scale = max(looks, key=lambda look: look[0])
    height, width = image.shape[:2]
    input_size = side_for(sam.input_size, (height, width))
    return _advice(sizes, scale, max(height, width), input_size)


def _sides(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    side, longest = SMALLEST_WINDOW, max(shape[:2])
    while side < longest:
        yield side, DETECTOR_SIDES[0]
        side *= 2
    for seen_at in DETECTOR_SIDES:
        yield longest, seen_at


def _look(
    sam: MobileSAM,
    image: Plane,
    side: int,
    seen_at: int,
    limits: tuple[float, float],
    channels: Sequence[int] | None,
) -> tuple[float, NDArray[np.float64]]:
    """Propose boxes in windows of one size: confidence per area, and sides in pixels."""
    settings = sam.default_settings().changed(image_size=seen_at)
    confidence, area, looked = 0.0, 0, 0
    sizes: list[NDArray[np.float64]] = []
    step = max(1, side // DETECTOR_SIDES[0])
    for y, x in _corners(image.shape, side):
        rgb = to_rgb8(np.asarray(image[y : y + side : step, x : x + side : step]), limits, channels)
        area += rgb.shape[0] * rgb.shape[1] * step**2
        if is_empty(rgb):
            continue
        found = sam.propose(rgb, settings)
        boxes = found.boxes_yxyx
        inner = np.array(rgb.shape[:2]) - 1
        whole = (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2:] < inner).all(axis=1)
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


def _advice(sizes: NDArray[np.float64], scale: float, longest: int, input_size: int) -> Advice:
    if not sizes.size:
        sentence = "No object was found; look at the whole plane, or choose other channels."
        return Advice(np.nan, 0, np.nan, None, input_size, None, sentence)
    size = float(np.median(sizes))
    tile, chosen = _tile_and_input(size, longest, input_size)
    side = tile or longest
    seen = size * chosen / side
    step = IMAGE_SIZE_STEP
    image_size = min(max(2 * step, round(side * scale / step) * step), MAX_IMAGE_SIZE)
    how = "the whole plane" if tile is None else f"tiles of {tile} pixels"
    if chosen != input_size:
        how += f" with an input size of {chosen}"
    sentence = (
        f"The objects are about {size:.0f} pixels wide (median of {sizes.size}). Look at {how}, "
        f"which shows them {seen:.0f} pixels wide, with a detector image size of {image_size}."
    )
    return Advice(size, sizes.size, seen, tile, chosen, image_size, sentence)


def _tile_and_input(size: float, longest: int, input_size: int) -> tuple[int | None, int]:
    """Choose the whole plane if the objects are seen in it, else tiles that show them well."""
    for chosen in (input_size, INPUT_SIZES[-1]):
        if size * chosen / longest >= LEAST_SEEN:
            return None, chosen
    step = INPUT_SIZES.step
    return max(2 * step, round(size * input_size / WELL_SEEN / step) * step), input_size
