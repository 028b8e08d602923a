import numpy as np
import pytest

from napari_mobilesam.core.drawn import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PolygonPrompt,
    ScribblePrompt,
    extent,
    usable,
)
from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.field import window_around
from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.masks import CroppedMask, MaskBatch

SLIDE = (5000, 3000)


def point(y, x):
    return (y, x, y, x)


def test_planes_are_seen_whole_unless_they_are_large():
    assert window_around(point(10, 10), (1280, 100)) is None
    assert window_around(point(10, 10), (1281, 100)) == (0, 0, 1024, 100)
    assert window_around(point(10, 10), SLIDE, "plane") is None
    assert window_around(point(10, 10), (300, 300), 128) == (0, 0, 128, 128)
    assert window_around(point(10, 10), (300, 300), 300) is None


def test_prompts_lie_well_inside_their_window():
    rng = np.random.default_rng(0)
    for _ in range(500):
        y0, x0 = rng.uniform(0, (4400, 2400))
        y1, x1 = np.add((y0, x0), rng.uniform(0, 512, 2))
        window = window_around((y0, x0, y1, x1), SLIDE)
        sides = window[2] - window[0], window[3] - window[1]
        assert sides == (1024, 1024)
        inside = np.subtract((y0, x0), window[:2]), np.subtract(window[2:], (y1, x1))
        at_edge = np.array([window[:2], np.subtract(SLIDE, window[2:])]) == 0
        assert ((np.array(inside) >= 128) | at_edge).all()


def test_a_window_grows_with_what_is_drawn():
    assert window_around((100, 100, 612, 612), SLIDE) == (0, 0, 1024, 1024)
    assert window_around((100, 100, 613, 612), SLIDE) == (0, 0, 2048, 2048)
    assert window_around((0, 0, 1e300, 1), SLIDE) is None
    assert window_around((0, 0, np.inf, 1), SLIDE) is None
    assert window_around((np.nan, 0, 0, 1), SLIDE) is None


def test_near_prompts_share_a_window():
    assert window_around(point(2000, 1500), SLIDE) == window_around(point(2040, 1520), SLIDE)
    assert window_around(point(2000, 1500), SLIDE) != window_around(point(2300, 1500), SLIDE)


@pytest.mark.parametrize("field", [63, 0, -1, "all", True, None, 100.0])
def test_no_such_field(field):
    with pytest.raises(SettingsError, match="field"):
        window_around(point(1, 1), SLIDE, field)


def test_the_extent_is_that_of_all_prompts():
    line = np.array([(40.0, 5), (50, 90)])
    mask = CroppedMask(2, 60, np.ones((3, 4), bool))
    drawn = [PointPrompt((30, 30)), BoxPrompt((35, 70, 10, 20)), ScribblePrompt(line)]
    assert extent(drawn[:1]) == (30, 30, 30, 30)
    assert extent(drawn[:2]) == (10, 20, 35, 70)
    assert extent(drawn) == (10, 5, 50, 90)
    assert extent([PolygonPrompt(line), MaskPrompt(mask)]) == (2, 5.5, 50.5, 90.5)


@pytest.mark.parametrize("far", [1e300, 2.0**70, np.inf, np.nan])
def test_vertices_that_lie_nowhere_near_are_left_out(far):
    vertices = np.array([(1.0, 1), (far, 5), (9, 9)])
    kept, skipped = usable([PolygonPrompt(vertices), ScribblePrompt(vertices)], (20, 20))
    assert kept == ()
    assert len(skipped) == 2


def test_a_frame_of_a_window_keeps_the_planes_coordinates():
    frame = InputFrame((900, 700), 256, window=(300, 100, 428, 228))
    whole = InputFrame((128, 128), 256)
    assert frame.scale_yx == (2, 2)
    np.testing.assert_array_equal(
        frame.points_to_input([(310, 120)]), whole.points_to_input([(10, 20)])
    )
    box = [310.0, 120, 330, 150]
    np.testing.assert_allclose(frame.boxes_from_input(frame.boxes_to_input(box)), box)


def test_masks_of_a_window_lie_in_the_plane():
    logits = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    score = np.ones(1, np.float32)
    cut = MaskBatch(logits, score, InputFrame((128, 96), 256))
    batch = MaskBatch(logits, score, InputFrame((900, 700), 256, window=(300, 100, 428, 196)))
    full = batch.logits(0)
    np.testing.assert_array_equal(full[300:428, 100:196], cut.logits(0))
    assert np.isneginf(full[:300]).all()
    assert np.isneginf(full[:, 196:]).all()
    mask, inner = batch.crop(0), cut.crop(0)
    assert (mask.y0 - 300, mask.x0 - 100) == (inner.y0, inner.x0)
    np.testing.assert_array_equal(mask.pixels, inner.pixels)
    assert batch.crop_with_stability(0)[1] == cut.crop_with_stability(0)[1]
    part = batch.logits(0, (290, 90, 310, 110))[10:, 10:]
    np.testing.assert_allclose(part, full[300:310, 100:110], atol=1e-6)
    np.testing.assert_array_equal(batch.to_array()[0], mask.to_array((900, 700)))
    assert batch.logits(0, (0, 0, 10, 10)).shape == (10, 10)
