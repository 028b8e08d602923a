"""How results of worker threads reach the main thread, where alone layers may be touched."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from qtpy.QtCore import QMetaObject, QObject, Qt, Slot  # type: ignore[attr-defined]  # its alias

Call = Callable[[], None]


class MainThread(QObject):
    """Makes calls in the thread that made it, one after the other, when its loop is free.

    Not by a signal: PySide6 6.12 loses a reference with every ``emit`` under Python 3.11.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Call] = SimpleQueue()

    def __call__(self, call: Call) -> None:
        """Hand a call over; may be used from any thread."""
        self._calls.put(call)
        QMetaObject.invokeMethod(self, "make_call", Qt.ConnectionType.QueuedConnection)

    @Slot()  # type: ignore[untyped-decorator]
    def make_call(self) -> None:
        """Make the call that has waited longest."""
        self._calls.get()()


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

    def busy(self, kind: str | None = None) -> bool:  # noqa: ARG002
        """Tell that nothing is ever under way."""
        return False

    def cancel(self, kind: str) -> None:
        """Do nothing, as nothing is ever under way."""

    def close(self) -> None:
        """Do nothing, as there is no thread."""
