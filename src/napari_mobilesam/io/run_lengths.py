"""COCO's run-length encoding of masks (https://github.com/cocodataset/cocoapi, maskApi).

A mask is read down one column after the other; ``counts`` are the lengths of its runs, of
background and of mask in turn. As text, each count is the difference to the last run of its
kind (from the fourth on), in groups of five bits, lowest first, one printable character each.
"""

from collections.abc import Sequence

import numpy as np

from napari_mobilesam.core.masks import CroppedMask

_FIRST_CHARACTER = 48
_PAYLOAD, _SIGN, _MORE = 0x1F, 0x10, 0x20
_MAX_SHIFT = 60
"""No count of pixels has more bits."""


def counts_of(mask: CroppedMask, plane_shape: tuple[int, int]) -> list[int]:
    """Run-lengths of a mask in its plane; they add up to the plane's pixels."""
    height, width = plane_shape
    columns, rows = np.nonzero(mask.pixels.T)
    pixels = (columns + mask.x0) * height + rows + mask.y0
    starts = pixels[np.diff(pixels, prepend=-2) > 1]
    stops = pixels[np.diff(pixels, append=height * width + 1) > 1] + 1
    edges = np.stack([starts, stops], axis=1).ravel()
    counts: list[int] = np.diff(edges, prepend=0, append=height * width).tolist()
    return counts if counts[-1] else counts[:-1]


def mask_of(counts: Sequence[int], plane_shape: tuple[int, int]) -> CroppedMask:
    """Mask of run-lengths.

    Raises
    ------
    ValueError
        If they are not those of a plane of this shape.
    """
    height, width = plane_shape
    edges = np.cumsum(counts, dtype=np.int64)
    if not edges.size or edges[-1] != height * width or min(counts) < 0:
        raise ValueError(f"run-lengths do not add up to {height} x {width} pixels")
    starts, stops = edges[:-1:2], edges[1::2]
    if not starts.size:
        return CroppedMask(0, 0, np.zeros((0, 0), dtype=bool))
    x0, x1 = int(starts[0]) // height, -(-int(stops[-1]) // height)
    steps = np.zeros((x1 - x0) * height + 1, dtype=np.int8)
    np.add.at(steps, starts - x0 * height, 1)
    np.add.at(steps, stops - x0 * height, -1)
    pixels = np.cumsum(steps[:-1], dtype=np.int8).astype(bool).reshape(x1 - x0, height).T
    return CroppedMask(0, x0, pixels).trim()


def to_text(counts: Sequence[int]) -> str:
    """Compress run-lengths to text."""
    characters: list[str] = []
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            bits = value & _PAYLOAD
            value >>= 5
            more = value != (-1 if bits & _SIGN else 0)
            characters.append(chr(_FIRST_CHARACTER + bits + (_MORE if more else 0)))
    return "".join(characters)


def from_text(text: str) -> list[int]:
    """Expand run-lengths from text.

    Raises
    ------
    ValueError
        If a count is larger than any image.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - _FIRST_CHARACTER
        value |= (bits & _PAYLOAD) << shift
        shift += 5
        if shift > _MAX_SHIFT:
            raise ValueError("a run-length is larger than any image")
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
