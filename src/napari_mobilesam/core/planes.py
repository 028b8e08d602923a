"""From any scientific image to the 8-bit RGB plane that the networks were trained on."""

from collections.abc import Sequence
from operator import index

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.errors import ImageError, SettingsError
from napari_mobilesam.core.geometry import Window
from napari_mobilesam.core.settings import Limits

PERCENTILES = (0.1, 99.9)
"""Intensity percentiles that limits="percentile" maps to black and white."""

_MAX_SAMPLES = 4_000_000

_HUGE = 1e38
"""Limits beyond this do not fit single precision, or their difference does not."""


def to_rgb8(
    image: ArrayLike,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    window: Window | None = None,
) -> NDArray[np.uint8]:
    """Turn a plane of any real type into 8-bit RGB.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Grey, RGB, RGBA (alpha is ignored) or up to five channels, or any number of which
        ``channels`` chooses; bool, integer or float. NaN and minus infinity become black, plus
        infinity white.
    limits : "percentile", "dtype" or (low, high)
        Intensities that become black and white: percentiles 0.1 and 99.9 of the finite values,
        over all channels of a colour image and channel by channel otherwise; the range of the
        type (floats: 0 to 1), which leaves 8-bit images unchanged; or two values of your own.
    channels : sequence of int, optional
        One to three channels to show, as grey, red and green, or red, green and blue. Needed
        where an image has two or five channels.
    window : (y0, x0, y1, x1), optional
        The part of the plane that is wanted; percentiles are those of the whole plane.

    Returns
    -------
    (H, W, 3) uint8 array
        Of the window, if one is given.

    Raises
    ------
    ImageError
        If the array is no plane, is empty, or holds no real numbers.
    SettingsError
        If limits or channels do not fit.
    """
    plane = select_channels(image, channels)
    if channels is not None and isinstance(limits, str) and limits == "percentile":
        grey = [_stretch(plane[..., c], limits, window) for c in range(plane.shape[-1])]
        scaled = np.stack(grey, axis=-1)
    else:
        scaled = _stretch(plane, limits, window)
    return _as_three_channels(scaled)


def select_channels(image: ArrayLike, channels: Sequence[int] | None = None) -> NDArray[np.generic]:
    """Check that an array is a plane and return its one to three channels, shape (H, W, C)."""
    plane = _as_array(image)
    _check_plane(plane, are_chosen=channels is not None)
    if plane.ndim == 2:
        plane = plane[..., np.newaxis]
    count = plane.shape[-1]
    if channels is None:
        if count in (2, 5):
            raise ImageError(
                f"an image with {count} channels has no agreed colours",
                expected="grey, RGB or RGBA, or a choice of channels",
                got="no choice",
                remedy="Choose one to three of them, for example channels=(0, 1).",
            )
        return plane[..., :3]
    return plane[..., check_channels(channels, count)]


def intensity_limits(plane: NDArray[np.generic], limits: Limits) -> tuple[float, float]:
    """Intensities that become black and white.

    Raises
    ------
    SettingsError
        If ``limits`` is neither a known name nor two finite, increasing values.
    """
    if isinstance(limits, str):
        if limits == "percentile":
            return _percentile_limits(plane)
        if limits == "dtype":
            return _dtype_limits(plane.dtype)
    try:
        low, high = (float(value) for value in limits)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise SettingsError(
            "these intensity limits cannot be used",
            expected='"percentile", "dtype" or (low, high) with low < high',
            got=repr(limits),
        )
    return low, high


def _as_array(image: ArrayLike) -> NDArray[np.generic]:
    try:
        return np.asarray(image)
    except ValueError as error:
        raise ImageError(
            "this is no array",
            expected="(H, W) or (H, W, C)",
            got="rows of different lengths",
            remedy="Give every row the same number of pixels.",
        ) from error


def _check_plane(plane: NDArray[np.generic], *, are_chosen: bool) -> None:
    shape = f"shape {plane.shape}"
    if plane.ndim not in (2, 3) or (plane.ndim == 3 and plane.shape[-1] > 5 and not are_chosen):
        raise ImageError(
            "this array is no plane",
            expected="(H, W) or (H, W, C) with up to 5 channels last",
            got=shape,
            remedy="Take one plane of a stack (image[0]) or move the channels to the last axis.",
        )
    if plane.size == 0:
        raise ImageError(
            "the image is empty",
            expected="at least one pixel",
            got=shape,
            remedy="Look where it was read or cropped.",
        )
    if plane.dtype.kind not in "biuf":
        raise ImageError(
            "this array holds no intensities",
            expected="bool, integer or float values",
            got=f"dtype {plane.dtype}",
            remedy="Convert it first, for example with image.astype(float) or np.abs(image).",
        )


def check_channels(channels: Sequence[int], count: int) -> list[int]:
    """Return one to three channel numbers from 0, of an image that has ``count``.

    Raises
    ------
    SettingsError
        If these are none.
    """
    try:
        chosen = [index(channel) for channel in channels]
    except TypeError:
        chosen = []
    if not 1 <= len(chosen) <= 3 or not all(-count <= channel < count for channel in chosen):
        raise SettingsError(
            "these channels cannot be shown",
            expected=f"one to three channel numbers from 0 to {count - 1}",
            got=repr(channels),
        )
    return [channel % count for channel in chosen]


def _dtype_limits(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    if dtype.kind not in "iu":
        return 0.0, 1.0
    span = np.iinfo(str(dtype))
    return float(span.min), float(span.max)


def _percentile_limits(plane: NDArray[np.generic]) -> tuple[float, float]:
    values = plane.reshape(-1)
    values = values[:: max(1, values.size // _MAX_SAMPLES)]
    if np.issubdtype(values.dtype, np.floating):
        values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = _percentiles(values)
    if low == high:
        low, high = float(values.min()), float(values.max())
    low, high = float(low), float(high)
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def _percentiles(values: NDArray[np.generic]) -> tuple[float, float]:
    """Percentiles of values (N,); few different ones are counted, which is faster than sorting."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        quarters = values.astype(np.float64) / 4  # the difference of any two is finite
        low, high = np.percentile(quarters, PERCENTILES) * 4
        return float(low), float(high)
    ranks = np.array(PERCENTILES) / 100 * (values.size - 1)
    counted = np.cumsum(np.bincount(values))
    below, above = (np.searchsorted(counted, at(ranks), side="right") for at in (np.floor, np.ceil))
    low, high = below + (above - below) * (ranks - np.floor(ranks))
    return float(low), float(high)


def _stretch(
    plane: NDArray[np.generic], limits: Limits, window: Window | None
) -> NDArray[np.uint8]:
    low, high = intensity_limits(plane, limits)
    if window is not None:
        y0, x0, y1, x1 = window
        plane = plane[y0:y1, x0:x1]
    if plane.dtype == np.uint8 and (low, high) == (0, 255):
        return plane.astype(np.uint8)
    # 32 and 64 bits need doubles: a small contrast may sit on a large offset.
    is_huge = max(abs(low), abs(high)) > _HUGE
    grey = plane.astype(np.result_type(plane.dtype, np.float64 if is_huge else np.float32))
    if is_huge:
        grey, low, high = grey / 2, low / 2, high / 2
    # What lies far outside of the limits is clipped; these may be one number in single precision.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        grey -= low
        grey /= high - low
    grey[np.isnan(grey)] = 0.0
    return np.rint(grey.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def _as_three_channels(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count = plane.shape[-1]
    if count == 1:
        return np.repeat(plane, 3, axis=-1)
    if count == 2:
        return np.concatenate([plane, np.zeros_like(plane[..., :1])], axis=-1)
    return np.ascontiguousarray(plane)
