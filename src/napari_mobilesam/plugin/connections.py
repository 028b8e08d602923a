"""Connections to events that are all undone in the end."""

from collections.abc import Callable
from typing import Any


class Connections:
    """Remembers what was connected to which event, so that nothing stays behind."""

    def __init__(self) -> None:
        self._connected: list[tuple[Any, Callable[..., Any]]] = []

    def connect(self, event: Any, callback: Callable[..., Any]) -> None:
        """Connect a callback to a napari event or a psygnal signal."""
        event.connect(callback)
        self._connected.append((event, callback))

    def clear(self) -> None:
        """Disconnect everything."""
        for event, callback in self._connected:
            event.disconnect(callback)
        self._connected.clear()
