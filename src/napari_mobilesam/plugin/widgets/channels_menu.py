"""A button with a menu of the layers that can be looked at together with the image."""

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu, QToolButton

from napari_mobilesam.plugin.channels import Channels

ALONE = "this layer alone"


class ChannelsMenu(QToolButton):
    """Tells which layers are looked at together, and lets others be chosen.

    Hidden where no other layer lies with the image.
    """

    chosen = Signal(list)
    """The layers that the user chose, beside the image."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self._channels = channels
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys go on to the canvas
        self.setToolTip(
            "Other channels to look at together with this one: it is red, they are green and "
            "blue, in the order in which they are chosen, each stretched by itself."
        )

    def refresh(self) -> None:
        """Show what is chosen now."""
        names = [layer.name for layer in self._channels.chosen()]
        self.setText("Channels: " + (", ".join(["this layer", *names]) if names else ALONE))
        self.setVisible(bool(self._channels.offered()))

    def _fill(self) -> None:
        self._menu.clear()
        chosen = self._channels.chosen()
        for layer in self._channels.offered():
            action = self._menu.addAction(layer.name)
            action.setCheckable(True)
            action.setChecked(layer in chosen)
            action.toggled.connect(lambda on, layer=layer: self._on_toggled(layer, on))

    def _on_toggled(self, layer: Image, on: bool) -> None:
        kept = [other for other in self._channels.chosen() if other is not layer]
        self.chosen.emit([*kept, layer] if on else kept)
