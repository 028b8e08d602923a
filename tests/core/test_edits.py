import numpy as np
import pytest

from napari_mobilesam.core.edits import plan_accept
from napari_mobilesam.core.errors import LabelsFullError, SettingsError
from napari_mobilesam.core.masks import CroppedMask

SQUARE = CroppedMask(2, 2, np.ones((4, 4), bool))
BESIDE = CroppedMask(4, 4, np.ones((4, 4), bool))


def plane(dtype=np.int32):
    labels = np.zeros((10, 10), dtype)
    labels[0:4, 0:4] = 7
    return labels


def accept(labels, *masks, target="next", selected=3, taken="keep", next_label=8):
    return plan_accept(
        labels, masks, target=target, selected=selected, taken=taken, next_label=next_label
    )


def test_each_mask_gets_a_label_and_takes_what_is_free():
    before = plane()
    edit, labels = accept(before, SQUARE, BESIDE)
    after = before.copy()
    edit.apply_to(after)
    assert labels == (8, 9)
    assert (after == 7).sum() == 16
    assert (after == 8).sum() == 12
    assert (after == 9).sum() == 12
    assert after[4, 4] == 8


def test_taken_pixels_can_be_replaced():
    after = plane()
    accept(after, SQUARE, taken="replace")[0].apply_to(after)
    assert (after == 7).sum() == 12
    assert (after == 8).sum() == 16


def test_the_selected_label_grows():
    after = plane()
    edit, labels = accept(after, BESIDE, target="selected", selected=7)
    edit.apply_to(after)
    assert labels == (7,)
    assert (after == 7).sum() == 32


def square(y0, x0, side):
    return CroppedMask(y0, x0, np.ones((side, side), bool))


@pytest.mark.parametrize("better", [square(1, 1, 4), square(1, 1, 2), square(0, 0, 9)])
def test_the_label_under_a_mask_is_replaced(better):
    after = plane()
    edit, labels = accept(after, better, target="replace")
    edit.apply_to(after)
    assert labels == (7,)
    np.testing.assert_array_equal(after == 7, better.to_array(after.shape))


def test_a_label_of_one_pixel_is_replaced_by_a_mask_around_it():
    after = np.zeros((10, 10), np.int32)
    after[4, 4] = 7
    edit, labels = accept(after, SQUARE, target="replace")
    edit.apply_to(after)
    assert labels == (7,)
    np.testing.assert_array_equal(after == 7, SQUARE.to_array(after.shape))


@pytest.mark.parametrize("beside", [square(3, 3, 4), SQUARE, square(8, 8, 1), square(0, 2, 4)])
def test_a_label_of_which_a_mask_has_no_more_than_half_is_not_replaced(beside):
    before = plane()
    edit, labels = accept(before, beside, target="replace")
    after = before.copy()
    edit.apply_to(after)
    assert labels == (8,)
    np.testing.assert_array_equal(after == 7, before == 7)


def test_masks_of_one_accept_do_not_replace_each_other():
    after = plane()
    parts = [square(0, 0, 3), square(1, 1, 3), square(6, 6, 3), square(7, 7, 3)]
    edit, labels = accept(after, *parts, target="replace")
    edit.apply_to(after)
    assert labels == (7, 8, 9, 10)
    assert [(after == label).sum() for label in labels] == [9, 5, 9, 5]


@pytest.mark.parametrize("target", ["next", "selected", "replace"])
@pytest.mark.parametrize("taken", ["keep", "replace"])
def test_an_edit_can_be_taken_back_and_plans_change_nothing(target, taken):
    before = plane()
    labels = before.copy()
    edit, _ = accept(labels, SQUARE, BESIDE, target=target, taken=taken)
    np.testing.assert_array_equal(labels, before)
    edit.apply_to(labels)
    assert not np.array_equal(labels, before)
    after = labels.copy()
    edit.inverted().apply_to(labels)
    np.testing.assert_array_equal(labels, before)
    edit.inverted().inverted().apply_to(labels)
    np.testing.assert_array_equal(labels, after)


def test_a_part_of_an_edit_is_an_edit():
    before, after = plane(), plane()
    edit, _ = accept(before, SQUARE, BESIDE)
    part = edit.only(edit.after == 9)
    part.apply_to(after)
    assert ((after == 8).sum(), (after == 9).sum()) == (0, 12)
    part.inverted().apply_to(after)
    np.testing.assert_array_equal(after, before)
    assert edit.only(edit.after == 10).is_empty


def test_a_full_label_image_is_not_written_to():
    labels = plane(np.uint8)
    accept(labels, SQUARE, next_label=255)
    with pytest.raises(LabelsFullError, match=r"up to 255.*label 256") as caught:
        accept(labels, SQUARE, next_label=256)
    assert caught.value.remedy
    with pytest.raises(LabelsFullError):
        accept(labels, SQUARE, BESIDE, next_label=255)


@pytest.mark.parametrize("label", [0, -3])
def test_the_background_is_no_label(label):
    with pytest.raises(SettingsError, match=f"1 or more, got label {label}"):
        accept(plane(), SQUARE, target="selected", selected=label)
    with pytest.raises(SettingsError):
        accept(plane(), SQUARE, next_label=label)


def test_one_is_the_first_label():
    _, labels = accept(np.zeros((10, 10), np.uint8), SQUARE, BESIDE, next_label=1)
    assert labels == (1, 2)


def test_an_empty_mask_changes_nothing():
    edit, _ = accept(plane(), CroppedMask(3, 3, np.zeros((0, 0), bool)))
    assert edit.is_empty
