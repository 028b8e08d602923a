import numpy as np
import pytest

from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.prompts import Prompts, check_boxes

SHAPE = (50, 80)


def test_points_are_positive_unless_said_otherwise():
    prompts = Prompts.create(SHAPE, points=[(1, 2), (49.5, 79.4)])
    np.testing.assert_array_equal(prompts.point_labels, [1, 1])
    assert prompts.box_yxyx is None
    np.testing.assert_array_equal(
        Prompts.create(SHAPE, points=[(1, 2), (3, 4)], point_labels=[True, False]).point_labels,
        [1, 0],
    )


@pytest.mark.parametrize("box", [(5, 6, 20, 30), (20, 30, 5, 6), (5, 30, 20, 6), (20, 6, 5, 30)])
def test_a_box_may_be_drawn_in_any_direction(box):
    np.testing.assert_array_equal(Prompts.create(SHAPE, box=box).box_yxyx, (5, 6, 20, 30))


def test_a_box_is_clipped_to_the_plane():
    np.testing.assert_array_equal(check_boxes([(-9, 70, 20, 999)], SHAPE), [(0, 70, 20, 80)])
    assert check_boxes([], SHAPE).shape == (0, 4)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({}, "there is no prompt"),
        ({"points": []}, "there is no prompt"),
        ({"points": [(np.nan, 1)]}, "finite"),
        ({"box": (0, 0, np.inf, 3)}, "finite"),
        ({"points": [(1, 2), (50, 2)]}, "point 1 lies outside"),
        ({"points": [(1, -1)]}, "point 0 lies outside"),
        ({"points": [(1, 2, 3)]}, "wrong shape"),
        ({"points": "here"}, "must be numbers"),
        ({"points": [(1, 2)], "point_labels": [1, 0]}, "1 values"),
        ({"points": [(1, 2)], "point_labels": [2]}, "do not match"),
        ({"box": (60, 0, 70, 9)}, "box 0 covers no pixel"),
        ({"box": (5, 5, 5, 9)}, "box 0 covers no pixel"),
        ({"box": (5, 5, 9)}, "wrong shape"),
        ({"box": ()}, "wrong shape"),
        ({"mask_input": np.zeros((4, 5))}, "square"),
    ],
)
def test_what_cannot_be_decoded_is_refused(prompts, message):
    with pytest.raises(PromptError, match=message):
        Prompts.create(SHAPE, **prompts)
