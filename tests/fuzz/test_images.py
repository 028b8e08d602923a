"""Whatever array is given as an image becomes RGB, and objects of it, or an error of ours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mobilesam import load_model
from napari_mobilesam.core.planes import to_rgb8

from .invariants import check_instances
from .profiles import attempt, cases

DTYPES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", ">u2", ">f4", "complex64", "object", "U3", "M8[s]"),
)
SHAPES = [(1, 1), (1, 10_000), (10_000, 1), (0, 5), (7,), (), (2, 3, 4, 5), (9, 9, 6), (2, 64, 64)]
FILLS = ("noise", "constant", "ramp", "not finite", "extremes", "all NaN")


@st.composite
def images(draw, shapes=SHAPES):
    """Arrays of any type, shape and content, most of them planes."""
    sides = st.integers(1, 70)
    plane = st.tuples(sides, sides) | st.tuples(sides, sides, st.integers(1, 5))
    shape = draw(st.sampled_from(shapes) | plane)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    fill = draw(st.sampled_from(FILLS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind not in "biuf":
        return np.zeros(shape, dtype)
    return content(rng, fill, shape, dtype).astype(dtype)


def content(rng, fill, shape, dtype):
    """Values of a kind, within what the type can hold."""
    low, high = span(dtype)
    values = rng.random(shape) * rng.choice([1.0, 255.0, min(float(high), 1e30)])
    if fill == "constant":
        return np.full(shape, rng.choice([0.0, 1.0, values.flat[0] if values.size else 7.0]))
    if fill == "ramp":
        return np.linspace(0, 255 if high > 255 else 1, values.size).reshape(shape)
    if fill == "extremes":
        return rng.choice(np.array([low, high, 0], dtype), size=shape)
    if dtype.kind == "f" and fill == "not finite" and values.size:
        values = np.minimum(values, high / 2)
        return np.where(values < np.median(values), rng.choice([np.nan, np.inf, -np.inf]), values)
    if dtype.kind == "f" and fill == "all NaN":
        return np.full(shape, np.nan)
    return np.minimum(values, high / 2)


def span(dtype):
    """Least and greatest value of a type."""
    if dtype.kind == "b":
        return False, True
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return limits.min, limits.max


limits = (
    st.sampled_from(["percentile", "dtype"])
    | st.tuples(st.floats(), st.floats())
    | st.tuples(st.integers(0, 99), st.integers(100, 2**16)).map(lambda pair: tuple(pair))
)
channels = st.none() | st.lists(st.integers(-6, 6), max_size=4)


@cases(60)
@given(images(), limits, channels)
def test_any_array_becomes_rgb_or_an_error_of_ours(image, limits, channels):
    before = image.copy()
    rgb = attempt(lambda: to_rgb8(image, limits, channels))
    if rgb is None:
        return
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*image.shape[:2], 3)
    if image.dtype.kind in "biuf":
        np.testing.assert_array_equal(image, before)


@pytest.fixture(scope="module")
def small():
    """The bundled model, at the smallest input size."""
    return load_model("micro", device="cpu", input_size=64)


@st.composite
def everything_settings(draw):
    """Single settings of everything mode, in range."""
    fractions = st.floats(0, 1)
    return draw(
        st.fixed_dictionaries(
            {"image_size": st.just(64)},
            optional={
                "confidence": st.floats(0, 0.3),
                "nms_iou": fractions,
                "max_objects": st.integers(1, 40),
                "min_score": st.floats(0, 0.9),
                "min_stability": st.floats(0, 0.9),
                "min_area": st.integers(1, 30),
                "max_area": st.integers(1, 3000),
                "max_overlap": fractions,
                "top_up": st.booleans(),
            },
        )
    )


grids = st.fixed_dictionaries(
    {
        "sampler": st.just("grid"),
        "points_per_side": st.integers(1, 5),
        "grid_min_score": st.floats(0, 0.6),
        "grid_min_stability": st.floats(0, 0.6),
        "grid_nms_iou": st.floats(0, 1),
        "max_overlap": st.floats(0, 1),
    }
)


@cases(12)
@given(images(shapes=SHAPES[:3]), everything_settings() | grids)
def test_the_objects_of_any_image_are_what_they_are_said_to_be(small, image, changes):
    found = attempt(lambda: small.everything(image, **changes))
    if found is None:
        return
    check_instances(found, image.shape[:2], small.default_settings().changed(**changes))
