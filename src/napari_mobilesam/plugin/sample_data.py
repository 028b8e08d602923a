"""Micrographs that scikit-image carries in its wheel, so that they open without a network."""

from typing import Any

from skimage import data

LayerData = tuple[Any, dict[str, Any], str]


def cell() -> list[LayerData]:
    """Open one cell in saline: a quantitative phase image, 0.107 µm a pixel.

    Returns
    -------
    list of (image, layer settings, layer type)
        A (660, 550) uint8 image.
    """
    settings = {"name": "cell", "scale": (0.107, 0.107), "units": ("µm", "µm")}
    return [(data.cell(), settings, "image")]


def tissue() -> list[LayerData]:
    """Open colon tissue stained for FHL2 with hematoxylin as counterstain.

    Returns
    -------
    list of (image, layer settings, layer type)
        A (512, 512, 3) uint8 RGB image.
    """
    return [(data.immunohistochemistry(), {"name": "tissue", "rgb": True}, "image")]
