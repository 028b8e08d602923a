"""How torch is imported beside a viewer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_triton() -> Iterator[None]:
    """Keep torchvision from importing triton, whose LLVM crashes beside that of Mesa's drivers.

    Where a viewer has loaded the drivers before a model is first needed, nothing compiles with
    triton. Without a viewer, and for a torch that was imported earlier, nothing is done.
    """
    if "triton" in sys.modules or "vispy" not in sys.modules:
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        yield
    finally:
        del sys.modules["triton"]
