"""Colours of labels, the same in pictures, on contact sheets and in files."""

import colorsys

_GOLDEN_ANGLE = 0.618034


def colour_of(number: int) -> tuple[int, int, int]:
    """Bright red, green and blue, 0 to 255; neighbours in number are far apart in hue."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN_ANGLE % 1.0, 0.85, 1.0)
    return int(red * 255), int(green * 255), int(blue * 255)
