"""How results of worker threads reach the main thread, where alone layers may be touched."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]  # qtpy's alias

Call = Callable[[], None]


class MainThread(QObject):
    """Runs calls in the thread that made it, when that thread's event loop is free."""

    _called = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._called.connect(_run, Qt.ConnectionType.QueuedConnection)

    def __call__(self, call: Call) -> None:
        """Hand a call over; may be used from any thread."""
        self._called.emit(call)


def _run(call: Call) -> None:
    call()


class Inline:
    """Runs requests at once, in the caller's thread; for viewers without an event loop."""

    def submit(
        self,
        kind: str,  # noqa: ARG002
        request: Any,
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Run a request and hand its result over."""
        try:
            result = request.run(on_progress)
        except Exception as error:  # handed over whole, as from a worker
            on_error(error)
        else:
            on_result(result)

    def cancel(self, kind: str) -> None:
        """Do nothing, as nothing is ever under way."""

    def close(self) -> None:
        """Do nothing, as there is no thread."""
