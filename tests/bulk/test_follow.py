import numpy as np
import pytest

from napari_mobilesam.bulk.follow import follow, ways_from
from napari_mobilesam.core.errors import CancelledError, ImageError, PromptError, SettingsError
from napari_mobilesam.evaluation.metrics import mask_iou


@pytest.fixture(scope="module")
def longest(spheres):
    """Label of the sphere on most planes, these planes, and its box on the middle one."""
    labels = spheres[1]
    on_plane = [(labels == label).any(axis=(1, 2)) for label in range(1, labels.max() + 1)]
    label = int(np.argmax([planes.sum() for planes in on_plane])) + 1
    planes = np.flatnonzero(on_plane[label - 1])
    where = np.argwhere(labels[planes[len(planes) // 2]] == label)
    return label, planes, (*where.min(axis=0), *(where.max(axis=0) + 1))


@pytest.fixture(scope="module")
def followed(spheres, small_model, longest):
    _, planes, box = longest
    return follow(spheres[0], int(planes[len(planes) // 2]), box=box, model=small_model)


def test_a_prompted_object_is_followed_through_the_stack(spheres, longest, followed):
    label, planes, _ = longest
    found, truth = followed.to_array(), spheres[1] == label
    iou = np.array([mask_iou(truth[plane], found[plane]) for plane in planes])
    assert np.mean(iou >= 0.8) >= 0.9


def test_it_stops_when_the_object_is_lost(longest, followed):
    beyond = set(followed.planes) - set(longest[1].tolist())
    assert len(beyond) <= 1


def test_it_goes_one_way_and_no_farther_than_asked(spheres, small_model, longest):
    _, planes, box = longest
    middle = int(planes[len(planes) // 2])
    found = follow(
        spheres[0], middle, box=box, model=small_model, direction="backwards", max_planes=2
    )
    assert found.planes == (middle - 2, middle - 1, middle)


def test_a_correction_replaces_what_it_covers(spheres, small_model, longest, followed):
    label, planes, _ = longest
    plane = int(planes[len(planes) // 2]) + 2
    truth = spheres[1][plane] == label
    again = follow(
        spheres[0], plane, mask=truth, model=small_model, direction="forwards", max_planes=1
    )
    corrected = followed.corrected(again)
    assert corrected.planes == followed.planes
    np.testing.assert_array_equal(corrected.to_array()[plane], truth)
    np.testing.assert_array_equal(corrected.to_array()[plane - 1], followed.to_array()[plane - 1])
    assert plane not in corrected.without(range(plane, 30)).planes


def test_progress_can_stop_it(spheres, small_model, longest):
    told = []

    def stop(done, total):
        told.append((done, total))
        if done == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        follow(spheres[0], 14, box=longest[2], model=small_model, progress=stop)
    assert told == [(0, 29), (1, 29), (2, 29)]


def test_what_cannot_be_followed_is_refused(spheres, small_model):
    stack = spheres[0]
    with pytest.raises(PromptError, match="no such plane"):
        follow(stack, 30, points=[(5, 5)], model=small_model)
    with pytest.raises(PromptError, match="no prompt"):
        follow(stack, 3, model=small_model)
    with pytest.raises(PromptError, match="empty mask"):
        follow(stack, 3, mask=np.zeros((160, 160)), model=small_model)
    with pytest.raises(PromptError, match="size of a plane"):
        follow(stack, 3, mask=np.zeros((16, 16)), model=small_model)
    with pytest.raises(ImageError):
        follow(stack[0], 0, points=[(5, 5)], model=small_model)
    with pytest.raises(SettingsError):
        follow(stack, 0, points=[(5, 5)], model=small_model, follow_iou=3)


def test_ways_end_where_the_stack_does():
    assert ways_from(1, 4, "both", 100) == [[1, 2, 3], [1, 0]]
    assert ways_from(3, 4, "both", 2) == [[3, 2, 1]]
    assert ways_from(0, 4, "backwards", 2) == []
