"""Draw objects and prompts over a picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from skimage.measure import find_contours

from napari_mobilesam.core.colours import colour_of
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.io.objects import split

SCALE = 2
"""Drawn pixels per image pixel."""

_SMOOTH = 2
"""Drawn at this multiple and reduced again, for smooth lines."""

_FILL_OPACITY = 70
_CAPTION_HEIGHT, _GUTTER = 44, 12
_BACKGROUND, _TEXT = (18, 20, 24), (235, 235, 235)
_POSITIVE, _NEGATIVE, _BOX = (46, 204, 64), (255, 65, 54), (255, 220, 0)


def draw_objects(
    rgb: NDArray[np.uint8],
    labels: NDArray[np.int32],
    *,
    points: Sequence[tuple[float, float, int]] = (),
    boxes: Sequence[tuple[float, float, float, float]] = (),
) -> Image.Image:
    """Draw every label's outline in a colour of its own, and the prompts on top.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array
        Picture to draw on.
    labels : (H, W) int32 array
        Label image, 0 = background.
    points : sequence of (y, x, label)
        Points, green with label 1 and red with label 0.
    boxes : sequence of (y0, x0, y1, x1)
        Boxes.

    Returns
    -------
    PIL.Image.Image
        ``SCALE`` times as large as the picture.
    """
    factor = SCALE * _SMOOTH
    height, width = rgb.shape[:2]
    size = (width * factor, height * factor)
    canvas = Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas, "RGBA")
    for number, (_, mask) in enumerate(split(labels.astype(np.int64))):
        colour = colour_of(number)
        for contour in _contours(mask):
            line = [(x * factor, y * factor) for y, x in contour]
            draw.polygon(line, fill=(*colour, _FILL_OPACITY))
            draw.line(line, fill=colour, width=factor, joint="curve")
    for y0, x0, y1, x1 in boxes:
        corners = (x0 * factor, y0 * factor, x1 * factor, y1 * factor)
        draw.rectangle(corners, outline=_BOX, width=factor)
    for y, x, label in points:
        centre = ((x + 0.5) * factor, (y + 0.5) * factor)
        colour = _POSITIVE if label else _NEGATIVE
        draw.circle(centre, 4 * factor, fill=colour, outline="white", width=factor // 2)
    return canvas.resize((width * SCALE, height * SCALE), Image.Resampling.LANCZOS)


def side_by_side(panels: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Put pictures of one height beside each other, each under its caption."""
    width = sum(image.width for _, image in panels) + _GUTTER * (len(panels) + 1)
    height = panels[0][1].height + _CAPTION_HEIGHT + _GUTTER
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=22)
    left = _GUTTER
    for caption, image in panels:
        draw.text((left, _CAPTION_HEIGHT // 2), caption, fill=_TEXT, font=font, anchor="lm")
        sheet.paste(image, (left, _CAPTION_HEIGHT))
        left += image.width + _GUTTER
    return sheet


def _contours(mask: CroppedMask) -> list[NDArray[np.float64]]:
    """Smooth outlines of a mask, (N, 2) of (y, x), with pixel edges at integers."""
    margin = 2
    soft = gaussian_filter(np.pad(mask.pixels, margin).astype(np.float32), sigma=0.7)
    origin = np.array([mask.y0, mask.x0]) - margin + 0.5
    return [contour + origin for contour in find_contours(soft, 0.5)]
