"""What Python does now and then that holds every thread up, a viewer's too, put off meanwhile."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

SWITCH_SECONDS = 0.0005
"""How long one thread may keep the interpreter while others wait for it; usually 0.005."""

NEVER = 2**31 - 1
"""Collections of the middle generation before a full one, at most."""


class Responsiveness:
    """Keeps a process responsive for as long as somebody asks for it.

    A full collection looks at every object. With torch and a viewer these are half a million,
    and all threads stand still for 0.2 to 0.4 s. It is put off; new objects are looked at as
    ever. Besides, threads take turns more often: a viewer asks for the interpreter many times
    while it paints, and at each would wait for as long as another thread may keep it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._asking: set[object] = set()
        self._before = (0, 0.0)

    def ask(self, who: object) -> None:
        """Keep the process responsive until ``who`` leaves."""
        with self._lock:
            if not self._asking:
                young, middle, full = gc.get_threshold()
                self._before = full, sys.getswitchinterval()
                gc.set_threshold(young, middle, NEVER)
                sys.setswitchinterval(SWITCH_SECONDS)
            self._asking.add(who)

    def leave(self, who: object) -> None:
        """Go on as before, unless somebody else asks."""
        with self._lock:
            if who not in self._asking:
                return
            self._asking.remove(who)
            if not self._asking:
                young, middle, _ = gc.get_threshold()
                full, switch_seconds = self._before
                gc.set_threshold(young, middle, full)
                sys.setswitchinterval(switch_seconds)


responsiveness = Responsiveness()
"""Of this process, which has one garbage collector."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage, and count what is made meanwhile among what has been looked at.

    Modules stay. Looking at what an import has made, time and again as it goes on, finds nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # into the oldest generation, all at once
        gc.enable()
