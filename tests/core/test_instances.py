from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mobilesam.core.instances import Candidates, measure, resolve
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import FilterSettings

SHAPE = (20, 30)


def candidates_of(boxes, scores=None, stability=None):
    masks = tuple(
        CroppedMask(y0, x0, np.ones((y1 - y0, x1 - x0), bool)) for y0, x0, y1, x1 in boxes
    )
    count = len(masks)
    return Candidates(
        masks,
        np.asarray(np.linspace(0.9, 0.1, count) if scores is None else scores, np.float32),
        np.asarray(np.ones(count) if stability is None else stability, np.float32),
        np.asarray(boxes, np.float64).reshape(-1, 4),
        np.ones(count, np.float32),
        SHAPE,
    )


FIELDS = ("scores", "stability", "proposals_yxyx", "confidence")


def test_candidates_can_be_put_together_and_chosen_from():
    first = candidates_of([(0, 0, 4, 4), (2, 2, 8, 8)], scores=[0.3, 0.8], stability=[0.4, 0.5])
    second = replace(candidates_of([(1, 1, 3, 3)]), confidence=np.full(1, 0.7, np.float32))
    joined = first.joined(second)
    chosen = joined.take([2, 0])
    assert joined.masks == first.masks + second.masks
    assert chosen.masks == (second.masks[0], first.masks[0])
    assert joined.plane_shape == chosen.plane_shape == SHAPE
    for name in FIELDS:
        both = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(getattr(joined, name), both)
        np.testing.assert_array_equal(getattr(chosen, name), both[[2, 0]])


def test_no_candidates_have_the_form_of_some():
    some = candidates_of([(0, 0, 4, 4)])
    for none in (Candidates.none(SHAPE), Candidates.concatenated([], SHAPE), some.take([])):
        assert none.masks == ()
        assert none.plane_shape == SHAPE
        for name in FIELDS:
            values, usual = getattr(none, name), getattr(some, name)
            assert values.shape == (0, *usual.shape[1:])
            assert values.dtype == usual.dtype


def test_the_table_holds_what_was_predicted_and_what_was_measured():
    candidates = candidates_of([(0, 0, 4, 2), (5, 5, 9, 9)], scores=[0.5, 1], stability=[0.25, 0])
    candidates = replace(candidates, confidence=np.array([0.75, 0.5], np.float32))
    found = resolve(candidates, FilterSettings(min_stability=0.1), np.full(SHAPE, 7, np.uint8))
    assert found.candidates is candidates
    (row,) = found.table.to_dict("records")
    assert list(row.items())[:-3] == [
        ("label", 1),
        ("score", 0.5),
        ("stability", 0.25),
        ("confidence", 0.75),
        ("area", 8),
        ("y0", 0),
        ("x0", 0),
        ("y1", 4),
        ("x1", 2),
        ("centroid_y", 1.5),
        ("centroid_x", 0.5),
    ]
    assert list(row.items())[-3::2] == [("solidity", 1), ("mean_intensity", 7)]
    assert row["eccentricity"] == pytest.approx(np.sqrt(1 - 3 / 15))


def test_the_better_score_wins_an_overlap():
    found = resolve(candidates_of([(0, 0, 4, 4), (2, 2, 8, 8)], scores=[0.3, 0.8]))
    assert found.labels[3, 3] == 1
    assert found.labels[0, 0] == 2
    np.testing.assert_array_equal(found.boxes, [(2, 2, 8, 8), (0, 0, 4, 4)])
    np.testing.assert_allclose(found.scores, [0.8, 0.3])
    assert found.scores.dtype == np.float32
    assert found.table["area"].tolist() == [36, 12]
    assert [mask.area for mask in found.masks] == [36, 16]


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"min_score": 0.5}, [0.9, 0.6]),
        ({"min_stability": 0.5}, [0.9, 0.2]),
        ({"min_area": 12}, [0.9]),
        ({"max_area": 10}, [0.2]),
        ({"max_overlap": 0.1}, [0.9, 0.2]),
    ],
)
def test_filters(changes, kept):
    candidates = candidates_of(
        [(0, 0, 4, 4), (2, 2, 6, 5), (10, 10, 13, 13)],
        scores=[0.9, 0.6, 0.2],
        stability=[0.9, 0.4, 0.9],
    )
    np.testing.assert_allclose(
        resolve(candidates, FilterSettings(**changes)).scores, kept, rtol=1e-6
    )


def test_nothing_that_can_be_seen_is_filtered_unless_asked_for():
    boxes = [(0, 0, 20, 30), (3, 3, 4, 4), (0, 0, 1, 1)]
    assert len(resolve(candidates_of(boxes, scores=[0, 0.5, 0], stability=[0, 0, 0]))) == 2


def test_area_is_what_is_left_to_see():
    boxes = [(0, 0, 5, 5), (0, 0, 5, 6)]
    assert len(resolve(candidates_of(boxes), FilterSettings(min_area=5))) == 2
    assert len(resolve(candidates_of(boxes), FilterSettings(min_area=6))) == 1


@pytest.mark.parametrize("boxes", [[], [(3, 3, 3, 3)]])
def test_nothing_found_is_an_empty_result_of_the_usual_form(boxes):
    found = resolve(candidates_of(boxes))
    assert not found.labels.any()
    assert found.labels.dtype == np.int32
    assert len(found) == len(found.table) == 0
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


@pytest.mark.parametrize("channels", [None, (), (1,), (3,)])
def test_the_table_has_the_same_types_whether_or_not_anything_is_found(channels):
    intensity = None if channels is None else np.ones(SHAPE + channels, np.uint16)
    found, usual = (
        resolve(candidates_of(boxes), intensity=intensity).table for boxes in ([], [(0, 0, 3, 3)])
    )
    assert found.dtypes.to_dict() == usual.dtypes.to_dict()
    assert list(found.columns) == list(usual.columns)
    assert found["area"].dtype == np.int64
    assert found["score"].dtype == np.float32


@pytest.mark.parametrize(
    "pixels",
    [[[1]], [[1, 1]], [[1, 1, 1, 1]], np.eye(2), np.eye(5), [[1, 0, 0, 1]], [[1], [0], [1]]],
)
def test_tiny_and_straight_instances_are_measured_without_warnings(pixels):
    mask = CroppedMask(4, 5, np.array(pixels, bool))
    single = replace(candidates_of([(0, 0, 1, 1)]), masks=(mask,))
    table = resolve(single, intensity=np.ones(SHAPE)).table
    assert np.isfinite(table.to_numpy(dtype=float)).all()
    assert 0 < table["solidity"].item() <= 1
    assert 0 <= table["eccentricity"].item() <= 1


def test_boxes_are_half_open_and_of_the_visible_part():
    found = resolve(candidates_of([(2, 3, 4, 9), (2, 6, 4, 12), (7, 8, 8, 9)]))
    np.testing.assert_array_equal(found.boxes, [(2, 3, 4, 9), (2, 9, 4, 12), (7, 8, 8, 9)])
    np.testing.assert_array_equal(found.table[["centroid_y", "centroid_x"]].iloc[2], (7, 8))


def test_a_small_contrast_on_a_large_offset_is_measured():
    labels = np.ones((2, 2), np.int32)
    offset = np.array([[0, 0], [0, 1]], np.int32) + 2_000_000_000
    assert measure(labels, offset)["mean_intensity"].item() == 2_000_000_000.25


def test_the_greatest_intensities_are_measured():
    labels = np.ones((2, 2), np.int32)
    greatest = np.full((2, 2), np.finfo(np.float32).max, np.float32)
    assert measure(labels, greatest)["mean_intensity"].item() == greatest[0, 0]
    assert measure(labels, np.full((2, 2), 1.7e308))["mean_intensity"].item() == np.inf


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", ">u2", "f2", ">f2", "f4"])
def test_means_are_finer_than_the_values(dtype):
    grey = np.random.default_rng(0).integers(2**14, 2**15, (300, 300)).astype(dtype)
    mean = measure(np.ones(grey.shape, np.int32), grey)["mean_intensity"]
    rounding = 1e-6 if "f" in dtype else 0
    np.testing.assert_allclose(mean, grey.mean(dtype=np.float64), rtol=rounding)


def test_intensity_has_a_column_a_channel():
    labels = np.zeros(SHAPE, np.int32)
    labels[2:4, 2:4] = 3
    grey = np.arange(600, dtype=np.uint16).reshape(SHAPE)
    colour = np.stack([grey, 2 * grey, 0 * grey], axis=-1)
    mean = grey[2:4, 2:4].mean()
    assert measure(labels, grey)["mean_intensity"].tolist() == [mean]
    assert measure(labels, grey[..., np.newaxis])["mean_intensity"].tolist() == [mean]
    columns = [f"mean_intensity_{i}" for i in range(3)]
    assert measure(labels, colour)[columns].to_numpy().tolist() == [[mean, 2 * mean, 0]]


@st.composite
def any_candidates(draw):
    count = draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    corner = rng.integers(0, (15, 25), (count, 2))
    size = rng.integers(0, 6, (count, 2))
    boxes = np.concatenate([corner, np.minimum(corner + size, SHAPE)], axis=1)
    return candidates_of(boxes, scores=rng.random(count), stability=rng.random(count))


@settings(max_examples=60, deadline=None)
@given(any_candidates(), st.integers(1, 6), st.floats(0, 1), st.floats(0, 1))
def test_labels_table_and_masks_always_agree(candidates, min_area, max_overlap, min_score):
    chosen = FilterSettings(min_area=min_area, max_overlap=max_overlap, min_score=min_score)
    found = resolve(candidates, chosen)
    numbers = list(range(1, len(found) + 1))
    assert np.unique(found.labels[found.labels > 0]).tolist() == numbers
    assert found.table["label"].tolist() == numbers
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= min_score).all()
    np.testing.assert_array_equal(found.labels, painted(found.masks))
    for row, mask in zip(found.table.itertuples(), found.masks, strict=True):
        visible = found.labels == row.label
        assert row.area == np.count_nonzero(visible) >= min_area
        assert mask.area - row.area <= max_overlap * mask.area
        assert visible[row.y0 : row.y1, row.x0 : row.x1].sum() == row.area


def painted(masks):
    """Labels of masks that come best first, by painting the best one last."""
    labels = np.zeros(SHAPE, int)
    for label in range(len(masks), 0, -1):
        labels[masks[label - 1].to_array(SHAPE)] = label
    return labels
