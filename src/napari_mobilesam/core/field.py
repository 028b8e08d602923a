"""Which part of a plane the encoder is shown for the prompts in it.

In a large plane that is seen whole, small objects are lost: the encoder's input has 1024 pixels a
side at most. So prompts there are decoded in a window around them. Once a mask tells how large the
object is, it is looked at closer.
"""

from collections.abc import Sequence
from itertools import count
from math import isfinite, sqrt
from typing import Literal

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.geometry import InputFrame, Window
from napari_mobilesam.core.masks import CroppedMask

FieldOfView = int | Literal["auto", "plane"]
"""Side of the window in pixels, "plane" for all of it, or "auto" to choose by the plane's size."""

LARGE_SIDE = 1280
"""With "auto", planes with a longer side are seen in windows."""

AUTO_SIDE = 1024
"""Side of the windows of "auto", in pixels."""

LEAST_SIDE = 64
"""Least side of a window, in pixels."""

STEPS = 4
"""Windows lie on a grid of their side over this, so that prompts near each other share one."""

CLOSER = 7.0
"""A closer look is a window with a side of at least so many times the object's, the root of its
area."""

LEAST_CLOSER = 96
"""Least side of a closer look, in pixels."""

ROOM = 1.5
"""A closer look has at least this many times the side of what it must hold."""

RIVAL = 0.4
"""A candidate is about as likely as another if its predicted IoU is less by no more than this."""

WORTHWHILE = 0.75
"""A closer look has at most this share of the side that was seen before."""


def window_around(
    extent_yxyx: tuple[float, float, float, float],
    plane_shape: tuple[int, int],
    field: FieldOfView = "auto",
) -> Window | None:
    """Choose the window in which prompts are decoded.

    It depends on nothing but what is given, so that a session can be repeated.

    Parameters
    ----------
    extent_yxyx : (y0, x0, y1, x1)
        What the prompts cover, in plane pixels. Of a side longer than half of the window, it
        gets a window twice as large, and so on; the plane, if it is not finite.
    plane_shape : tuple of int
        Height and width of the plane.
    field : int, "auto" or "plane"
        See :data:`FieldOfView`.

    Returns
    -------
    (y0, x0, y1, x1) or None
        None for the whole plane.

    Raises
    ------
    SettingsError
        If there is no such field.
    """
    check_field(field)
    longest = max(plane_shape)
    if (
        not all(map(isfinite, extent_yxyx))
        or field == "plane"
        or (field == "auto" and longest <= LARGE_SIDE)
    ):
        return None
    side = AUTO_SIDE if field == "auto" else field
    y0, x0, y1, x1 = extent_yxyx
    while side < longest and 2 * max(y1 - y0, x1 - x0) > side:
        side *= 2
    return None if side >= longest else _square(extent_yxyx, side, plane_shape)


def closer_look(
    candidates: Sequence[CroppedMask],
    scores: Sequence[float],
    extent_yxyx: tuple[float, float, float, float],
    frame: InputFrame,
) -> Window | None:
    """Choose a window that shows an object larger than it was seen.

    Its side is one of 96, 128, 192, 256, 384 and so on, so that objects of like size near each
    other share one.

    Parameters
    ----------
    candidates : sequence of CroppedMask
        The object as it was seen first, then what it may be as well. The window holds those, too,
        that are about as likely, so that one may still choose them.
    scores : sequence of float
        Predicted IoU of each.
    extent_yxyx : (y0, x0, y1, x1)
        What its prompts cover, in plane pixels; the window holds that, too.
    frame : InputFrame
        What the encoder was shown.

    Returns
    -------
    (y0, x0, y1, x1) or None
        None if there is no object, or it was seen nearly as large already.
    """
    area, seen = candidates[0].area, frame.seen
    if not area or not all(map(isfinite, extent_yxyx)):
        return None
    rivals = zip(candidates, scores, strict=True)
    held = [mask.box for mask, score in rivals if mask.area and score >= scores[0] - RIVAL]
    y0, x0 = (min(sides) for sides in zip(extent_yxyx[:2], *(box[:2] for box in held), strict=True))
    y1, x1 = (max(sides) for sides in zip(extent_yxyx[2:], *(box[2:] for box in held), strict=True))
    wanted = max(CLOSER * sqrt(area), ROOM * (y1 - y0), ROOM * (x1 - x0))
    side = next(side for step in count() for side in _sides(step) if side >= wanted)
    if side > WORTHWHILE * max(seen[2] - seen[0], seen[3] - seen[1]):
        return None
    return _square((y0, x0, y1, x1), side, frame.plane_shape)


def _square(
    extent_yxyx: tuple[float, float, float, float], side: int, plane_shape: tuple[int, int]
) -> Window:
    """Lay a square around an extent on its grid, clipped to the plane."""
    y0, x0, y1, x1 = extent_yxyx
    (top, bottom), (left, right) = (
        _span((first + last) / 2, side, length)
        for first, last, length in zip((y0, x0), (y1, x1), plane_shape, strict=True)
    )
    return top, left, bottom, right


def _sides(step: int) -> tuple[int, int]:
    return LEAST_CLOSER << step, 4 * LEAST_CLOSER // 3 << step


def check_field(field: FieldOfView) -> None:
    """Raise a SettingsError unless it is one."""
    is_side = isinstance(field, int) and not isinstance(field, bool) and field >= LEAST_SIDE
    if not (is_side or field in ("auto", "plane")):
        raise SettingsError(
            "there is no such field around prompts",
            expected=f'"auto", "plane" or a side of at least {LEAST_SIDE} pixels',
            got=repr(field),
        )


def _span(centre: float, side: int, length: int) -> tuple[int, int]:
    step = side // STEPS
    start = round((centre - side / 2) / step) * step
    start = max(0, min(start, length - side))
    return start, min(start + side, length)
