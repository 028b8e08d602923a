import numpy as np
import pytest

from napari_mobilesam.core.edits import plan_accept
from napari_mobilesam.core.errors import LabelsFullError
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


def test_the_label_under_a_mask_is_replaced():
    after = plane()
    edit, labels = accept(after, SQUARE, target="replace")
    edit.apply_to(after)
    assert labels == (7,)
    assert (after == 7).sum() == 16
    assert not after[0:2].any()
    assert accept(after, CroppedMask(8, 8, np.ones((1, 1), bool)), target="replace")[1] == (8,)


@pytest.mark.parametrize("target", ["next", "selected", "replace"])
@pytest.mark.parametrize("taken", ["keep", "replace"])
def test_an_edit_can_be_taken_back_and_plans_change_nothing(target, taken):
    before = plane()
    labels = before.copy()
    edit, _ = accept(labels, SQUARE, BESIDE, target=target, taken=taken)
    np.testing.assert_array_equal(labels, before)
    edit.apply_to(labels)
    assert not np.array_equal(labels, before)
    edit.inverted().apply_to(labels)
    np.testing.assert_array_equal(labels, before)


def test_a_full_label_image_is_not_written_to():
    labels = plane(np.uint8)
    accept(labels, SQUARE, next_label=255)
    with pytest.raises(LabelsFullError, match=r"up to 255.*label 256"):
        accept(labels, SQUARE, next_label=256)
    with pytest.raises(LabelsFullError):
        accept(labels, SQUARE, BESIDE, next_label=255)


def test_an_empty_mask_changes_nothing():
    edit, _ = accept(plane(), CroppedMask(3, 3, np.zeros((0, 0), bool)))
    assert edit.is_empty
