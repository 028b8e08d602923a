"""Keys that Qt takes for itself before a canvas sees them."""

from collections.abc import Callable
from typing import Any, cast

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]  # its alias
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget


class CanvasKey:
    """A key that acts while the canvas of a widget's window has the focus.

    Qt moves the focus with Tab before a canvas is asked, so napari's own key bindings never see
    it; elsewhere in the window Tab goes on to do that.

    Parameters
    ----------
    key : str
        Name of the key.
    widget : QWidget
        A widget that is docked in a viewer's window.
    act : callable
        What the key does.
    """

    def __init__(self, key: str, widget: QWidget, act: Callable[[], None]) -> None:
        self._key = QKeySequence(key)
        self._widget = widget
        self._act = act
        self._shortcut: QShortcut | None = None
        self._app = cast(Any, QApplication.instance())
        self._app.focusChanged.connect(self._on_focus)
        self._on_focus(None, self._app.focusWidget())

    def close(self) -> None:
        """Leave the key to Qt again."""
        self._app.focusChanged.disconnect(self._on_focus)
        if self._shortcut is not None:
            self._shortcut.setEnabled(False)
            self._shortcut.deleteLater()

    def _on_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        if self._shortcut is None and isinstance(now, QOpenGLWidget):
            window = _main_window(self._widget)
            if window is not None and now.window() is window:
                self._shortcut = QShortcut(self._key, now)
                self._shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
                self._shortcut.activated.connect(self._act)
                self._shortcut.destroyed.connect(self._forget)

    def _forget(self) -> None:
        self._shortcut = None


def _main_window(widget: QWidget) -> QMainWindow | None:
    if isinstance(widget, QMainWindow):
        return widget
    above: QWidget | None = widget.parentWidget()
    return None if above is None else _main_window(above)
