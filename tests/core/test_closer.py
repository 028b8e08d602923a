"""Windows for a closer look."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mobilesam.core.field import WORTHWHILE, closer_look

WHOLE = (0, 0, 1000, 1400)


def test_a_small_object_gets_a_window_of_seven_times_its_side():
    assert closer_look((500, 700, 520, 720), 400, WHOLE, (1000, 1400)) == (432, 624, 624, 816)


def test_objects_of_like_size_near_each_other_share_a_window():
    windows = {
        closer_look((y, 700, y + 20, 720), 400, WHOLE, (1000, 1400)) for y in range(490, 530, 4)
    }
    assert len(windows) == 2


def test_sides_are_few():
    boxes = [(300, 300, 300 + side, 300 + side) for side in range(5, 100)]
    windows = [closer_look(box, (box[2] - 300) ** 2, WHOLE, (1000, 1400)) for box in boxes]
    sides = sorted({window[2] - window[0] for window in windows})
    assert sides == [96, 128, 192, 256, 384, 512, 768]
    assert all(1.3 < larger / smaller < 1.51 for smaller, larger in pairwise(sides))


@pytest.mark.parametrize(
    ("extent", "area", "seen"),
    [
        ((0, 0, 400, 400), 160_000, WHOLE),
        ((500, 500, 520, 520), 400, (440, 440, 632, 632)),
        ((500, 500, 520, 520), 0, WHOLE),
        ((5, 5, 15, 15), 100, (0, 0, 100, 120)),
        ((0, 0, float("inf"), 20), 400, WHOLE),
        ((-(2.0**31), 0, 20, 20), 400, WHOLE),
    ],
)
def test_no_window_where_none_would_show_more(extent, area, seen):
    assert closer_look(extent, area, seen, (1000, 1400)) is None


@given(
    shape=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    centre=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    filled=st.floats(0.05, 1),
)
def test_a_window_lies_in_the_plane_and_holds_the_object(shape, centre, size, filled):
    low = [int(c * (side - 1)) for c, side in zip(centre, shape, strict=True)]
    high = [min(y + s, side) for y, s, side in zip(low, size, shape, strict=True)]
    area = max(int(filled * (high[0] - low[0]) * (high[1] - low[1])), 1)
    window = closer_look((*low, *high), area, (0, 0, *shape), shape)
    if window is not None:
        y0, x0, y1, x1 = window
        assert 0 <= y0 <= low[0] < high[0] <= y1 <= shape[0]
        assert 0 <= x0 <= low[1] < high[1] <= x1 <= shape[1]
        assert max(y1 - y0, x1 - x0) <= WORTHWHILE * max(shape)
