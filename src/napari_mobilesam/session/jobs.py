"""One worker thread that runs the newest request of each kind."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Protocol

from napari_mobilesam.core.errors import CancelledError

if TYPE_CHECKING:  # a widget opens without torch
    from napari_mobilesam.inference.everything import Progress

Call = Callable[[], None]


class Work(Protocol):
    """Something to run in another thread."""

    def run(self, progress: Progress) -> Any:
        """Do it; ``progress`` raises CancelledError once the work is not wanted any more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    kind: str
    work: Work
    on_result: Callable[[Any], None]
    on_error: Callable[[Exception], None]
    on_progress: Progress


class Jobs:
    """Runs work in one thread, in the order it came; newer work of a kind replaces older.

    Parameters
    ----------
    deliver : callable
        Takes a call and makes it in the thread where callbacks belong, such as a GUI's.
    """

    def __init__(self, deliver: Callable[[Call], None]) -> None:
        self._deliver = deliver
        self._waiting: dict[str, _Job] = {}
        self._running: _Job | None = None
        self._unwanted: set[_Job] = set()
        self._undelivered = 0
        self._is_closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, name="mobilesam-jobs", daemon=True)
        self._thread.start()
        atexit.register(self.join)

    def submit(
        self,
        kind: str,
        request: Work,
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        on_progress: Progress,
    ) -> None:
        """Run a request as soon as the worker is free.

        What waits of the same kind is dropped without a word, what runs is stopped where it can
        be, and its result is not delivered.
        """
        with self._changed:
            if self._is_closed:
                return
            self._waiting.pop(kind, None)
            self._waiting[kind] = _Job(kind, request, on_result, on_error, on_progress)
            if self._running is not None and self._running.kind == kind:
                self._unwanted.add(self._running)
            self._changed.notify_all()

    def cancel(self, kind: str) -> None:
        """Stop work of a kind; its ``on_error`` gets a CancelledError."""
        with self._changed:
            stopped = [self._waiting.pop(kind, None)]
            if self._running is not None and self._running.kind == kind:
                if self._running not in self._unwanted:
                    stopped.append(self._running)
                self._unwanted.add(self._running)
        for job in filter(None, stopped):
            self._send(partial(job.on_error, CancelledError("the work was stopped")))

    def busy(self, kind: str | None = None) -> bool:
        """Whether work (of a kind) waits or runs, or anything of it is yet to be delivered."""
        with self._changed:
            jobs = [*self._waiting.values(), *([self._running] if self._running else [])]
            is_delivering = kind is None and self._undelivered > 0
            return is_delivering or any(kind in (None, job.kind) for job in jobs)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing waits, runs or is yet to be delivered; return whether it came so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.busy(), timeout)

    def close(self) -> None:
        """Stop all work, without waiting for the step that runs; nothing is delivered any more."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            if self._running is not None:
                self._unwanted.add(self._running)
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Close, and wait until the thread has ended."""
        self.close()
        self._thread.join(timeout)

    def _work(self) -> None:
        while (job := self._take()) is not None:
            try:
                result = job.work.run(partial(self._report, job))
            except Exception as error:
                self._finish(job, partial(job.on_error, error))
            else:
                self._finish(job, partial(job.on_result, result))
            del job
        atexit.unregister(self.join)

    def _take(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return None
            self._running = self._waiting.pop(next(iter(self._waiting)))
            return self._running

    def _report(self, job: _Job, done: int, total: int) -> None:
        if job in self._unwanted:
            raise CancelledError("the work was stopped")
        self._send(partial(job.on_progress, done, total))

    def _finish(self, job: _Job, call: Call) -> None:
        with self._changed:
            is_wanted = job not in self._unwanted
            self._unwanted.discard(job)
            self._running = None
            if is_wanted:
                self._undelivered += 1
            self._changed.notify_all()
        if is_wanted:
            self._deliver(partial(self._make, call))

    def _send(self, call: Call) -> None:
        with self._changed:
            self._undelivered += 1
        self._deliver(partial(self._make, call))

    def _make(self, call: Call) -> None:
        with self._changed:
            self._undelivered -= 1
            self._changed.notify_all()
        if not self._is_closed:
            call()
