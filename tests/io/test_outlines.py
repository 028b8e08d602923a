import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.io.outlines import fill, join, outline, rings

SHAPE = (20, 30)
pixels = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any)


@settings(deadline=None)
@given(pixels, st.integers(0, 11), st.integers(0, 21))
def test_outline_and_its_joined_ring_fill_the_same_pixels(pixels, y0, x0):
    mask = CroppedMask(y0, x0, pixels)
    expected = mask.to_array(SHAPE)
    geometry = outline(mask)
    assert geometry.is_valid
    assert geometry.area == mask.area
    np.testing.assert_array_equal(fill(rings(geometry), SHAPE).to_array(SHAPE), expected)
    joined = join(rings(geometry))
    np.testing.assert_array_equal(fill([joined], SHAPE).to_array(SHAPE), expected)


def test_outline_of_a_rectangle_has_four_corners_on_pixel_edges():
    ring = rings(outline(CroppedMask(1, 2, np.ones((3, 4), dtype=bool))))[0]
    assert {tuple(corner) for corner in ring} == {(2, 1), (6, 1), (6, 4), (2, 4)}
    assert len(ring) == 5


def test_holes_turn_against_the_outline():
    pixels = np.ones((5, 5), dtype=bool)
    pixels[2, 2] = False
    outer, hole = rings(outline(CroppedMask(0, 0, pixels)))
    assert shapely.is_ccw(shapely.LinearRing(outer)) != shapely.is_ccw(shapely.LinearRing(hole))


@pytest.mark.parametrize("shift", [-100.0, 100.0])
def test_ring_outside_the_plane_fills_nothing(shift):
    ring = np.array([[0, 0], [5, 0], [5, 5], [0, 0]]) + shift
    assert fill([ring], SHAPE).area == 0


def test_ring_that_leaves_the_plane_is_clipped():
    ring = np.array([[-5, -5], [100, -5], [100, 100], [-5, 100], [-5, -5]], dtype=float)
    assert fill([ring], SHAPE).area == SHAPE[0] * SHAPE[1]
