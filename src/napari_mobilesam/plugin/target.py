"""The Labels layer that accepted masks are written into: chosen, or made at the first accept."""

from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.plugin.layers import add_quietly, lies_on, new_labels, spatial_shape
from napari_mobilesam.session.planes import LabelPlace, PlaneKey, Planes, filled, plane_slices


class LayerPlace:
    """A Labels layer, as long as it is in the viewer; every write is one step of its history."""

    def __init__(self, viewer: ViewerModel, layer: Labels) -> None:
        self._viewer = viewer
        self._layer = layer

    @property
    def owner(self) -> object:
        """The layer."""
        return self._layer

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self._layer.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all planes together."""
        return tuple(self._layer.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        dtype: np.dtype[Any] = self._layer.data.dtype
        return dtype

    def read(self, key: PlaneKey) -> NDArray[np.integer[Any]]:
        """Copy a plane (H, W)."""
        return np.array(self._layer.data[plane_slices(key)])

    def write(self, key: PlaneKey, edit: LabelEdit) -> None:
        """Apply an edit of a plane."""
        layer = self._layer
        if edit.is_empty or layer not in self._viewer.layers:
            return
        hidden = plane_slices(key) + (slice(None),) * (layer.ndim - len(key))
        shown = iter(edit.indices)
        index = tuple(
            next(shown) if isinstance(at, slice) else np.full(len(edit.after), at) for at in hidden
        )
        with layer.block_history():
            layer.data_setitem(index, edit.after)


class LayerLabels:
    """A label store on a Labels layer that may change.

    Parameters
    ----------
    viewer : ViewerModel
        Where a new layer is added.
    image : Image
        Layer whose pixels are labelled.
    layer : Labels, optional
        Layer to write into; if not given, one is made at the first write.
    """

    def __init__(self, viewer: ViewerModel, image: Image, layer: Labels | None = None) -> None:
        self._viewer = viewer
        self._image = image
        self._layer: Labels | None = None
        self.layer = layer

    @property
    def layer(self) -> Labels | None:
        """The layer written into, None as long as there is none in the viewer."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
        return self._layer

    @layer.setter
    def layer(self, layer: Labels | None) -> None:
        if layer is not None and not lies_on(layer, self._image):
            raise ImageError(
                f"{layer.name} does not have the pixels of {self._image.name}",
                expected=f"a layer of shape {spatial_shape(self._image)} in the same place",
                got=f"shape {layer.data.shape}",
                remedy="Choose another Labels layer, or let one be made.",
            )
        self._layer = layer

    @property
    def selected_label(self) -> int:
        """Label that the user has selected in the layer; 1 before there is one."""
        return 1 if self.layer is None else int(self.layer.selected_label)

    def read(self, key: PlaneKey) -> NDArray[np.integer[Any]]:
        """Copy a plane (H, W)."""
        if self.layer is not None:
            return LayerPlace(self._viewer, self.layer).read(key)
        hidden = np.broadcast_to(np.int32(0), spatial_shape(self._image))
        return np.array(hidden[plane_slices(key)])

    def write(self, key: PlaneKey, edit: LabelEdit) -> LabelPlace:
        """Apply an edit of a plane, in a new layer if there is none."""
        place = LayerPlace(self._viewer, self.layer or self._add_layer())
        place.write(key, edit)
        return place

    def max_label(self) -> int:
        """Greatest label in use."""
        return 0 if self.layer is None else int(np.max(self.layer.data, initial=0))

    def put_back(self, name: str, dtype: np.dtype[Any], planes: Planes) -> LabelPlace:
        """Write into a new layer that holds these planes, from now on."""
        layer = new_labels(self._image, name, filled(spatial_shape(self._image), dtype, planes))
        add_quietly(self._viewer, layer, above=self._image)
        self._layer = layer
        return LayerPlace(self._viewer, layer)

    def describe(self, features: pd.DataFrame) -> None:
        """Show what is known about labels; other rows and columns of the user's are kept."""
        layer = self.layer
        if layer is None:
            return
        kept = layer.features
        if "index" not in kept:
            kept = pd.DataFrame({"index": pd.Series(dtype=np.int64)})
        others = kept[~kept["index"].isin(features["index"])]
        layer.features = pd.concat([others, features]).sort_values("index", ignore_index=True)

    def _add_layer(self) -> Labels:
        layer = self._layer = new_labels(self._image, f"{self._image.name} labels")
        add_quietly(self._viewer, layer, above=self._image)
        return layer
