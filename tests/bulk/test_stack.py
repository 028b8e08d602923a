import numpy as np
import pytest
import zarr

from napari_mobilesam.bulk.planes import StackPlanes, shared_limits
from napari_mobilesam.bulk.stack import segment_stack
from napari_mobilesam.core.errors import CancelledError, ImageError, SettingsError
from napari_mobilesam.evaluation.metrics import label_iou, match


@pytest.fixture(scope="module")
def found(spheres, small_model):
    return segment_stack(spheres[0], model=small_model)


def test_linked_labels_of_touching_spheres_are_right(spheres, found):
    counts = match(label_iou(spheres[1], found.labels), 0.5)
    assert counts.average_precision >= 0.9
    assert found.labels.shape == spheres[1].shape


def test_the_table_describes_the_labels(found):
    label, z = found.table["label"], found.labels.any(axis=(1, 2))
    assert label.tolist() == list(range(1, len(found) + 1))
    assert found.table["volume"].tolist() == np.bincount(found.labels.ravel())[1:].tolist()
    assert found.table["first"].min() == np.flatnonzero(z)[0]
    row = found.table.iloc[0]
    where = np.argwhere(found.labels == 1)
    centre = row[["centroid_plane", "centroid_y", "centroid_x"]].to_numpy(float)
    np.testing.assert_allclose(centre, where.mean(axis=0))
    assert row[["y0", "x0"]].tolist() == where[:, 1:].min(axis=0).tolist()


def test_tracks_are_what_napari_takes(found):
    from napari.layers import Tracks

    assert len(found.tracks) == found.table["planes"].sum()
    layer = Tracks(found.tracks)
    assert set(layer.data[:, 0]) == set(found.table["label"])


def test_another_axis_and_a_lazy_stack_give_the_same(spheres, small_model, tmp_path):
    few = spheres[0][12:15]
    stored = zarr.create_array(str(tmp_path / "stack"), data=np.moveaxis(few, 0, 2))
    output = tmp_path / "labels.zarr"
    limits = (20, 230)
    segment_stack(stored, axis=2, model=small_model, output=output, limits=limits)
    labels = np.moveaxis(zarr.open_array(str(output), mode="r")[:], 2, 0)
    expected = segment_stack(few, model=small_model, limits=limits)
    np.testing.assert_array_equal(labels, expected.labels)


def test_a_plane_that_is_missing_is_filled_in(spheres, small_model):
    stack = spheres[0][11:16].copy()
    stack[2] = 40
    found = segment_stack(stack, model=small_model, max_gap=1)
    assert (found.table["filled"] == 1).mean() > 0.8
    assert found.labels[2].any()
    assert not segment_stack(stack, model=small_model, max_gap=0, min_planes=1).labels[2].any()


def test_progress_is_told_plane_by_plane_and_can_stop_it(spheres, small_model):
    told = []

    def stop_after_two(done, total):
        told.append((done, total))
        if done == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        segment_stack(spheres[0], model=small_model, progress=stop_after_two)
    assert told == [(0, 30), (1, 30), (2, 30)]


def test_an_empty_stack_has_no_objects(small_model):
    found = segment_stack(np.zeros((2, 64, 64), np.uint8), model=small_model)
    assert len(found) == 0
    assert found.tracks.shape == (0, 4)
    assert not found.labels.any()


def test_limits_are_shared_by_all_planes():
    stack = np.zeros((3, 10, 10))
    stack[2] = 100
    assert shared_limits(StackPlanes(stack), "percentile") == (0, 100)
    assert shared_limits(StackPlanes(stack), (3, 5)) == (3, 5)


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 5, 6), (0, 5, 5)])
def test_only_stacks_are_taken(shape, small_model):
    with pytest.raises(ImageError):
        segment_stack(np.zeros(shape), model=small_model)


def test_settings_are_checked(spheres, small_model):
    with pytest.raises(SettingsError):
        segment_stack(spheres[0], model=small_model, link_iou=7)
    with pytest.raises(SettingsError):
        segment_stack(spheres[0], model=small_model, confidenze=0.2)
