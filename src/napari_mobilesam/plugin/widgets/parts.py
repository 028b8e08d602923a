"""Small pieces that both widgets are built of."""

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QToolButton,
    QWidget,
)

from napari_mobilesam.plugin.keys import KEYS

SPACING = 6
PRIMARY = (
    "QPushButton { background: #1f8f6b; color: white; font-weight: 600; padding: 6px; }"
    "QPushButton:hover { background: #27a97f; }"
    "QPushButton:disabled { background: #3c4148; color: #8a8f98; }"
)
HEADING = "font-size: 10px; font-weight: 600; letter-spacing: 1px; color: #9aa4b2;"


def heading(text: str) -> QLabel:
    """Make the name of a group of controls."""
    label = QLabel(text.upper())
    label.setStyleSheet(HEADING)
    return label


def row(*parts: QWidget | str) -> QWidget:
    """Put widgets side by side; texts become labels."""
    line = QWidget()
    layout = QHBoxLayout(line)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    for part in parts:
        layout.addWidget(QLabel(part) if isinstance(part, str) else part)
    return line


def button(text: str, tooltip: str, *, primary: bool = False) -> QPushButton:
    """Make a push button; a primary one stands out as what comes next."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys go on to the canvas
    if primary:
        made.setStyleSheet(PRIMARY)
    return made


class Choice(QWidget):
    """Buttons side by side of which one is down.

    Parameters
    ----------
    options : dict of str to (str, str)
        Value, text and tooltip of each button.
    """

    chosen = Signal(str)

    def __init__(self, options: dict[str, tuple[str, str]]) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        group = QButtonGroup(self)
        self._buttons = {}
        for value, (text, tooltip) in options.items():
            made = self._buttons[value] = button(text, tooltip)
            made.setCheckable(True)
            made.clicked.connect(lambda _checked, value=value: self.chosen.emit(value))
            group.addButton(made)
            layout.addWidget(made)

    def show_value(self, value: str) -> None:
        """Press a button down, without telling anybody."""
        self._buttons[value].setChecked(True)

    def show_texts(self, texts: Sequence[str]) -> None:
        """Name the first buttons, and switch the others off; hiding them would move the rest."""
        for number, made in enumerate(self._buttons.values()):
            made.setEnabled(number < len(texts))
            made.setText(texts[number] if number < len(texts) else "-")


class Progress(QWidget):
    """A bar with a button to cancel; hidden while nothing runs."""

    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._bar = QProgressBar()
        self._bar.setTextVisible(True)
        self._bar.setMaximumHeight(16)
        cancel = button("Cancel", "Stop what is running.")
        cancel.clicked.connect(lambda: self.cancelled.emit())
        layout.addWidget(self._bar, 1)
        layout.addWidget(cancel)
        self.hide()

    def advance(self, done: int, total: int) -> None:
        """Show how far it is; a total of 0 means that nobody knows."""
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self.show()


class Status(QLabel):
    """What happened last; mishaps in another colour.

    Parameters
    ----------
    invitation : str
        What to begin with once there is an image.
    """

    def __init__(self, invitation: str) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._greetings = ("Open an image to begin.", invitation)
        self.say(self._greetings[False])

    def greet(self, has_image: bool) -> None:
        """Say what to begin with, as long as nothing has happened or once there is no image."""
        if not has_image or self.text() in self._greetings:
            self.say(self._greetings[has_image])

    def say(self, text: str) -> None:
        """Show a message."""
        self.setStyleSheet("color: #9aa4b2;")
        self.setText(text)
        self.setToolTip(text)

    def complain(self, text: str) -> None:
        """Show what went wrong."""
        self.setStyleSheet("color: #ff8a70;")
        self.setText(text)
        self.setToolTip(text)


def help_button() -> QToolButton:
    """Make a "?" that lists the keys."""
    made = QToolButton()
    made.setText("?")
    made.setToolTip(keys_as_html())
    made.clicked.connect(lambda: QMessageBox.information(made, "MobileSAM keys", keys_as_html()))
    return made


def keys_as_html() -> str:
    """List the keys and what they do, as a table."""
    rows = "".join(f"<tr><td><b>{key.name}</b>&nbsp;</td><td>{key.help}</td></tr>" for key in KEYS)
    return f"<table>{rows}</table>"
