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


def _import_time():
    report = _python("-X", "importtime", "-c", "import napari_mobilesam").stderr
    rows = [line.removeprefix("import time:").split("|") for line in report.splitlines()[1:]]
    cumulative_us = {name.strip(): int(total) for _, total, name in rows}
    return cumulative_us["napari_mobilesam"] / 1e6, sorted(cumulative_us)


def _python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
