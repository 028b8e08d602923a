import numpy as np
import pytest

from napari_mobilesam.core import planes
from napari_mobilesam.core.errors import ImageError, SettingsError
from napari_mobilesam.core.planes import select_channels, to_rgb8

RAMP = np.linspace(0, 1, 12 * 11).reshape(12, 11)


@pytest.mark.parametrize(
    "image",
    [
        (RAMP * 255).astype(np.uint8),
        (RAMP * 4095).astype(np.uint16),
        (RAMP * 65535 - 32768).astype(np.int16),
        RAMP.astype(np.float16),
        RAMP * 1e-9,
        RAMP * 1e12 - 5e11,
        RAMP * 1e-50,
        RAMP + 1e9,
        (RAMP * 200).astype(np.int32) + 2_000_000_000,
        np.broadcast_to(RAMP, (12, 11)),
        RAMP[::-1, ::-1],
    ],
)
def test_any_real_type_uses_the_whole_range(image):
    rgb = to_rgb8(image)
    assert rgb.shape == (12, 11, 3)
    assert rgb.dtype == np.uint8
    assert (rgb.min(), rgb.max()) == (0, 255)
    assert (rgb == rgb[..., :1]).all()
    assert len(np.unique(rgb)) >= 100


def test_percentiles_do_not_see_a_linear_change():
    noise = np.random.default_rng(0).normal(size=(40, 40))
    np.testing.assert_allclose(
        to_rgb8(noise).astype(int), to_rgb8(37 * noise - 1000).astype(int), atol=1
    )


def test_bool_becomes_black_and_white():
    np.testing.assert_array_equal(to_rgb8(RAMP > 0.5)[..., 0], np.where(RAMP > 0.5, 255, 0))


def test_dtype_limits_leave_8_bits_alone():
    image = np.random.default_rng(1).integers(0, 255, (9, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb8(image, "dtype"), image)
    assert to_rgb8(image, "dtype").dtype == np.uint8
    assert to_rgb8(np.full((2, 2), 0xFFFF, np.uint16), "dtype").min() == 255
    assert to_rgb8(np.full((2, 2), 0.5), "dtype").max() == 128


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float16, np.float64])
def test_given_limits_clip(dtype):
    image = np.array([[0, 10, 15, 20, 99]], dtype)
    np.testing.assert_array_equal(to_rgb8(image, (10, 20))[0, :, 0], [0, 0, 128, 255, 255])


def test_limits_of_8_bits_clip_other_types():
    np.testing.assert_array_equal(
        to_rgb8(np.array([[-5, 0, 127, 255, 300]]), (0, 255))[0, :, 0], [0, 0, 127, 255, 255]
    )


def test_limits_may_be_an_array():
    quantiles = np.quantile(RAMP, (0.1, 0.9))
    np.testing.assert_array_equal(to_rgb8(RAMP, quantiles), to_rgb8(RAMP, tuple(quantiles)))


def test_large_planes_are_judged_by_a_sample():
    plane = np.add.outer(np.arange(3000), np.arange(3000)).astype(np.uint16)
    expected = np.percentile(plane, planes.PERCENTILES)
    np.testing.assert_allclose(planes.intensity_limits(plane, "percentile"), expected, atol=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 7, -3.5, 1e20, -3.4e38, np.nan, np.inf, -np.inf])
def test_constant_planes_are_black(value, dtype):
    plane = np.full((5, 5), value, dtype)
    assert not to_rgb8(plane).any() or value == np.inf
    low, high = planes.intensity_limits(plane, "percentile")
    assert low == (plane[0, 0] if np.isfinite(value) else 0)
    assert high == low + max(1, abs(low))


def test_what_is_not_finite_does_not_move_the_limits():
    broken = RAMP.copy()
    broken[0, :3] = np.nan, np.inf, -np.inf
    rgb = to_rgb8(broken)
    np.testing.assert_array_equal(rgb[0, :3, 0], [0, 255, 0])
    assert len(np.unique(rgb)) > 100


def test_a_few_bright_pixels_on_nothing_stay_visible():
    sparse = np.zeros((200, 200))
    sparse[100, 100] = 50
    assert to_rgb8(sparse)[100, 100, 0] == 255


def test_colour_keeps_its_balance_and_alpha_is_ignored():
    rgba = np.zeros((4, 4, 4))
    rgba[..., 0], rgba[0, 0, 1], rgba[..., 3] = 1.0, 0.5, 9.0
    rgb = to_rgb8(rgba)
    assert rgb[0, 0].tolist() == [255, 128, 0]


def test_chosen_channels_are_stretched_one_by_one():
    stack = np.stack([RAMP, 1000 * RAMP, RAMP, RAMP, -RAMP], axis=-1)
    rgb = to_rgb8(stack, channels=(1, 0))
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 1])
    assert rgb.shape == (12, 11, 3)
    assert not rgb[..., 2].any()
    three = to_rgb8(stack, channels=(4, 0, -5))
    np.testing.assert_array_equal(three, np.stack([255 - rgb[..., 0], *[rgb[..., 0]] * 2], -1))
    np.testing.assert_array_equal(to_rgb8(stack, channels=[-1])[..., 0], to_rgb8(-RAMP)[..., 0])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros(5),
        np.zeros((2, 2, 2, 2)),
        np.zeros((1, 1, 1, 1, 1)),
        np.zeros((9, 9, 6)),
        np.zeros((0, 4)),
        np.zeros((3, 3), complex),
        np.zeros((3, 3), object),
        np.zeros((3, 3), "timedelta64[s]"),
        np.array([["a"]]),
        [[1, 2], [3]],
        None,
        np.zeros((4, 4, 2)),
    ],
)
def test_what_is_no_plane_is_refused_with_a_reason_and_a_remedy(image):
    with pytest.raises(ImageError) as caught:
        select_channels(image)
    assert caught.value.problem
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.remedy


@pytest.mark.parametrize("count", [2, 5])
def test_channels_without_agreed_colours_must_be_chosen(count):
    with pytest.raises(ImageError, match=f"{count} channels has no agreed colours"):
        to_rgb8(np.zeros((4, 4, count)))


def test_one_of_many_channels_can_be_chosen():
    stack = np.zeros((12, 11, 9))
    stack[..., 8] = RAMP
    np.testing.assert_array_equal(to_rgb8(stack, channels=(8,)), to_rgb8(RAMP))


@pytest.mark.parametrize("channels", [(), (0, 1, 2, 3), (5,), (-6,), 1, (0.5,), "rg"])
def test_channels_that_are_not_there(channels):
    with pytest.raises(SettingsError, match="channel numbers from 0 to 4") as caught:
        to_rgb8(np.zeros((3, 3, 5)), channels=channels)
    assert caught.value.got == repr(channels)


@pytest.mark.parametrize("limits", [(5, 5), (9, 1), (np.nan, 1), "bright", (1, 2, 3), 4, None])
def test_limits_that_make_no_sense(limits):
    with pytest.raises(SettingsError, match="intensity limits") as caught:
        to_rgb8(RAMP, limits)
    assert caught.value.expected
    assert caught.value.got == repr(limits)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_counted_percentiles_are_those_of_numpy(dtype, size):
    values = np.random.default_rng(size).integers(0, np.iinfo(dtype).max, size).astype(dtype)
    expected = np.percentile(values.astype(float), planes.PERCENTILES)
    if expected[0] < expected[1]:
        plane = values.reshape(1, -1)
        assert np.allclose(planes.intensity_limits(plane, "percentile"), expected)


def test_limits_beyond_single_precision():
    ramp = np.array([[0.0, 1.7e38, 3.4e38]], np.float32)
    assert to_rgb8(ramp, (0.0, 3.4e38))[0, :, 0] == pytest.approx([0, 128, 255], abs=1)
    ramp = np.array([[-1.7e308, 0.0, 1.7e308]])
    assert to_rgb8(ramp, (-1.7e308, 1.7e308))[0, :, 0] == pytest.approx([0, 128, 255], abs=1)
    assert to_rgb8(ramp)[0, :, 0] == pytest.approx([0, 128, 255], abs=1)
    assert to_rgb8(ramp, (0.0, 1e-3))[0, :, 0] == pytest.approx([0, 0, 255])
    step = np.array([[0, 1]], np.float32)
    assert to_rgb8(step, (-1e300, 1e300))[0, :, 0].tolist() == [128, 128]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_limits_closer_than_single_precision_can_tell(dtype):
    step = np.array([[-1, 0, 1]], dtype)
    assert to_rgb8(step, (0.0, 1e-50))[0, :, 0].tolist() == [0, 0, 255]
