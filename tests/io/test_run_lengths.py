import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.io.run_lengths import counts_of, from_text, mask_of, to_text


@settings(deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_text_is_what_pycocotools_writes(pixels):
    counts = counts_of(CroppedMask(0, 0, pixels), pixels.shape)
    text = to_text(counts)
    encoded = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert text == encoded["counts"].decode()
    assert from_text(text) == counts
    np.testing.assert_array_equal(mask_of(counts, pixels.shape).to_array(pixels.shape), pixels)


def test_long_runs_survive():
    shape = (3000, 2000)
    pixels = np.zeros(shape, dtype=bool)
    pixels[::700, ::300] = True
    pixels[:, 1000:1500] = True
    counts = counts_of(CroppedMask(0, 0, pixels), shape)
    encoded = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert to_text(counts) == encoded["counts"].decode()
    np.testing.assert_array_equal(mask_of(counts, shape).to_array(shape), pixels)


@pytest.mark.parametrize("counts", [[], [5], [4, 6], [12, -2, 2], [3, 10]])
def test_counts_of_another_plane_are_refused(counts):
    with pytest.raises(ValueError, match="3 x 4 pixels"):
        mask_of(counts, (3, 4))
