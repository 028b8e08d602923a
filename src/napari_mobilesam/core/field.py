"""Which part of a plane the encoder is shown for the prompts in it.

In a large plane that is seen whole, small objects are lost: the encoder's input has 1024 pixels a
side at most. So prompts there are decoded in a window around them.
"""

from math import isfinite
from typing import Literal

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.geometry import Window

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
    if side >= longest:
        return None
    rows, cols = (
        _span((first + last) / 2, side, length)
        for first, last, length in zip((y0, x0), (y1, x1), plane_shape, strict=True)
    )
    return rows[0], cols[0], rows[1], cols[1]


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
