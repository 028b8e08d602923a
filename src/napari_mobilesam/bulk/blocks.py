"""The work on one tile, the same in this process, on threads and on a cluster."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.instances import Candidates
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import EverythingSettings
from napari_mobilesam.core.tiling import Tile

TOLERANCE = 8.0
"""Pixels by which two tiles may differ about where the centre of an object is."""

EMPTY_RANGE = 6
"""Grey levels, of 255, that a tile without objects stays within but for single pixels."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every tile is looked at; small, and the same for all of them.

    Parameters
    ----------
    model : str
        Name or path of a model, for the workers of a cluster to load.
    settings : EverythingSettings
        How objects are found; ``max_objects`` counts for each tile.
    limits : tuple of float
        Intensities that become black and white, shared by all tiles.
    channels : tuple of int, optional
        The image's channels to look at.
    input_size : InputSize, optional
        Side of the encoder's input, or the least and the greatest; the model's own if not given.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    threads : int, optional
        Threads that torch computes with. Sums are rounded differently with another number, so
        give it where results must agree to the last pixel between machines.
    """

    model: str
    settings: EverythingSettings
    limits: tuple[float, float]
    channels: tuple[int, ...] | None = None
    input_size: InputSize | None = None
    device: str = "auto"
    threads: int | None = None


def find_in_tile(
    sam: MobileSAM, pixels: NDArray[np.generic], tile: Tile, recipe: Recipe
) -> Candidates:
    """Find the objects of a tile.

    Parameters
    ----------
    sam : MobileSAM
        The model.
    pixels : (h, w) or (h, w, C) array
        What the tile's window shows.
    tile : Tile
        Where that is.
    recipe : Recipe
        How to look.

    Returns
    -------
    Candidates
        In coordinates of the plane: the objects that the tile answers for, and those that its
        window cuts, for :func:`~.stitch.join` to decide about.
    """
    rgb = to_rgb8(pixels, recipe.limits, recipe.channels)
    if is_empty(rgb):
        return Candidates.none(tile.plane_shape)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    embedding = sam.embed(rgb, limits="dtype")
    found = sam.find_candidates(rgb, embedding, recipe.settings)
    return _in_plane(found, tile, recipe.settings)


def find_on_worker(pixels: NDArray[np.generic], tile: Tile, recipe: Recipe) -> Candidates:
    """Do the same on a cluster, whose processes load the model when they get their first tile."""
    return find_in_tile(
        _model(recipe.model, recipe.input_size, recipe.device), pixels, tile, recipe
    )


def is_empty(rgb: NDArray[np.uint8]) -> bool:
    """Whether an 8-bit plane (H, W, 3) shows nothing that stands out."""
    low, high = np.percentile(rgb[::2, ::2], (0.5, 99.5))
    return bool(high - low <= EMPTY_RANGE)


@lru_cache(maxsize=1)
def _model(name: str, input_size: InputSize | None, device: str) -> MobileSAM:
    """Load a model once a process, as a worker sees one tile after the other."""
    return load_model(name, input_size=input_size, device=device)


def _in_plane(found: Candidates, tile: Tile, settings: EverythingSettings) -> Candidates:
    y0, x0 = tile.window[:2]
    masks = tuple(CroppedMask(m.y0 + y0, m.x0 + x0, m.pixels) for m in found.masks)
    good = (found.scores >= settings.min_score) & (found.stability >= settings.min_stability)
    chosen = [
        i
        for i, mask in enumerate(masks)
        if good[i] and mask.area and (tile.answers_for(mask.box, TOLERANCE) or tile.cuts(mask.box))
    ]
    moved = found.proposals_yxyx + np.array([y0, x0, y0, x0])
    return Candidates(
        masks, found.scores, found.stability, moved, found.confidence, tile.plane_shape
    ).take(chosen)
