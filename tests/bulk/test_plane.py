import numpy as np
import pytest
import zarr
from skimage.draw import disk

from napari_mobilesam.api import load_model
from napari_mobilesam.bulk.blocks import is_empty
from napari_mobilesam.bulk.plane import plane_limits, segment_dask, segment_large
from napari_mobilesam.core.errors import CancelledError, ImageError, SettingsError
from napari_mobilesam.evaluation.metrics import label_iou, match

SHAPE, TILES = (300, 620), {"tile": 256, "margin": 40, "input_size": 256}


def nuclei():
    """Bright discs on noise, some on the seams; the right third is empty, but for noise."""
    rng, labels = np.random.default_rng(1), np.zeros(SHAPE, np.int32)
    for row, column in np.ndindex(7, 10):
        centre = 22 + 42 * np.array([row, column]) + rng.integers(-6, 7, 2)
        labels[disk(centre, rng.integers(9, 14), shape=SHAPE)] = labels.max() + 1
    image = 300 + 1500 * (labels > 0) + rng.normal(0, 40, SHAPE)
    return image.astype(np.uint16), labels


@pytest.fixture(scope="module")
def scene():
    return nuclei()


@pytest.fixture(scope="module")
def found(scene):
    return segment_large(scene[0], **TILES)


def test_every_object_is_found_once(scene, found):
    truth = scene[1]
    counts = match(label_iou(truth, found.labels), 0.7)
    assert counts.true_positive == truth.max()
    assert counts.false_positive == 0
    assert found.table["label"].tolist() == list(range(1, len(found) + 1))
    assert found.table["area"].tolist() == np.bincount(found.labels.ravel())[1:].tolist()


def test_labels_are_written_to_disk_alike(scene, found, tmp_path):
    image = zarr.create_array(str(tmp_path / "image"), data=scene[0], chunks=(128, 128))
    output = tmp_path / "labels.zarr"
    on_disk = segment_large(image, output=output, **TILES)
    np.testing.assert_array_equal(zarr.open_array(str(output), mode="r")[:], found.labels)
    assert on_disk.table.equals(found.table)


def test_an_ome_zarr_is_read_tile_by_tile(scene, found, tmp_path):
    group = zarr.create_group(tmp_path / "slide.zarr", zarr_format=2)
    pixels = np.stack([scene[0] * 0, scene[0]])
    group.create_array("0", data=pixels, chunks=(1, 100, 100))
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    again = segment_large(tmp_path / "slide.zarr", channels=(1,), **TILES)
    np.testing.assert_array_equal(again.labels, found.labels)


def test_progress_is_told_and_can_stop_it(scene):
    told = []

    def stop_after_two(done, total):
        told.append((done, total))
        if done == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        segment_large(scene[0], progress=stop_after_two, **TILES)
    assert told == [(0, 8), (1, 8), (2, 8)]


def test_limits_are_those_of_the_whole_plane(scene):
    low, high = plane_limits(scene[0], "percentile")
    np.testing.assert_allclose((low, high), np.percentile(scene[0], (0.1, 99.9)), rtol=0.02)
    assert plane_limits(scene[0], "dtype") == (0, 65535)
    assert plane_limits(scene[0], (3, 5)) == (3, 5)


def test_noise_alone_is_empty():
    noise = np.random.default_rng(0).integers(100, 105, (64, 64, 3)).astype(np.uint8)
    assert is_empty(noise)
    noise[10:30, 10:30] = 200
    assert not is_empty(noise)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5), (0, 5)])
def test_only_planes_are_taken(shape):
    with pytest.raises(ImageError):
        segment_large(np.zeros(shape))


def test_settings_are_checked(scene):
    with pytest.raises(SettingsError):
        segment_large(scene[0], confidence=7)
    with pytest.raises(SettingsError):
        segment_large(scene[0], tile=100, margin=50)


def test_a_dask_array_becomes_one_of_labels(scene, found):
    import dask.array as da

    labels = segment_dask(da.from_array(scene[0], chunks=(100, 200)), **TILES)
    assert labels.chunks == ((100, 100, 100), (200, 200, 200, 20))
    np.testing.assert_array_equal(labels.compute(), found.labels)


def test_a_loaded_model_is_used_as_it_is(scene, found):
    sam = load_model("micro", input_size=256)
    again = segment_large(scene[0], model=sam, tile=256, margin=40)
    np.testing.assert_array_equal(again.labels, found.labels)
