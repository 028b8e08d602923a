import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import disk

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.linking import Chain, between, link, within
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import LinkSettings


def square(y0, x0, side=10):
    return CroppedMask(y0, x0, np.ones((side, side), bool))


def members(planes, **changes):
    settings = LinkSettings(min_planes=1).changed(**changes)
    return [chain.members for chain in link(planes, settings)]


def test_what_overlaps_is_one_object():
    planes = [[square(0, 0), square(0, 30)], [square(1, 31), square(1, 1)], [square(2, 2)]]
    assert members(planes) == [[(0, 0), (1, 1), (2, 0)], [(0, 1), (1, 0)]]


def test_the_least_overlap_is_enough():
    planes = [[square(0, 0)], [square(0, 0)], [square(0, 1)]]
    assert members(planes, link_iou=1) == [[(0, 0), (1, 0)], [(2, 0)]]


def test_the_sum_of_overlaps_decides_not_the_first_that_comes():
    planes = [[square(0, 0), square(0, 6)], [square(0, 4), square(0, -3)]]
    assert members(planes) == [[(0, 0), (1, 1)], [(0, 1), (1, 0)]]


def test_gaps_are_closed_up_to_their_greatest_length():
    planes = [[square(0, 0)], [], [], [square(0, 0)]]
    assert members(planes, max_gap=2) == [[(0, 0), (3, 0)]]
    assert members(planes, max_gap=1) == [[(0, 0)], [(3, 0)]]


def test_short_objects_are_dropped():
    planes = [[square(0, 0), square(0, 40)], [square(0, 0)]]
    assert members(planes, min_planes=2) == [[(0, 0), (1, 0)]]


@pytest.mark.parametrize(
    ("steps", "plane", "column"),
    [
        ([(4, 7)], 6, 7),
        ([(4, 7), (5, 9)], 6, 11),
        ([(4, 7), (6, 9)], 9, 12),
        ([(2, 90), (3, 50), (4, 20), (5, 40), (6, 65), (7, 80)], 8, 100),
        ([(2, 90), (3, 50), (4, 20), (5, 40), (6, 65), (7, 80)], 10, 140),
    ],
)
def test_the_speed_of_an_object_is_that_of_its_last_three_steps(steps, plane, column):
    chain = Chain(square(3, 0))
    for number, (at, x0) in enumerate(steps):
        chain.add(at, number, square(3, x0))
    assert chain.expected(plane, motion=True).box == (3, column, 13, column + 10)
    assert chain.expected(plane, motion=False).box == square(3, steps[-1][1]).box


def test_an_object_is_looked_for_where_it_is_going():
    columns = (0, 4, 9, 16, 26)  # from one to the next overlap falls to none
    planes = [[square(0, column)] for column in columns]
    assert len(members(planes, motion=True, link_iou=0.2)) == 1
    assert len(members(planes, motion=False, link_iou=0.2)) > 1


def test_two_that_pass_each_other_keep_their_ways():
    planes = [[square(20, 5 * t), square(24, 60 - 5 * t)] for t in range(13)]
    assert members(planes) == [[(t, 0) for t in range(13)], [(t, 1) for t in range(13)]]


def test_what_moves_farther_than_its_size_needs_a_maximum_shift():
    planes = [[square(0, 0), square(60, 0, 4)], [square(0, 14), square(60, 6, 4)]]
    assert len(members(planes)) == 4
    assert members(planes, max_shift=20) == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]
    assert len(members(planes, max_shift=5)) == 4
    assert len(members(planes, max_shift=20, link_iou=1)) == 2
    planes[1][0] = square(0, 2)
    assert members(planes, max_shift=20) == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]


def test_what_moves_farther_than_its_size_keeps_its_shape():
    planes = [[square(0, 0)], [square(0, 14, 5)]]
    assert len(members(planes, max_shift=30, link_iou=0.25)) == 1
    assert len(members(planes, max_shift=30, link_iou=0.3)) == 2


def test_empty_planes_and_no_planes():
    assert members([]) == []
    assert members([[], []]) == []


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5), max_size=6)
)
def test_every_mask_is_in_one_chain_and_planes_ascend(corners):
    chains = members([[square(*corner) for corner in plane] for plane in corners], max_shift=15)
    everything = [member for chain in chains for member in chain]
    expected = [(t, i) for t, plane in enumerate(corners) for i in range(len(plane))]
    assert sorted(everything) == expected
    for chain in chains:
        steps = np.diff([plane for plane, _ in chain])
        assert (steps >= 1).all()
        assert (steps <= 2).all()


def test_between_two_discs_is_a_disc_between_them():
    pair = []
    for centre, radius in (((30, 30), 8), ((34, 50), 16)):
        plane = np.zeros((80, 80), bool)
        plane[disk(centre, radius)] = True
        pair.append(CroppedMask(0, 0, plane).trim())
    middle = between(*pair, 0.5)
    assert middle.area == pytest.approx(np.pi * 12**2, rel=0.06)
    y0, x0, y1, x1 = middle.box
    assert ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2) == pytest.approx((32, 40), abs=1)


@pytest.mark.parametrize(
    ("share", "box"), [(0.4, (30, 5, 50, 11)), (0.5, (30, 5, 50, 11)), (0.6, (29, 4, 51, 12))]
)
def test_a_pixel_halfway_between_two_edges_is_outside(share, box):
    inner = CroppedMask(30, 5, np.ones((20, 6), bool))
    outer = CroppedMask(29, 4, np.ones((22, 8), bool))
    assert between(inner, outer, share).box == box


@pytest.mark.parametrize(
    ("corner", "box"),
    [
        ((-4, 15), (0, 15, 6, 25)),
        ((15, -4), (15, 0, 20, 6)),
        ((4, 25), (4, 25, 14, 30)),
        ((0, 0), (0, 0, 10, 10)),
    ],
)
def test_a_mask_is_cut_at_the_edges_of_its_plane(corner, box):
    assert within(square(*corner), (20, 30)).box == box


@pytest.mark.parametrize("corner", [(-14, 5), (5, -14), (21, 5), (5, 31)])
def test_of_a_mask_outside_its_plane_nothing_is_left(corner):
    assert within(square(*corner), (20, 30)).area == 0


def test_settings_are_checked():
    with pytest.raises(SettingsError):
        LinkSettings().changed(link_iou=2)
