"""A combo box of a viewer's layers of one type, whatever happens to them."""

from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_mobilesam.plugin.connections import Connections
from napari_mobilesam.plugin.preview import is_preview


class LayerCombo(QComboBox):
    """Lists layers of a type, after an entry for none of them.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are listed.
    kind : type
        Class of the layers.
    nothing : str
        Text of the first entry.
    tooltip : str
        What the choice means.
    """

    chosen = Signal(object)
    """The layer that the user chose, or None."""

    def __init__(
        self,
        viewer: ViewerModel,
        kind: type[Layer],
        nothing: str,
        tooltip: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._kind = kind
        self._nothing = nothing
        self._listed: list[Layer | None] = [None]
        self._connections = Connections()
        self.setToolTip(tooltip)
        self.setMinimumContentsLength(10)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            self._connections.connect(event, self._list)
        self.activated.connect(self._on_activated)
        self._list()

    @property
    def layer(self) -> Layer | None:
        """The layer that is shown as chosen."""
        return self._listed[max(self.currentIndex(), 0)]

    def show_layer(self, layer: Layer | None) -> None:
        """Show a layer as chosen, without telling anybody."""
        layers = [each for each in self._viewer.layers if self._is_offered(each)]
        self._listed = [None, *reversed(layers)]
        self.clear()
        self.addItems([self._nothing, *(each.name for each in reversed(layers))])
        self.setCurrentIndex(self._listed.index(layer) if layer in self._listed else 0)

    def close_connections(self) -> None:
        """Leave the viewer's events."""
        self._connections.clear()

    def _is_offered(self, layer: Layer) -> bool:
        return type(layer) is self._kind and not is_preview(layer)

    def _list(self, event: Any = None) -> None:  # noqa: ARG002
        self.show_layer(self.layer)

    def _on_activated(self, index: int) -> None:
        self.chosen.emit(self._listed[index])
