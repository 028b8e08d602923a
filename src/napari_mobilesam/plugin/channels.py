"""Channels that lie in layers of their own, looked at together as one coloured image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray
from psygnal import Signal

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.plugin.connections import Connections
from napari_mobilesam.plugin.layers import (
    LayerSource,
    affine_of,
    full_resolution,
    placement_events,
    spatial_shape,
)
from napari_mobilesam.session.planes import PlaneKey, plane_slices

if TYPE_CHECKING:
    from napari_mobilesam.plugin.controller import Controller

MOST = 3
"""Channels that are looked at together, as the networks see red, green and blue."""


class ChannelsSource:
    """Planes of several image layers, as they are now; safe to read from another thread.

    Parameters
    ----------
    images : sequence of napari.layers.Image
        Grey, with the same pixels in the same place.
    channels : tuple of int
        Their numbers, by which a session file names them.
    """

    def __init__(self, images: Sequence[Image], channels: tuple[int, ...]) -> None:
        self._data = [full_resolution(image) for image in images]
        self.channels: tuple[int, ...] | None = channels
        self.limits: Limits = "percentile"
        self.gamma = 1.0

    def plane(self, key: PlaneKey) -> NDArray[np.generic]:
        """Read a plane (H, W, C); lazy data are computed."""
        slices = plane_slices(key)
        return np.stack([np.asarray(data[slices]) for data in self._data], axis=-1)


class Channels:
    """Which other layers of a viewer are looked at together with an image."""

    changed = Signal()

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._chosen: dict[Image, tuple[Image, ...]] = {}
        self._numbers: dict[Image, list[Image]] = {}
        self._of_layers = Connections()

    def offered(self) -> list[Image]:
        """Layers that can be looked at together with the current image."""
        image, layers = self._controller.image, self._controller.viewer.layers
        return [] if image is None else [layer for layer in layers if _lies_with(layer, image)]

    def chosen(self) -> tuple[Image, ...]:
        """Layers that are looked at together with the current image."""
        image = self._controller.image
        return () if image is None else self._chosen.get(image, ())

    def choose(self, others: Sequence[Image]) -> None:
        """Look at these layers together with the current image, as green and blue beside its red.

        Raises
        ------
        ImageError
            If they are too many, or one of them does not have the pixels of the image.
        """
        image, others = self._controller.image, tuple(others)
        if image is None or others == self.chosen():
            return
        offered = self.offered()
        for other in others:
            if other not in offered:
                raise ImageError(
                    f"{other.name} cannot be looked at together with {image.name}",
                    expected=f"a grey image of shape {spatial_shape(image)} in the same place",
                    got=f"shape {tuple(full_resolution(other).shape)}",
                    remedy="Choose other channels.",
                )
        if len(others) >= MOST:
            raise ImageError(
                "these are too many channels",
                expected=f"{MOST} with {image.name}, as red, green and blue",
                got=str(len(others) + 1),
                remedy="Leave some of them out.",
            )
        self._set(image, others)

    def source(self, image: Image) -> LayerSource | ChannelsSource:
        """Planes of an image as they are looked at now."""
        others = self._chosen.get(image, ())
        if not others:
            return LayerSource(image, self._controller.preferences.appearance)
        known = self._numbers.setdefault(image, [image])
        known += [other for other in others if other not in known]
        together = (image, *others)
        return ChannelsSource(together, tuple(known.index(layer) for layer in together))

    def follow(self) -> None:
        """Follow what is done to the current image and the layers beside it."""
        self._of_layers.clear()
        image, others = self._controller.image, self.chosen()
        if image is None or not others:
            return
        self._of_layers.connect(image.events.data, self._drop_strays)
        for layer in (image, *others):
            for moved in placement_events(layer):
                self._of_layers.connect(moved, self._drop_strays)
        for other in others:
            self._of_layers.connect(other.events.data, self._on_data)

    def _drop_strays(self, event: Any = None) -> None:  # noqa: ARG002
        """Go on without layers that do not lie with the current image any more."""
        image, offered = self._controller.image, self.offered()
        if image is not None and any(layer not in offered for layer in self.chosen()):
            self._set(image, tuple(layer for layer in self.chosen() if layer in offered))

    def forget(self, layer: Layer) -> None:
        """Go on without a layer that is gone."""
        if isinstance(layer, Image):
            self._chosen.pop(layer, None)
            self._numbers.pop(layer, None)
        for image, others in list(self._chosen.items()):
            if layer in others:
                self._set(image, tuple(other for other in others if other is not layer))

    def close(self) -> None:
        """Leave every event."""
        self._of_layers.clear()

    def _set(self, image: Image, others: tuple[Image, ...]) -> None:
        self._chosen[image] = others
        self.follow()
        self._controller.read_anew(image)
        self.changed.emit()

    def _on_data(self, event: Any) -> None:  # noqa: ARG002
        image = self._controller.image
        self._drop_strays()
        if image is not None:
            self._controller.read_anew(image)


def _lies_with(layer: Layer, image: Image) -> bool:
    return (
        isinstance(layer, Image)
        and layer is not image
        and not (layer.rgb or image.rgb)
        and spatial_shape(layer) == spatial_shape(image)
        and np.allclose(affine_of(layer), affine_of(image))
    )
