import os
import subprocess
import sys
from importlib import import_module

import pytest

from napari_mobilesam.core.imports import load_torch_libraries, without_triton

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


@pytest.fixture
def loaded(request, monkeypatch):
    """Of vispy and triton, only what the test names is loaded."""
    for name in ("vispy", "triton"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in request.param:
        monkeypatch.setitem(sys.modules, name, sys)


@pytest.mark.parametrize("loaded", [(), ("triton",), ("vispy", "triton")], indirect=True)
@pytest.mark.usefixtures("loaded")
def test_without_a_viewer_or_with_triton_loaded_imports_are_left_alone():
    before = dict(sys.modules)
    with without_triton():
        assert sys.modules == before
    assert sys.modules == before


@pytest.mark.parametrize("loaded", [("vispy",)], indirect=True)
@pytest.mark.usefixtures("loaded")
def test_beside_a_viewer_triton_cannot_be_imported_meanwhile():
    with pytest.raises(ModuleNotFoundError, match="triton"), without_triton():
        import_module("triton")
    assert "triton" not in sys.modules
