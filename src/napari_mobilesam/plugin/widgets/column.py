"""Widgets below each other, which scroll where the window is too low for them."""

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_mobilesam.plugin.widgets.parts import SPACING

LEAST_HEIGHT = 160
"""In pixels, so that several docks fit below each other."""

BAR_WIDTH = 12
"""Room for the scroll bar, in pixels."""


class Column(QScrollArea):
    """A column of widgets that never asks for more height than there is.

    Parameters
    ----------
    parts : sequence of QWidget
        From top to bottom.
    """

    def __init__(self, parts: Sequence[QWidget]) -> None:
        super().__init__()
        self._inside = QWidget()
        layout = QVBoxLayout(self._inside)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(SPACING)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch(1)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setWidget(self._inside)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Ask for room for everything."""
        return self._inside.sizeHint() + QSize(BAR_WIDTH, 0)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Ask for the full width, and for no more height than a few rows."""
        return QSize(self.sizeHint().width(), LEAST_HEIGHT)
