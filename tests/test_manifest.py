"""The manifest that napari reads: valid, complete, and the same file in a clone and in a wheel."""

from importlib.resources import as_file, files
from pathlib import Path

import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution("napari-mobilesam")


def test_every_python_name_can_be_imported(manifest):
    manifest.validate_imports()


def test_every_command_has_a_python_name_and_is_used_once(manifest):
    commands = manifest.contributions.commands
    assert all(command.python_name for command in commands)
    assert len({command.id for command in commands}) == len(commands)


def test_the_icon_is_in_the_package(manifest):
    package, resource = manifest.icon.split(":")
    with as_file(files(package) / resource) as icon:
        assert icon.read_text(encoding="utf-8").startswith("<svg")


def test_the_manifest_at_the_top_of_the_repository_is_the_packaged_one():
    link = ROOT / "napari.yaml"
    target = link.readlink() if link.is_symlink() else link.read_text(encoding="utf-8")
    assert (ROOT / target).samefile(ROOT / "src" / "napari_mobilesam" / "napari.yaml")
    packaged = files("napari_mobilesam") / "napari.yaml"
    assert packaged.read_text(encoding="utf-8") == (ROOT / target).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "shape", "scale"),
    [("cell", (660, 550), (0.107, 0.107)), ("tissue", (512, 512, 3), (1, 1))],
)
def test_sample_data_opens_offline(npe2pm, key, shape, scale):
    viewer = ViewerModel()
    with npe2pm.tmp_plugin(package="napari-mobilesam"):
        (layer,) = viewer.open_sample("napari-mobilesam", key)
    assert layer.data.shape == shape
    assert tuple(layer.scale) == scale
