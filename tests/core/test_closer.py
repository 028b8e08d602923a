"""Windows for a closer look."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mobilesam.core.field import WORTHWHILE, closer_look
from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.masks import CroppedMask

SHAPE = (1000, 1400)
WHOLE = InputFrame(SHAPE, 1024, 4, None)


def square(y0, x0, side):
    return CroppedMask(y0, x0, np.ones((side, side), bool))


def look(mask, frame=WHOLE):
    return closer_look([mask], [0.9], mask.box, frame)


def test_a_small_object_gets_a_window_of_seven_times_its_side():
    assert look(square(500, 700, 20)) == (432, 624, 624, 816)


def test_prompts_are_held_as_well():
    mask = square(500, 700, 20)
    y0, x0, y1, x1 = closer_look([mask], [0.9], (300, 705, 510, 705), WHOLE)
    assert y0 < 300 < 520 < y1
    assert x0 < 700 < 720 < x1


def test_candidates_that_may_still_be_chosen_are_held_as_well():
    masks = [square(500, 700, 20), square(420, 620, 180), square(100, 100, 700)]
    y0, x0, y1, x1 = closer_look(masks, [0.9, 0.55, 0.4], masks[0].box, WHOLE)
    assert y0 < 420 < 600 < y1
    assert x0 < 620 < 800 < x1
    assert y1 - y0 == 384


def test_objects_of_like_size_near_each_other_share_a_window():
    assert len({look(square(y, 700, 20)) for y in range(490, 530, 4)}) == 2


def test_sides_are_few():
    windows = [look(square(300, 300, side)) for side in range(5, 100)]
    sides = sorted({window[2] - window[0] for window in windows})
    assert sides == [96, 128, 192, 256, 384, 512, 768]
    assert all(1.3 < larger / smaller < 1.51 for smaller, larger in pairwise(sides))


@pytest.mark.parametrize(
    ("mask", "frame"),
    [
        (square(0, 0, 400), WHOLE),
        (square(500, 500, 20), InputFrame(SHAPE, 1024, 4, (440, 440, 632, 632))),
        (square(500, 500, 0), WHOLE),
        (square(5, 5, 10), InputFrame((100, 120), 768, 4, None)),
    ],
)
def test_no_window_where_none_would_show_more(mask, frame):
    assert look(mask, frame) is None


@pytest.mark.parametrize("extent", [(0, 0, float("inf"), 20), (-(2.0**31), 0, 20, 20)])
def test_no_window_for_prompts_that_reach_far_out(extent):
    assert closer_look([square(5, 5, 10)], [0.9], extent, WHOLE) is None


@given(
    shape=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    centre=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    filled=st.floats(0.05, 1),
)
def test_a_window_lies_in_the_plane_and_holds_the_object(shape, centre, size, filled):
    low = [int(c * (side - 1)) for c, side in zip(centre, shape, strict=True)]
    high = [min(y + s, side) for y, s, side in zip(low, size, shape, strict=True)]
    pixels = np.zeros((high[0] - low[0], high[1] - low[1]), bool)
    pixels.flat[: max(int(filled * pixels.size), 1)] = True
    window = look(CroppedMask(*low, pixels), InputFrame(shape, 1024, 4, None))
    if window is not None:
        y0, x0, y1, x1 = window
        assert 0 <= y0 <= low[0] < high[0] <= y1 <= shape[0]
        assert 0 <= x0 <= low[1] < high[1] <= x1 <= shape[1]
        assert max(y1 - y0, x1 - x0) <= WORTHWHILE * max(shape)
