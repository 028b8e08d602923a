"""Go on in smaller portions where the memory does not suffice, and say so."""

import warnings
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch

from napari_mobilesam.core.errors import OutOfMemoryError
from napari_mobilesam.inference.engine import Engine

_SHORT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "alloc_failed",
    "bad_alloc",
    "could not create a primitive",
)
"""What RuntimeErrors of torch, CUDA, Metal, OpenVINO and oneDNN say, in lower case; oneDNN names no
cause where it has no memory for the code that it generates."""

_sizes: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
"""Objects that an engine can decode at a time, where they turned out to be fewer than it says."""


def in_portions(
    engine: Engine, indices: Sequence[int], work: Callable[[Sequence[int]], None]
) -> None:
    """Do work on as many indices at a time as the engine's chunk size and the memory allow.

    Where memory runs out, the portion is halved for this engine from then on, with a warning.

    Raises
    ------
    OutOfMemoryError
        If it does not suffice for a single one.
    """
    start = 0
    while start < len(indices):
        size = min(engine.chunk_size, _sizes.get(engine, engine.chunk_size))
        portion = indices[start : start + size]
        if _fits(portion, work):
            start += len(portion)
        else:
            _halve(engine, len(portion))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory, of the machine or of a GPU, has run out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in message for words in _SHORT_OF_MEMORY)


def _fits(portion: Sequence[int], work: Callable[[Sequence[int]], None]) -> bool:
    try:
        work(portion)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(portion) == 1:
            raise OutOfMemoryError(
                "there is not enough memory to find a single object",
                got=str(error).splitlines()[0] if str(error) else type(error).__name__,
                remedy='Close other programs, lower input_size, or choose device="cpu".',
            ) from error
        return False  # the error, and with it what the failed attempt held, goes before the next
    return True


def _halve(engine: Engine, failed: int) -> None:
    _sizes[engine] = failed // 2
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    warnings.warn(
        f"memory ran out while {failed} objects were decoded at a time; going on with "
        f"{failed // 2}, which is slower but gives the same masks",
        RuntimeWarning,
        stacklevel=2,
    )
