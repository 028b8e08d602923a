import numpy as np
import pytest

from napari_mobilesam.core.drawn import (
    DRAWN_LOGIT,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PolygonPrompt,
    ScribblePrompt,
    combine,
    usable,
)
from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.masks import CroppedMask, MaskBatch

FRAME = InputFrame((100, 160), 256)
TRIANGLE = np.array([(10.0, 20), (60, 20), (60, 90)])


def test_one_object_has_all_points_and_the_union_of_the_boxes():
    drawn = [
        PointPrompt((5, 6)),
        PointPrompt((7, 8), positive=False),
        BoxPrompt((10, 10, 20, 20)),
        BoxPrompt((40, 50, 15, 5)),
    ]
    (prompts,) = combine(drawn, FRAME, "one")
    np.testing.assert_array_equal(prompts.points_yx, [(5, 6), (7, 8)])
    np.testing.assert_array_equal(prompts.point_labels, [1, 0])
    np.testing.assert_array_equal(prompts.box_yxyx, (10, 5, 40, 50))


def test_many_objects_share_what_is_negative():
    drawn = [PointPrompt((5, 6)), PointPrompt((7, 8), positive=False), BoxPrompt((1, 1, 9, 9))]
    point, box = combine(drawn, FRAME, "many")
    np.testing.assert_array_equal(point.points_yx, [(5, 6), (7, 8)])
    np.testing.assert_array_equal(box.points_yx, [(7, 8)])
    np.testing.assert_array_equal(box.box_yxyx, (1, 1, 9, 9))


def test_a_scribble_becomes_points_evenly_along_it():
    bent = ScribblePrompt(np.array([(0.0, 0), (0, 30), (10, 30)]))
    (prompts,) = combine([bent], FRAME, "one")
    np.testing.assert_allclose(prompts.points_yx, [(0, 0), (0, 10), (0, 20), (0, 30), (10, 30)])


@pytest.mark.parametrize("vertices", [[(3, 4)], [(3, 4), (3, 4)], [(3, 4), (3, 4), (3, 4)]])
def test_a_scribble_without_length_is_a_point(vertices):
    dot = ScribblePrompt(np.array(vertices, float))
    assert combine([dot], FRAME, "one")[0].points_yx.tolist() == [[3, 4]]


@pytest.mark.parametrize("vertices", [[(3, 4), (3, 8)], [(3, 4), (3, 4), (3, 8)]])
def test_a_scribble_may_be_straight_and_begin_with_a_rest(vertices):
    line = ScribblePrompt(np.array(vertices, float))
    (prompts,) = combine([line], FRAME, "one")
    np.testing.assert_allclose(prompts.points_yx, [(3, 4), (3, 5), (3, 6), (3, 7), (3, 8)])


@pytest.mark.parametrize(
    ("kind", "box"), [("polygon", (10.5, 20.5, 60.5, 90.5)), ("mask", (10, 20, 61, 91))]
)
def test_outlines_and_masks_are_drawn_where_they_lie(kind, box):
    polygon = PolygonPrompt(TRIANGLE)
    rows, cols = np.mgrid[:100, :160]
    inside = (rows <= 60) & (cols >= 20) & ((rows - 10) * 70 >= (cols - 20) * 50)
    drawn = polygon if kind == "polygon" else MaskPrompt(CroppedMask(0, 0, inside).trim())
    (prompts,) = combine([drawn], FRAME, "one")
    np.testing.assert_allclose(prompts.box_yxyx, box)
    logits = prompts.mask_input[np.newaxis]
    redrawn = MaskBatch(logits, np.ones(1, np.float32), FRAME).to_array()[0]
    union = np.count_nonzero(redrawn | inside)
    assert np.count_nonzero(redrawn & inside) / union > 0.9


def test_an_outline_holds_the_logits_whose_centres_it_encloses():
    top, left, bottom, right = 9.1, 21.1, 45.9, 81.9  # logit k lies at pixel 4k + 1.5
    outline = PolygonPrompt(np.array([(top, left), (top, right), (bottom, right), (bottom, left)]))
    (prompts,) = combine([outline], InputFrame((256, 256), 256), "one")
    expected = np.full((64, 64), -DRAWN_LOGIT, np.float32)
    expected[2:12, 5:21] = DRAWN_LOGIT
    np.testing.assert_array_equal(prompts.mask_input, expected)


def test_a_mask_is_looked_up_at_the_centres_of_the_logits():
    pixels = np.zeros((505, 505), bool)
    pixels[::8, ::8] = True
    mask = MaskPrompt(CroppedMask(3, 3, pixels))  # logit k lies at pixel 8k + 3
    (prompts,) = combine([mask], InputFrame((512, 512), 256), "one")
    assert (prompts.mask_input == DRAWN_LOGIT).all()


def test_what_cannot_be_used_is_left_out_with_a_reason():
    drawn = [
        PointPrompt((500, 5)),
        BoxPrompt((5, 5, 5, 9)),
        PolygonPrompt(np.array([(900.0, 900), (950, 950), (900, 950)])),
        PointPrompt((5, 5)),
    ]
    kept, skipped = usable(drawn, FRAME.plane_shape)
    assert len(combine(drawn, FRAME, "many")) == len(kept) == 1
    assert len(skipped) == 3
    assert "outside the plane" in skipped[0]


@pytest.mark.parametrize("mode", ["one", "many"])
def test_nothing_positive_is_nothing_to_decode(mode):
    assert combine([], FRAME, mode) == ()
    beside, outside = PointPrompt((1, 1), positive=False), PointPrompt((500, 5))
    assert combine([beside, outside], FRAME, mode) == ()
    kept, skipped = usable([beside, outside], FRAME.plane_shape)
    assert kept == (beside,)
    assert len(skipped) == 1


@pytest.mark.parametrize("prompt", [PolygonPrompt, ScribblePrompt])
@pytest.mark.parametrize(
    "vertices", [np.zeros((0, 2)), np.zeros(2), [(np.nan, 1.0), (2, 3), (4, 9)], [(np.inf, 1.0)]]
)
def test_broken_vertices_are_skipped_with_a_reason(prompt, vertices):
    point = PointPrompt((5, 6))
    drawn = [prompt(np.array(vertices)), point]
    kept, skipped = usable(drawn, FRAME.plane_shape)
    assert kept == (point,)
    assert len(combine(drawn, FRAME, "many")) == len(skipped) == 1
    assert "vertices" in skipped[0]


def test_an_object_below_the_resolution_of_the_logits_is_a_box():
    frame = InputFrame((4096, 4096), 1024)
    speck = MaskPrompt(CroppedMask(109, 109, np.ones((3, 3), bool)))
    triangle = PolygonPrompt(np.array([(109.0, 109), (109, 111), (111, 111)]))
    for prompts in combine([speck, triangle], frame, "many"):
        assert prompts.mask_input is None
        assert prompts.box_yxyx is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda by: PolygonPrompt(TRIANGLE + by),
        lambda by: ScribblePrompt(TRIANGLE + by),
        lambda by: MaskPrompt(CroppedMask(by, 0, np.ones((3, 3), bool))),
        lambda by: MaskPrompt(CroppedMask(0, 0, np.full((3, 3), by == 0))),
    ],
)
def test_drawn_prompts_are_values(make):
    assert make(0) == make(0)
    assert hash(make(0)) == hash(make(0))
    assert make(0) != make(1)
    assert make(0) != PointPrompt((5, 6))
