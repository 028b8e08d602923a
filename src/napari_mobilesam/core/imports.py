"""How torch is imported beside a viewer."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


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


def load_torch_libraries() -> None:
    """Load torch's libraries, which takes 0.4 s, without keeping other threads from running.

    An import holds the interpreter's lock while a library is loaded; a foreign call of dlopen
    does not. Where that is not possible, importing torch loads them as ever.
    """
    spec = None if "torch" in sys.modules else find_spec("torch")
    if os.name != "posix" or spec is None or spec.origin is None:
        return
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    library = Path(spec.origin).parent / "lib" / f"libtorch_python{suffix}"
    if library.is_file():
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
        dlopen(os.fsencode(library), os.RTLD_NOW)
