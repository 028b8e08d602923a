"""What both widgets share: a controller, for as long as they are docked."""

from collections.abc import Callable, Sequence
from functools import partial

from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mobilesam.plugin.binding import bind, release
from napari_mobilesam.plugin.connections import Connections
from napari_mobilesam.plugin.controller import Controller
from napari_mobilesam.plugin.widgets.column import Column


class Lease:
    """A widget's hold on a controller and its events; ends once."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.controller = bind(viewer)
        self.connections = Connections()
        self.closing: list[Callable[[], None]] = []
        self._is_over = False

    def end(self) -> None:
        """Leave all events and let the controller go."""
        if not self._is_over:
            self._is_over = True
            self.connections.clear()
            for close in self.closing:
                close()
            release(self.controller)


class BoundWidget(QWidget):
    """A widget that lets its controller go when its dock or its window is closed."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.lease = Lease(viewer)
        self._was_docked = False
        self.destroyed.connect(partial(Lease.end, self.lease))

    def stack(self, parts: Sequence[QWidget], status: QWidget) -> None:
        """Lay parts out below each other, and under them, always in sight, what happened last."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Column(parts), 1)
        layout.addWidget(status)
        status.setContentsMargins(8, 0, 8, 8)

    @property
    def controller(self) -> Controller:
        """The controller of the viewer."""
        return self.lease.controller

    def event(self, event: QEvent) -> bool:
        """End the lease when napari takes the widget out of its dock."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.lease.end()
        return super().event(event)
