"""How results of worker threads reach the main thread, where alone layers may be touched."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from qtpy.QtCore import (  # type: ignore[attr-defined]  # its alias
    QMetaObject,
    QObject,
    Qt,
    QTimer,
    Slot,
)

Call = Callable[[], None]

PAINT_MS = 20
"""Time in which the event loop comes round to painting what has changed."""


class MainThread(QObject):
    """Makes calls in the thread that made it, one after the other, when its loop is free.

    Not by a signal: PySide6 6.12 loses a reference with every ``emit`` under Python 3.11.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._later: list[Call] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAINT_MS)
        self._timer.timeout.connect(self._make_later_calls)

    def __call__(self, call: Call) -> None:
        """Hand a call over; may be used from any thread."""
        self._calls.put(call)
        QMetaObject.invokeMethod(self, "make_call", Qt.ConnectionType.QueuedConnection)

    def later(self, call: Call) -> None:
        """Make a call once what has changed until now is painted; from the main thread only."""
        self._later.append(call)
        self._timer.start()

    def _make_later_calls(self) -> None:
        calls, self._later = self._later, []
        for call in calls:
            call()

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
