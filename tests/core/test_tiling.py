import numpy as np
import pytest

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.tiling import plan_tiles

SHAPES = [(1000, 700), (256, 256), (100, 90), (257, 1024), (1, 3000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_cores_cover_the_plane_once_and_windows_reach_the_margin_beyond(shape):
    covered = np.zeros(shape, int)
    for tile in plan_tiles(shape, 256, 40):
        (y0, x0, y1, x1), (top, left, bottom, right) = tile.window, tile.core
        covered[top:bottom, left:right] += 1
        assert y0 <= max(top - 40, 0)
        assert x0 <= max(left - 40, 0)
        assert y1 >= min(bottom + 40, shape[0])
        assert x1 >= min(right + 40, shape[1])
        assert (y1 - y0, x1 - x0) == (min(256, shape[0]), min(256, shape[1]))
    assert (covered == 1).all()


def test_a_plane_that_fits_is_one_tile():
    (tile,) = plan_tiles((200, 256), 256, 64)
    assert tile.window == tile.core == (0, 0, 200, 256)
    assert not tile.cuts((0, 0, 200, 256))


def test_a_box_at_an_inner_edge_is_cut():
    first, second = plan_tiles((100, 180), 100, 10)
    assert first.window == (0, 0, 100, 100)
    assert second.window == (0, 80, 100, 180)
    assert first.cuts((0, 60, 10, 100))
    assert not first.cuts((0, 0, 100, 99))
    assert second.cuts((50, 80, 60, 90))
    assert not second.cuts((0, 170, 10, 180))


def test_the_owner_is_the_tile_with_the_centre():
    first, second = plan_tiles((100, 180), 100, 10)
    assert first.answers_for((0, 70, 10, 90))
    assert not second.answers_for((0, 70, 10, 90))
    assert second.answers_for((0, 70, 10, 90), tolerance=10)


def test_margins_must_leave_a_core():
    with pytest.raises(SettingsError, match="overlap too much"):
        plan_tiles((100, 100), 64, 32)
