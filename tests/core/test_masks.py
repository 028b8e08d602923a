import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.utils.amg import calculate_stability_score
from torch.nn.functional import interpolate

from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.masks import CroppedMask, MaskBatch

SHAPES = [(1, 1), (1, 10_000), (1, 400), (300, 2), (37, 53), (128, 128), (200, 90), (600, 900)]


def smooth_logits(seed, count, side):
    coarse = torch.randn(count, 1, 5, 5, generator=torch.Generator().manual_seed(seed)) * 3
    return interpolate(coarse, (side, side), mode="bicubic")[:, 0].numpy()


def batch_of(plane_shape, count=2, input_size=128, seed=0):
    frame = InputFrame(plane_shape, input_size)
    logits = smooth_logits(seed, count, frame.logits_size)
    return MaskBatch(logits, np.linspace(0.9, 0.5, count, dtype=np.float32), frame)


def as_sam_does(batch):
    """Resize to the input, cut off the padding, resize to the plane."""
    frame = batch.frame
    size = (frame.input_size, frame.input_size)
    large = interpolate(torch.from_numpy(batch.low_res_logits)[None], size, mode="bilinear")
    rows, columns = frame.resized_shape
    return interpolate(large[..., :rows, :columns], frame.plane_shape, mode="bilinear")[0].numpy()


@pytest.mark.parametrize("plane_shape", SHAPES)
def test_logits_are_those_of_sams_two_resizings(plane_shape):
    batch = batch_of(plane_shape)
    expected = as_sam_does(batch)
    for index in range(len(batch)):
        np.testing.assert_allclose(batch.logits(index), expected[index], atol=1e-4)
    np.testing.assert_array_equal(batch.to_array(), [batch.logits(i) > 0 for i in range(2)])


def test_a_window_is_a_cut_of_the_whole():
    batch = batch_of((90, 140))
    np.testing.assert_allclose(
        batch.logits(1, (13, 20, 60, 21)), batch.logits(1)[13:60, 20:21], atol=1e-5
    )
    assert batch.logits(0).dtype == np.float32


@pytest.mark.parametrize(
    ("window", "shape"), [((5, 5, 5, 9), (0, 4)), ((5, 5, 9, 5), (4, 0)), ((9, 9, 5, 5), (0, 0))]
)
def test_an_empty_window_has_empty_logits(window, shape):
    logits = batch_of((90, 140)).logits(0, window)
    assert logits.shape == shape
    assert logits.dtype == np.float32


@st.composite
def sparse_batches(draw):
    """One mask of a few scattered logits, on any plane, from smaller to larger than the input."""
    shape = draw(st.tuples(st.integers(1, 150), st.integers(1, 150)))
    frame = InputFrame(shape, 64, draw(st.sampled_from([1, 4])))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    side = (1, frame.logits_size, frame.logits_size)
    logits = np.where(rng.random(side) < draw(st.floats(0, 0.1)), rng.normal(0, 3, side), -3)
    return MaskBatch(logits.astype(np.float32), np.ones(1, np.float32), frame)


@settings(max_examples=60, deadline=None)
@given(sparse_batches(), st.floats(-2, 2))
def test_support_cuts_nothing_off(batch, threshold):
    above = batch.logits(0) > threshold + 1e-4
    y0, x0, y1, x1 = batch.support(0, threshold)
    above[y0:y1, x0:x1] = False
    assert not above.any()


@settings(max_examples=60, deadline=None)
@given(sparse_batches())
def test_a_crop_is_all_of_the_mask_and_no_more(batch):
    whole = as_sam_does(batch)[0]
    if np.abs(whole).min() < 1e-5:  # too near the threshold for two orders of summation
        whole = batch.logits(0)
    mask, stability = batch.crop_with_stability(0)
    np.testing.assert_array_equal(mask.to_array(batch.frame.plane_shape), whole > 0)
    np.testing.assert_array_equal(mask.pixels, batch.crop(0).pixels)
    for edge in (mask.pixels[:1], mask.pixels[-1:], mask.pixels[:, :1], mask.pixels[:, -1:]):
        assert edge.any() == bool(mask.area)
    assert 0 <= stability <= 1


@pytest.mark.parametrize("plane_shape", SHAPES)
def test_stability_is_sams(plane_shape):
    batch = batch_of(plane_shape)
    full_size = torch.from_numpy(as_sam_does(batch))
    expected = calculate_stability_score(full_size, mask_threshold=0.0, threshold_offset=1.0)
    ours = [batch.crop_with_stability(index)[1] for index in range(len(batch))]
    np.testing.assert_allclose(ours, expected.nan_to_num(0.0), atol=2 / np.prod(plane_shape))


def test_empty_masks_have_no_pixels_and_no_stability():
    batch = batch_of((40, 60))
    empty = MaskBatch(np.full_like(batch.low_res_logits, -9), batch.scores, batch.frame)
    mask, stability = empty.crop_with_stability(0)
    assert mask.area == 0
    assert mask.pixels.shape == (0, 0)
    assert mask.pixels.dtype == bool
    assert stability == 0.0
    assert not empty.to_array().any()


def test_within_limits_a_mask_to_a_window():
    batch = batch_of((80, 80))
    window = (10, 20, 50, 60)
    expected = np.zeros((80, 80), bool)
    expected[10:50, 20:60] = batch.to_array()[0, 10:50, 20:60]
    np.testing.assert_array_equal(batch.crop(0, window).to_array((80, 80)), expected)


def as_it_is(logits):
    """One mask on a plane whose pixels are its logits."""
    frame = InputFrame(logits.shape, len(logits), logits_stride=1)
    return MaskBatch(logits[np.newaxis].astype(np.float32), np.ones(1, np.float32), frame)


SCATTERED = np.random.default_rng(0).choice([-2, -1, -0.5, 0, 0.5, 1, 2], (64, 64))
SCATTERED[:, :20] = SCATTERED[:5] = -2
SCATTERED[60:, 20:] = SCATTERED[5:, 40:] = -0.5


@pytest.mark.parametrize("window", [None, (2, 10, 50, 50), (0, 0, 20, 30), (30, 38, 64, 64)])
def test_what_is_at_a_threshold_is_below_it(window):
    batch = as_it_is(SCATTERED)
    y0, x0, y1, x1 = window or (0, 0, 64, 64)
    inside = SCATTERED[y0:y1, x0:x1]
    expected = np.zeros((64, 64), bool)
    expected[y0:y1, x0:x1] = inside > 0
    mask, stability = batch.crop_with_stability(0, window)
    np.testing.assert_array_equal(mask.to_array((64, 64)), expected)
    np.testing.assert_array_equal(batch.crop(0, window).to_array((64, 64)), expected)
    assert stability == (inside > 1).sum() / (inside > -1).sum()


def test_a_window_beside_a_mask_holds_nothing_of_it():
    batch = as_it_is(SCATTERED)
    mask, stability = batch.crop_with_stability(0, (0, 0, 5, 20))
    assert (mask.area, stability) == (0, 0)


@pytest.mark.parametrize("plane_shape", [(64, 64), (40, 64), (300, 200)])
def test_support_is_what_the_logits_above_the_threshold_reach(plane_shape):
    frame = InputFrame(plane_shape, 64)
    logits = np.zeros((1, 16, 16), np.float32)
    batch = MaskBatch(logits, np.ones(1, np.float32), frame)
    assert batch.support(0) == (0, 0, 0, 0)
    logits[0, 3, 6] = 1
    rows, columns = np.nonzero(batch.logits(0) > 0)
    reached = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    assert batch.support(0) == reached


def test_choosing_masks_keeps_their_scores():
    batch = batch_of((30, 30), count=5)
    assert len(batch[1]) == 1
    np.testing.assert_array_equal(batch[np.array([3, 1])].scores, batch.scores[[3, 1]])
    np.testing.assert_array_equal(batch[1:3].low_res_logits, batch.low_res_logits[1:3])
    assert batch[1:3].frame == batch.frame


def test_trim_finds_the_bounding_box():
    pixels = np.zeros((6, 7), bool)
    pixels[2, 3] = pixels[4, 5] = True
    mask = CroppedMask(10, 20, pixels).trim()
    assert mask.box == (12, 23, 15, 26)
    assert mask.area == 2
    np.testing.assert_array_equal(mask.trim().pixels, mask.pixels)
