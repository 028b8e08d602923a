import numpy as np
import pytest

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.tiling import Tile, plan_tiles

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


@pytest.mark.parametrize(
    ("box", "is_cut"),
    [
        ((2, 2, 5, 6), False),
        ((1, 2, 5, 6), True),
        ((2, 1, 5, 6), True),
        ((2, 2, 6, 6), True),
        ((2, 2, 5, 7), True),
        ((0, 0, 9, 9), True),
    ],
)
def test_every_inner_edge_cuts(box, is_cut):
    inner = Tile((1, 1, 6, 7), (2, 2, 5, 6), (9, 9))
    assert inner.cuts(box) == is_cut
    whole = Tile((0, 0, 9, 9), (0, 0, 9, 9), (9, 9))
    assert not whole.cuts(box)


@pytest.mark.parametrize(
    ("centre", "tolerance", "answers"),
    [
        ((20, 30), 0, True),
        ((19.5, 30), 0, False),
        ((20, 29.5), 0, False),
        ((39.5, 69.5), 0, True),
        ((40, 69.5), 0, False),
        ((39.5, 70), 0, False),
        ((15, 25), 5, True),
        ((14.5, 25), 5, False),
        ((15, 24.5), 5, False),
        ((44.5, 74.5), 5, True),
        ((45, 74.5), 5, False),
        ((44.5, 75), 5, False),
    ],
)
def test_the_owner_is_the_tile_with_the_centre_in_its_half_open_core(centre, tolerance, answers):
    tile = Tile((10, 20, 50, 80), (20, 30, 40, 70), (100, 100))
    row, column = centre
    box = (row - 8, column - 3, row + 8, column + 3)
    assert tile.answers_for(box, tolerance) == answers
    if not tolerance:
        assert tile.answers_for(box) == answers


def test_tiles_need_no_margin_and_may_have_a_small_core():
    assert [tile.core for tile in plan_tiles((10, 15), 10, 0)] == [(0, 0, 10, 10), (0, 10, 10, 15)]
    assert [tile.core[1::2] for tile in plan_tiles((9, 12), 9, 4)] == [
        (0, 5),
        (5, 6),
        (6, 7),
        (7, 12),
    ]


@pytest.mark.parametrize(("side", "margin"), [(64, 32), (64, 40), (64, -1)])
def test_margins_must_leave_a_core(side, margin):
    with pytest.raises(SettingsError, match="overlap too much") as caught:
        plan_tiles((100, 100), side, margin)
    assert caught.value.expected
    assert f"{side} pixels" in caught.value.got
