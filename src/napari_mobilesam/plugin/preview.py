"""Our own Labels layer on the displayed plane, repainted at every decoded prompt."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.plugin.layers import DisplayedPlane, add_quietly, raise_above

COLOURS = (
    "#00000000",
    "#35c4ff",
    "#ffb000",
    "#b980ff",
    "#2ee6a6",
    "#ff7a59",
    "#f2e94e",
    "#ff6fb5",
    "#7fd1ae",
)
"""Of the background, and of the masks in turn; telling apart neighbours, not classes."""

DTYPE = np.uint16
"""Of the painted numbers; napari shows 16 bits as they are, but must convert wider ones."""

PREVIEW = "napari-mobilesam preview"
"""In the metadata of layers of ours that nobody is to write into."""


def is_preview(layer: Layer) -> bool:
    """Whether a layer only shows what is not accepted yet."""
    return PREVIEW in layer.metadata


class Preview:
    """A layer of masks that are not accepted yet.

    It covers the displayed plane alone and follows it, so that a repaint costs no more for a
    stack than for an image.
    """

    def __init__(self, viewer: ViewerModel, name: str) -> None:
        self._viewer = viewer
        self._name = name
        self.layer: Labels | None = None

    def prepare(self, image: Image, plane: DisplayedPlane) -> bool:
        """Add the layer before it is needed, as adding takes longer; tell whether that was done."""
        before = self.layer
        return self._layer_on(image, plane) is not before

    def show(self, masks: Sequence[CroppedMask], image: Image, plane: DisplayedPlane) -> None:
        """Paint masks, the first on top, in place of what was shown."""
        labels = np.zeros(plane.shape, dtype=DTYPE)
        for number in range(len(masks), 0, -1):
            mask = masks[number - 1]
            labels[mask.window][mask.pixels] = number
        self.show_labels(labels, image, plane)

    def show_labels(self, labels: np.ndarray, image: Image, plane: DisplayedPlane) -> None:
        """Paint a label image (H, W) in place of what was shown."""
        if self.layer is None and not labels.any():
            return
        layer = self._layer_on(image, plane)
        layer.data[...] = labels.reshape(layer.data.shape)
        self._repaint(layer)
        if not layer.visible:
            layer.visible = True

    def forget(self, layer: Layer) -> None:
        """Notice that the layer was removed by somebody else."""
        if layer is self.layer:
            self.layer = None

    def describe(self, table: pd.DataFrame) -> None:
        """Show a table with an ``index`` column of labels as the layer's features."""
        if self.layer is not None:
            self.layer.features = table

    def clear(self) -> None:
        """Show nothing."""
        if self.layer is not None and self.layer.data.any():
            self.layer.data[...] = 0
            self._repaint(self.layer)

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.layer is not None:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _repaint(self, layer: Labels) -> None:
        """Show pixels that were written past the layer's history, which nobody wants undone."""
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _layer_on(self, image: Image, plane: DisplayedPlane) -> Labels:
        shape = np.ones(len(plane.index), dtype=int)
        shape[list(plane.axes)] = plane.shape
        affine = plane.to_world.copy()
        affine[:-1, -1] += affine[:-1, :-1] @ plane.index
        layer = self.layer
        if layer is None or layer.data.shape != tuple(shape):
            self.remove()
            layer = self.layer = self._add(tuple(shape), image, affine)
        elif not np.allclose(layer.affine.affine_matrix, affine):
            layer.affine = affine
        raise_above(self._viewer, layer, image)
        return layer

    def _add(self, shape: tuple[int, ...], image: Image, affine: np.ndarray) -> Labels:
        layer = Labels(
            np.zeros(shape, dtype=DTYPE),
            name=self._name,
            affine=affine,
            units=image.units,
            axis_labels=image.axis_labels,
            colormap=CyclicLabelColormap(colors=COLOURS),
            opacity=0.55,
            metadata={PREVIEW: True},
        )
        below = [other for other in self._viewer.layers if isinstance(other, Image | Labels)]
        add_quietly(self._viewer, layer, above=below[-1])
        return layer
