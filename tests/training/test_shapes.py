import numpy as np
import pytest

from napari_mobilesam.training.synthetic.scene import without_specks
from napari_mobilesam.training.synthetic.shapes import (
    blob,
    borders,
    depth,
    each,
    filament,
    local_positions,
    object_radius,
    polygon,
    rasterise,
    rod,
    scatter,
    tessellate,
)

SHAPE = (96, 128)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_rasterise_fills_what_lies_in_the_plane():
    square = np.array([[-5.0, -5], [-5, 9], [9, 9], [9, -5]])
    corner, mask = rasterise(square, SHAPE)
    assert corner == (0, 0)
    assert mask.sum() == 100


def test_rasterise_of_something_outside_is_empty():
    assert not rasterise(np.array([[-9.0, -9], [-9, -5], [-5, -5]]), SHAPE)[1].any()


@pytest.mark.parametrize("draw", [blob(), polygon(), rod(), filament()])
def test_outlines_grow_with_their_radius(draw):
    small, large = (draw(np.random.default_rng(0), radius) for radius in (5, 10))
    np.testing.assert_allclose(2 * small, large)


def test_without_overlap_objects_stay_apart(rng):
    labels = scatter(rng, SHAPE, blob(0.02, 1.1), 8, coverage=0.3)
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) > 3
    assert areas[areas > 0].mean() > 0.4 * np.pi * 8**2


def test_scatter_stays_within(rng):
    room = np.zeros(SHAPE, bool)
    room[:, 40:90] = True
    labels = scatter(rng, SHAPE, blob(), 5, coverage=0.2, within=room)
    assert labels.any()
    assert not labels[~room].any()


def test_coverage_is_about_what_was_asked_for(rng):
    labels = scatter(rng, SHAPE, blob(), 5, coverage=0.25)
    assert (labels > 0).mean() == pytest.approx(0.25, abs=0.03)


def test_tessellation_leaves_no_gap(rng):
    cells = tessellate(rng, SHAPE, 12)
    assert (cells > 0).all()
    typical = np.median(np.bincount(cells.ravel())[np.unique(cells)])
    assert 0.3 < typical / 24**2 < 1.5


def test_depth_is_the_distance_to_the_border():
    labels = np.zeros((9, 9), np.int32)
    labels[2:7, 2:7] = 1
    assert borders(labels)[2, 2:7].all()
    assert not borders(labels)[4, 4]
    assert depth(labels)[4, 4] == 2


def test_each_object_has_one_value(rng):
    labels = np.repeat(np.arange(4, dtype=np.int32), 5).reshape(4, 5)
    values = each(rng, labels, 1, 2, background=-1)
    assert (values[0] == -1).all()
    assert np.ptp(values, axis=1).max() == 0
    assert ((values[1:] >= 1) & (values[1:] <= 2)).all()


def test_local_positions_are_relative_to_the_centre():
    labels = np.zeros((9, 9), np.int32)
    labels[3:8, 2:5] = 1
    y, x, radius = local_positions(labels)
    assert (y[5, 3], x[5, 3]) == (0, 0)
    assert (y[3, 4], x[3, 4]) == (-2, 1)
    assert radius[5, 3] == pytest.approx(np.sqrt(15 / np.pi))


def test_radii_span_the_range(rng):
    radii = [object_radius(rng, (512, 512), 4, 0.3) for _ in range(300)]
    assert 4 <= min(radii) < 5
    assert 120 < max(radii) <= 0.3 * 512


def test_specks_vanish_and_numbers_close_up():
    labels = np.zeros((10, 10), np.int32)
    labels[0, 0], labels[2:9, 2:9] = 1, 5
    cleaned = without_specks(labels)
    assert cleaned[0, 0] == 0
    np.testing.assert_array_equal(np.unique(cleaned), [0, 1])
