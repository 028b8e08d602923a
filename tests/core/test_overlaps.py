import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_mobilesam.core.instances import Candidates, paint
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import (
    crop_iou,
    crops_iou,
    shared_pixels,
    touching_boxes,
    visible_parts,
)
from napari_mobilesam.core.settings import FilterSettings

SHAPE = (24, 30)


def random_candidates(seed, count=12):
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        y0, x0 = rng.integers(0, (SHAPE[0] - 8, SHAPE[1] - 8))
        masks.append(CroppedMask(int(y0), int(x0), rng.random(rng.integers(1, 9, 2)) < 0.7).trim())
    scores, stability = rng.random((2, count)).astype(np.float32).round(1)
    return Candidates(
        tuple(masks), scores, stability, np.zeros((count, 4)), np.ones(count, np.float32), SHAPE
    )


def painted_one_by_one(candidates, settings):
    """What the settings mean, in as few words as can be: paint, best first, where it is free."""
    labels, kept = np.zeros(SHAPE, np.int32), []
    for i in np.argsort(-candidates.scores, kind="stable"):
        mask = candidates.masks[i].to_array(SHAPE)
        free = mask & (labels == 0)
        if (
            candidates.scores[i] >= settings.min_score
            and candidates.stability[i] >= settings.min_stability
            and settings.min_area <= mask.sum() <= (settings.max_area or mask.size)
            and free.sum() >= settings.min_area
            and (mask & ~free).sum() <= settings.max_overlap * mask.sum()
        ):
            kept.append(i)
            labels[free] = len(kept)
    return kept, labels


@given(
    st.integers(0, 10_000),
    st.builds(
        FilterSettings,
        min_score=st.sampled_from([0.0, 0.3]),
        min_stability=st.sampled_from([0.0, 0.3]),
        min_area=st.sampled_from([1, 6]),
        max_area=st.sampled_from([None, 25]),
        max_overlap=st.sampled_from([0.0, 0.3, 1.0]),
    ),
)
def test_every_pixel_belongs_to_the_best_that_wants_it(seed, settings):
    candidates = random_candidates(seed)
    kept, visible = visible_parts(candidates, settings)
    expected, labels = painted_one_by_one(candidates, settings)
    assert kept.tolist() == expected
    np.testing.assert_array_equal(paint(visible, SHAPE), labels)


def test_nothing_gives_nothing():
    kept, visible = visible_parts(Candidates.none(SHAPE), FilterSettings())
    assert len(kept) == len(visible) == 0


def test_boxes_touch_where_they_share_a_pixel():
    boxes = [(0, 0, 4, 4), (3, 3, 6, 6), (4, 0, 8, 3), (0, 20, 1, 21)]
    assert touching_boxes(boxes) == [[1], [0], [], []]


def test_shared_pixels_are_counted():
    first = CroppedMask(0, 0, np.ones((4, 4), bool))
    second = CroppedMask(2, 3, np.ones((4, 4), bool))
    assert shared_pixels(first, second) == 2
    assert shared_pixels(first, CroppedMask(9, 9, np.ones((2, 2), bool))) == 0


def test_intersection_over_union_is_that_of_whole_masks():
    masks = [mask for mask in random_candidates(0, 30).masks if mask.area]
    whole = np.array([mask.to_array(SHAPE).ravel() for mask in masks], int)
    shared = whole @ whole.T
    area = whole.sum(axis=1)
    iou = crops_iou(masks, masks[:5])
    np.testing.assert_allclose(iou, (shared / (area[:, None] + area - shared))[:, :5])
    assert crops_iou(masks, []).shape == (len(masks), 0)
    empty = CroppedMask(0, 0, np.zeros((0, 0), bool))
    assert (crop_iou(empty, empty), crop_iou(empty, masks[0])) == (1, 0)
