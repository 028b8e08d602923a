import json

import numpy as np
import pytest
from PIL import Image

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.io.annotations import read_annotations
from napari_mobilesam.training import detector_data
from napari_mobilesam.training.detector_data import cut, training_scenes, write_detector_dataset
from napari_mobilesam.training.settings import DetectorDataSettings
from napari_mobilesam.training.synthetic import generate

SETTINGS = DetectorDataSettings(tile=64, scenes=3)


@pytest.fixture(autouse=True)
def two_kinds(monkeypatch):
    monkeypatch.setattr(detector_data, "KINDS", ["particles", "fluorescent_nuclei"])


@pytest.fixture
def nested():
    """Two objects, one of which holds another."""
    labels, inner = np.zeros((2, 60, 100), np.int32)
    labels[5:25, 10:40] = 1
    labels[30:55, 50:95] = 2
    inner[35:45, 60:70] = 1
    return Scene((labels * 9000).astype(np.uint16), labels, inner)


def test_tiles_cover_the_image_and_cut_its_objects(nested):
    tiles = list(cut(nested, 64))
    assert [rgb.shape for rgb, _ in tiles] == [(60, 50, 3), (60, 50, 3)]
    assert [layers[0].max() for _, layers in tiles] == [1, 1]
    assert [layers[1].max() for _, layers in tiles] == [0, 1]
    assert tiles[1][0].max() == 255  # stretched
    np.testing.assert_array_equal(tiles[0][1][0], nested.labels[:, :50])


def test_written_polygons_are_the_objects(nested, tmp_path):
    settings = SETTINGS.changed(tile=128, scenes=0)
    summary = json.loads(write_detector_dataset([[nested]], [], tmp_path, settings).read_text())
    assert summary["train"]["real"] == {"tiles": 1, "objects": 3}
    assert summary["val"]["synthetic_share"] == 1
    (path,) = (tmp_path / "labels" / "train").iterdir()
    painted = read_annotations(path, format="yolo", plane_shape=(60, 100))
    np.testing.assert_array_equal(painted, nested.labels)  # what is inside comes last, underneath
    path.write_text(path.read_text().splitlines()[2])
    painted = read_annotations(path, format="yolo", plane_shape=(60, 100))
    np.testing.assert_array_equal(painted, nested.inner)
    with Image.open(tmp_path / "images" / "train" / f"{path.stem}.png") as image:
        assert image.size == (100, 60)


def test_scenes_are_seeded_and_of_all_kinds(monkeypatch):
    drawn = []
    monkeypatch.setattr(detector_data, "generate", lambda *a: drawn.append(a) or generate(*a))
    first, again = list(training_scenes(SETTINGS)), list(training_scenes(SETTINGS))
    assert [kind for kind, _, _ in drawn[:3]] == ["particles", "fluorescent_nuclei", "particles"]
    assert all(seed < detector_data.VALIDATION_SEED for _, seed, _ in drawn)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_data_set_is_written_once_and_not_mixed(nested, tmp_path):
    steps = []
    write_detector_dataset(
        [[nested]], [nested], tmp_path, SETTINGS, progress=lambda *s: steps.append(s)
    )
    assert steps == [(i, 7) for i in range(1, 8)]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_detector_dataset([[nested]], [nested], tmp_path, SETTINGS)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(SettingsError, match="holds another data set"):
        write_detector_dataset([[nested]], [nested], tmp_path, SETTINGS.changed(scenes=4))


def test_nothing_to_learn_from_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="nothing to learn from"):
        write_detector_dataset([], [], tmp_path, SETTINGS.changed(scenes=0))
