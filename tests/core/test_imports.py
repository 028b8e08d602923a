import os
import subprocess
import sys

import pytest

from napari_mobilesam.core.imports import load_torch_libraries

LOADS_AHEAD = """
import ctypes, os, sys
from importlib.util import find_spec
from pathlib import Path
from napari_mobilesam.core.imports import load_torch_libraries

load_torch_libraries()
assert "torch" not in sys.modules
(library,) = (Path(find_spec("torch").origin).parent / "lib").glob("libtorch_cpu.*")
ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD)  # fails if it is not loaded

import torch
assert torch.ones(2).sum() == 2
"""


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the libraries are loaded by the import")
def test_torchs_libraries_can_be_loaded_ahead_of_its_import():
    subprocess.run([sys.executable, "-c", LOADS_AHEAD], check=True, timeout=60)


def test_nothing_is_loaded_twice():
    import torch  # noqa: F401

    load_torch_libraries()
