"""The public names: all there, at home where they are said to be, and imported lazily."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import napari_mobilesam

HEAVY = {"torch", "torchvision", "napari", "qtpy", "ultralytics", "skimage", "pandas"}


@pytest.mark.parametrize("name", napari_mobilesam.__all__)
def test_every_public_name_can_be_imported(name):
    value = getattr(napari_mobilesam, name)
    if name == "__version__":
        assert value == version("napari-mobilesam")
    else:
        assert value.__name__ == name
        assert value.__doc__
        assert value.__module__.startswith("napari_mobilesam.")


def test_dir_lists_the_public_names_before_they_are_used():
    code = "import napari_mobilesam as m; print(set(m.__all__) <= set(dir(m)))"
    assert _python("-c", code).stdout.strip() == "True"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'load_modell'"):
        _ = napari_mobilesam.load_modell


def test_importing_the_package_is_fast_and_loads_nothing_heavy():
    fastest_s, loaded = min(_import_time() for _ in range(3))
    assert not {module.split(".")[0] for module in loaded} & HEAVY
    assert fastest_s < 0.3


FIRST_MASK = """
import sys
import numpy as np
import napari_mobilesam as mobilesam

image = np.zeros((64, 64), np.uint8)
image[20:40, 20:40] = 255
sam = mobilesam.load_model("micro", device="cpu", input_size=64)
sam.predict(sam.embed(image), points=[(30, 30)])
print(*sys.modules)
"""


def test_a_first_mask_imports_neither_torchs_compiler_nor_what_measures():
    loaded = set(_python("-c", FIRST_MASK).stdout.split())
    assert not loaded & {"torch._dynamo", "torchvision", "sympy", "ultralytics", "pandas"}


def test_beside_a_viewer_everything_mode_imports_no_triton():
    code = "import vispy" + FIRST_MASK + "sam.everything(image)\nprint('triton' in sys.modules)"
    assert _python("-c", code).stdout.split()[-1] == "False"


def _import_time():
    report = _python("-X", "importtime", "-c", "import napari_mobilesam").stderr
    rows = [line.removeprefix("import time:").split("|") for line in report.splitlines()[1:]]
    cumulative_us = {name.strip(): int(total) for _, total, name in rows}
    return cumulative_us["napari_mobilesam"] / 1e6, sorted(cumulative_us)


def _python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
