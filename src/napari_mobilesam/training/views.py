"""Random views of labelled tiles, drawn on the device that learns from them.

Tiles lie in memory with the labels of their objects. A view turns, zooms and mirrors a tile, or
joins four, and alters how it looks; boxes are taken of the labels afterwards, so that they are
tight whatever was done. On a GPU a batch takes milliseconds, where processes that prepare images
one by one would keep it waiting.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.scene import Labels
from napari_mobilesam.training.appearance import uniform, vary_appearance
from napari_mobilesam.training.settings import ViewSettings

PADDING_GREY = 114 / 255
"""Grey value outside of a tile; what the detector pads its input with."""

Tile = tuple[NDArray[np.uint8], list[Labels]]
"""An RGB image (h, w, 3), and the labels of its objects and of those inside others, (h, w) each."""

_MOST_OBJECTS = 2**15 - 1

_LEAST_AREA, _LEAST_SIDE = 12, 3
"""What is left of an object in a view counts from so many pixels on."""

_SHOWN = 0.75
"""A tile is zoomed to no less than this share of the view's side, where the zoom allows it."""


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Labelled images of one size, smaller ones padded on the right and at the bottom.

    Parameters
    ----------
    images : (N, T, T, 3) uint8 Tensor
        RGB.
    labels : (N, 2, T, T) int16 Tensor
        Objects, and objects inside others; 0 = background.
    shapes : (N, 2) int64 Tensor
        Rows and columns before the padding.
    odds : (N,) float32 Tensor
        How often each is drawn, relative to the others.
    """

    images: Tensor
    labels: Tensor
    shapes: Tensor
    odds: Tensor

    @classmethod
    def stack(cls, tiles: Sequence[Tile], odds: Sequence[float], side: int) -> Self:
        """Put labelled images of at most ``side`` pixels a side together.

        Raises
        ------
        SettingsError
            If there are none, or more objects in one than 16 bits can number.
        """
        numbers = [int(layer.max()) for _, layers in tiles for layer in layers]
        if not numbers or max(numbers) > _MOST_OBJECTS:
            raise SettingsError(
                "these images cannot be learned from",
                expected=f"at least one tile, of at most {_MOST_OBJECTS} objects each",
                got=f"{len(tiles)} tiles of up to {max(numbers, default=0)} objects",
            )
        count = len(tiles)
        images = torch.zeros((count, side, side, 3), dtype=torch.uint8)
        labels = torch.zeros((count, 2, side, side), dtype=torch.int16)
        shapes = torch.tensor([rgb.shape[:2] for rgb, _ in tiles])
        for i, (rgb, layers) in enumerate(tiles):
            rows, columns = rgb.shape[:2]
            images[i, :rows, :columns] = torch.from_numpy(np.ascontiguousarray(rgb))
            labels[i, :, :rows, :columns] = torch.from_numpy(np.stack(layers).astype(np.int16))
        return cls(images, labels, shapes, torch.tensor(odds, dtype=torch.float32))

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Self:
        """Move to a device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """A batch to learn from.

    Parameters
    ----------
    images : (B, 3, S, S) float32 Tensor
        RGB, in 0..1.
    boxes : (M, 4) float32 Tensor
        Centre x, centre y, width and height of every object, as shares of the view.
    view : (M,) int64 Tensor
        Which view each object is in; ascending.
    instances : (B, S, S) int64 Tensor
        Objects numbered in the order of their boxes in each view, from 1; what lies inside of
        another is on top.
    """

    images: Tensor
    boxes: Tensor
    view: Tensor
    instances: Tensor


def draw_views(
    tiles: Tiles, count: int, side: int, settings: ViewSettings, generator: Generator
) -> Views:
    """Draw ``count`` views of ``side`` pixels a side.

    Parameters
    ----------
    tiles : Tiles
        What to show.
    count, side : int
        How many views, and their side in pixels.
    settings : ViewSettings
        How tiles are shown.
    generator : Generator
        On the device of the tiles.
    """
    chosen = torch.multinomial(tiles.odds, 4 * count, replacement=True, generator=generator)
    quadrant, offset, extent = _quadrants(count, side, settings.mosaic, generator)
    index = chosen.view(count, 4)
    maps = _affine_maps(tiles.shapes[index], extent, settings, generator)
    view = torch.arange(count, device=generator.device)[:, None, None]
    own = maps[view, quadrant]
    x, y = (own[..., :2] @ offset[..., None])[..., 0].add(own[..., 2]).unbind(-1)
    place = _Place.of(index[view, quadrant], x, y, tiles)

    images = vary_appearance(place.colours().permute(0, 3, 1, 2), settings.contrast, generator)
    images = torch.where(place.inside[:, None], images, PADDING_GREY)
    boxes, view_of, instances = _objects(place, view * 4 + quadrant, count, side)
    return Views(images.contiguous(memory_format=torch.channels_last), boxes, view_of, instances)


def _quadrants(
    count: int, side: int, mosaic: float, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut some of the views in four.

    Returns
    -------
    quadrant : (B, S, S) int64 Tensor
        0 to 3, row by row; 0 everywhere in a view that is not cut.
    offset : (B, S, S, 2) float Tensor
        (x, y) from the middle of the quadrant.
    extent : (B,) float Tensor
        The longest side of the largest quadrant, in pixels.
    """
    cut = uniform((count, 2), 0.3, 0.7, generator) * side
    whole = uniform((count, 1), 0, 1, generator) >= mosaic
    cut = torch.where(whole, float(side), cut)
    centre = torch.arange(side, device=generator.device) + 0.5
    beyond = centre >= cut[..., None]  # (B, 2, S), of x and of y
    middle = torch.where(beyond, (cut[..., None] + side) / 2, cut[..., None] / 2)
    across, down = (centre - middle).unbind(1)
    offset = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), dim=-1)
    quadrant = beyond[:, 0, None].long() + 2 * beyond[:, 1, :, None].long()
    return quadrant, offset, torch.maximum(cut, side - cut).amax(dim=1)


def _affine_maps(
    shapes: Tensor, extent: Tensor, settings: ViewSettings, generator: Generator
) -> Tensor:
    """Draw maps (B, 4, 2, 3) from the offset (x, y) in a quadrant to pixels of its tile."""
    shape = shapes.shape[:2]

    def drawn(low: float, high: float) -> Tensor:
        return uniform(shape, low, high, generator)

    quarter = (4 * drawn(0, 1)).floor() * (math.pi / 2)
    angle = quarter + torch.where(drawn(0, 1) < 0.4, drawn(-0.8, 0.8), 0.0)
    mirror = torch.where(drawn(0, 1) < 0.5, -1.0, 1.0)
    aspect = torch.where(drawn(0, 1) < 0.3, drawn(-0.25, 0.25).exp(), 1.0)
    size = shapes.flip(-1).float()
    least, most = settings.least_zoom, settings.greatest_zoom
    low = (_SHOWN * extent[:, None] / size.amax(-1)).clamp(least, most).log()
    zoom = (low + (math.log(most) - low) * drawn(0, 1)).exp()

    across, down = mirror * aspect / zoom, 1 / (aspect * zoom)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos * across, -sin * down, sin * across, cos * down], dim=-1)
    reach = torch.minimum(extent[:, None, None] / (2 * zoom[..., None]), size / 2)
    position = torch.stack([drawn(0, 1), drawn(0, 1)], dim=-1)
    shift = torch.stack([drawn(-0.15, 0.15), drawn(-0.15, 0.15)], dim=-1)
    middle = reach + (size - 2 * reach) * position + shift * size
    return torch.cat([turn.unflatten(-1, (2, 2)), middle[..., None]], dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """For every pixel of the views, where it lies in which tile: all (B, S, S)."""

    tiles: Tiles
    tile: Tensor
    x: Tensor
    y: Tensor
    inside: Tensor

    @classmethod
    def of(cls, tile: Tensor, x: Tensor, y: Tensor, tiles: Tiles) -> Self:
        """Take the places x, y, pixel corners at integers; those outside go to the border."""
        rows, columns = tiles.shapes[tile].unbind(-1)
        inside = (x > 0) & (y > 0) & (x < columns) & (y < rows)
        x = torch.minimum((x - 0.5).clamp_min(0), columns - 1.0)
        y = torch.minimum((y - 0.5).clamp_min(0), rows - 1.0)
        return cls(tiles, tile, x, y, inside)

    def colours(self) -> Tensor:
        """Linearly interpolated colours (B, S, S, 3) in 0..1."""
        x, y = self.x.floor(), self.y.floor()
        right, low = (self.x - x)[..., None], (self.y - y)[..., None]
        x, y = x.long(), y.long()
        rows, columns = self.tiles.shapes[self.tile].unbind(-1)
        x_next, y_next = torch.minimum(x + 1, columns - 1), torch.minimum(y + 1, rows - 1)
        top = torch.lerp(self._colours_at(x, y), self._colours_at(x_next, y), right)
        bottom = torch.lerp(self._colours_at(x, y_next), self._colours_at(x_next, y_next), right)
        return torch.lerp(top, bottom, low) / 255

    def _colours_at(self, x: Tensor, y: Tensor) -> Tensor:
        side = self.tiles.images.shape[1]
        flat = self.tiles.images.view(-1, 3)
        return flat[(self.tile * side + y) * side + x].float()

    def labels(self, layer: int) -> Tensor:
        """Label of the nearest pixel (B, S, S), 0 outside."""
        side = self.tiles.labels.shape[-1]
        x, y = self.x.round().long(), self.y.round().long()
        index = ((self.tile * 2 + layer) * side + y) * side + x
        return torch.where(self.inside, self.tiles.labels.view(-1)[index].long(), 0)


def _objects(place: _Place, part: Tensor, count: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, views and numbers of the objects, by their labels; ``part`` tells quadrants apart."""
    device = part.device
    layers = [place.labels(layer) for layer in range(2)]
    most = max(int(labels.max()) for labels in layers) + 1
    keys = [(part * 2 + layer) * most + labels for layer, labels in enumerate(layers)]
    total = count * 4 * 2 * most
    seen = torch.zeros(total, dtype=torch.long, device=device)
    low = torch.full((2, total), side, device=device)
    high = torch.zeros((2, total), dtype=low.dtype, device=device)
    for labels, key in zip(layers, keys, strict=True):
        view, row, column = torch.nonzero(labels, as_tuple=True)
        own = key[view, row, column]
        seen += torch.bincount(own, minlength=total)
        for axis, position in enumerate((column, row)):
            low[axis].scatter_reduce_(0, own, position, "amin")
            high[axis].scatter_reduce_(0, own, position + 1, "amax")
    size = high - low
    kept = torch.nonzero((seen >= _LEAST_AREA) & (size >= _LEAST_SIDE).all(0))[:, 0]
    boxes = torch.cat([(low + high)[:, kept] / 2, size[:, kept].float()]).T / side

    view_of = kept // (8 * most)
    first = torch.searchsorted(view_of, torch.arange(count, device=device))
    number = torch.zeros(total, dtype=torch.long, device=device)
    number[kept] = torch.arange(len(kept), device=device) - first[view_of] + 1
    inner = torch.where(layers[1] > 0, number[keys[1]], 0)
    outer = torch.where(layers[0] > 0, number[keys[0]], 0)
    return boxes, view_of, torch.where(inner > 0, inner, outer)
