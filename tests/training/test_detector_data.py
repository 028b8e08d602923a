import subprocess
import sys

import numpy as np
import pytest

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.training import detector_data
from napari_mobilesam.training.detector_data import (
    TrainingScenes,
    cut,
    gather_tiles,
    held_out_scenes,
)
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


def test_images_and_scenes_are_gathered(nested):
    steps = []
    colour = Scene(
        np.stack([nested.image >> 8] * 3, -1).astype(np.uint8), nested.labels, nested.inner
    )
    tiles = gather_tiles([[nested], [colour]], SETTINGS, progress=lambda *s: steps.append(s))
    assert steps == [(i, 5) for i in range(1, 6)]
    assert tiles.images.shape == (4 + 3, 64, 64, 3)
    assert tiles.odds[:4].tolist() == [1, 1, SETTINGS.colour_odds, SETTINGS.colour_odds]
    share = tiles.odds[4:].sum() / tiles.odds.sum()
    assert float(share) == pytest.approx(SETTINGS.synthetic_share)
    np.testing.assert_array_equal(tiles.labels[1, 1, :60, :50], nested.inner[:, 50:])


def test_scenes_alone_are_enough():
    tiles = gather_tiles([], SETTINGS)
    assert len(tiles) == 3
    assert (tiles.odds > 0).all()


def test_scenes_are_seeded_and_of_all_kinds(monkeypatch):
    drawn = []
    monkeypatch.setattr(detector_data, "generate", lambda *a: drawn.append(a) or generate(*a))
    first, again = list(TrainingScenes(SETTINGS)), list(TrainingScenes(SETTINGS))
    assert [kind for kind, _, _ in drawn[:3]] == ["particles", "fluorescent_nuclei", "particles"]
    assert all(seed < detector_data.VALIDATION_SEED for _, seed, _ in drawn)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


IN_WORKERS = """
import multiprocessing, sys
from napari_mobilesam.training.detector_data import gather_tiles
from napari_mobilesam.training.settings import DetectorDataSettings

multiprocessing.set_start_method(sys.argv[1])
settings = DetectorDataSettings(tile=64, scenes=3)
here, there = (gather_tiles([], settings, workers=workers) for workers in (0, 1))
assert here.images.equal(there.images)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"] if sys.platform == "linux" else ["spawn"])
def test_other_processes_draw_the_same_scenes(method):
    subprocess.run([sys.executable, "-c", IN_WORKERS, method], check=True)


def test_held_out_scenes_are_none_to_learn_from():
    assert [scene.labels.shape for scene in held_out_scenes(64)] == [(64, 64)] * 2


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(SettingsError, match="nothing to learn from"):
        gather_tiles([], SETTINGS.changed(scenes=0))
