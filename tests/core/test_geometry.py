import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.utils.transforms import ResizeLongestSide

from napari_mobilesam.core.geometry import InputFrame, clip_box, side_for


@pytest.mark.parametrize(
    ("plane", "resized"),
    [((100, 200), (512, 1024)), ((1024, 1024), (1024, 1024)), ((1, 10_000), (1, 1024))],
)
def test_longest_side_fills_the_input(plane, resized):
    assert InputFrame(plane, 1024).resized_shape == resized


@pytest.mark.parametrize(
    ("longest", "side"),
    [(1, 512), (365, 512), (366, 768), (548, 768), (549, 1024), (20_000, 1024)],
)
def test_small_planes_are_shown_larger_up_to_the_greatest_side(longest, side):
    assert side_for((512, 1024), (1, longest)) == side_for((512, 1024), (longest, 1)) == side
    assert side_for((256, 256), (longest, 1)) == side_for(256, (longest, 1)) == 256


def test_points_swap_axes_and_scale():
    frame = InputFrame((100, 200), 1024)
    np.testing.assert_allclose(frame.points_to_input([(10, 150)]), [(768, 51.2)])


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([256, 512, 1024]))
def test_a_plane_lies_in_the_input_where_sam_puts_it(height, width, input_size):
    frame, sam = InputFrame((height, width), input_size), ResizeLongestSide(input_size)
    resized = sam.get_preprocess_shape(height, width, input_size)
    assert frame.resized_shape == tuple(max(1, side) for side in resized)  # SAM's may vanish
    if min(resized) > 0:
        yx = np.array([(0.0, 0.0), (height - 1, width / 3), (height, width)])
        np.testing.assert_allclose(
            frame.points_to_input(yx), sam.apply_coords(yx[:, ::-1], (height, width))
        )


def test_boxes_there_and_back():
    frame = InputFrame((333, 217), 512)
    boxes = np.array([[3, 7, 100, 90.5], [0, 0, 333, 217]])
    there = frame.boxes_to_input(boxes)
    np.testing.assert_allclose(there[1], [0, 0, *frame.resized_shape[::-1]])
    np.testing.assert_allclose(frame.boxes_from_input(there), boxes)
    np.testing.assert_allclose(frame.boxes_to_input(boxes[0]), there[0])
    np.testing.assert_allclose(frame.boxes_from_input(there[0]), boxes[0])
    stacked = np.stack([boxes, boxes, boxes])
    np.testing.assert_allclose(frame.boxes_to_input(stacked), [there, there, there])
    np.testing.assert_allclose(frame.boxes_from_input(frame.boxes_to_input(stacked)), stacked)


def test_shared_weights_cannot_be_written_to():
    assert InputFrame((9, 9), 64).rows is InputFrame((9, 9), 64).columns
    with pytest.raises(ValueError, match="read-only"):
        InputFrame((9, 9), 64).rows.weights[0, 0] = 1


def test_logits_may_have_the_inputs_resolution():
    frame = InputFrame((50, 50), 256, logits_stride=1)
    assert frame.logits_size == 256
    assert frame.rows.weights.shape == (50, 256)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (2000, 900)])
def test_weights_are_averages_in_order(shape):
    rows = InputFrame(shape, 256).rows
    np.testing.assert_allclose(rows.weights.sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(rows.first) >= 0).all()
    assert (np.diff(rows.last) >= 0).all()


@pytest.mark.parametrize("shape", [(1, 5), (9, 64), (70, 300), (128, 128)])
@pytest.mark.parametrize("stride", [1, 4])
def test_pixels_and_logits_know_which_of_each_other_they_depend_on(shape, stride):
    frame = InputFrame(shape, 64, stride)
    for axis in (frame.rows, frame.columns):
        dense = axis.weights.toarray()
        pixels, logits = dense.shape
        for start, stop in ((0, 1), (0, logits), (1, 3), (logits // 3, logits // 2)):
            touched = np.flatnonzero(dense[:, start:stop].any(axis=1)).tolist()
            assert list(range(*axis.pixels_touched_by(start, stop))) == touched
        for begin, end in ((0, 1), (0, pixels), (pixels // 3, pixels // 2 + 1)):
            needed, weights = axis.window(begin, end)
            occupied = np.flatnonzero(dense[begin:end].any(axis=0))
            assert (needed.start, needed.stop) == (occupied[0], occupied[-1] + 1)
            np.testing.assert_array_equal(weights.toarray(), dense[begin:end, needed])


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((-3.2, 4.6, 9.1, 80), (0, 4, 10, 20)),
        ((4.6, -3.2, 80, 9.1), (4, 0, 12, 10)),
        ((-9, -9, -1, -1), (0, 0, 0, 0)),
        ((30, 30, 40, 40), (12, 20, 12, 20)),
        ((1, 1, 1, 1), (1, 1, 1, 1)),
    ],
)
def test_clip_box_covers_what_is_inside(box, inside):
    assert clip_box(box, (0, 0, 12, 20)) == inside
    moved = tuple(side + shift for side, shift in zip(box, (5, 7, 5, 7), strict=True))
    assert clip_box(moved, (5, 7, 17, 27)) == tuple(np.add(inside, (5, 7, 5, 7)))
