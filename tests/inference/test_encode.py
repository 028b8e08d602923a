import numpy as np
import pytest
from segment_anything.utils.transforms import ResizeLongestSide

from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.inference.encode import embed_plane, resize_to_input

NOISE = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(90, 140), (140, 90), (64, 64), (128, 128), (7, 300), (500, 3)])
def test_planes_are_resized_as_sam_does(shape):
    image = np.resize(NOISE, (*shape, 3))
    expected = ResizeLongestSide(128).apply_image(image)
    np.testing.assert_array_equal(resize_to_input(image, InputFrame(shape, 128)), expected)


def test_a_line_of_pixels_keeps_one_row():
    line = np.full((1, 10_000, 3), 77, np.uint8)
    resized = resize_to_input(line, InputFrame((1, 10_000), 128))
    assert resized.shape == (1, 128, 3)
    assert (resized == 77).all()


def test_an_embedding_knows_its_plane_and_its_model(engine):
    embedding = embed_plane(engine, NOISE, model="disk", input_size=256)
    assert embedding.model == "disk"
    assert embedding.plane_shape == (90, 140)
    assert embedding.frame == InputFrame((90, 140), 256, logits_stride=4)
    assert embedding.features.shape == (256, 16, 16)
    assert embedding.features.dtype == np.float32


def test_the_encoder_sees_8_bit_rgb_within_the_input(engine):
    stack = NOISE.astype(np.float64)[..., [0, 1, 2, 0, 1]]
    embed_plane(engine, stack, model="disk", input_size=256, channels=(2,), limits=(0, 255))
    (seen,) = engine.encoded
    assert seen.shape == (165, 256, 3)
    assert seen.dtype == np.uint8
    blue = resize_to_input(NOISE[..., [2, 2, 2]], InputFrame((90, 140), 256))
    np.testing.assert_array_equal(seen, blue)


def test_type_and_scale_of_the_intensities_do_not_matter(engine):
    grey = NOISE[..., 0]
    for same in (grey, grey.astype(np.uint16) * 16, grey / 255 - 7, np.stack([grey] * 3, axis=-1)):
        embed_plane(engine, same, model="disk", input_size=256)
    for seen in engine.encoded[1:]:
        np.testing.assert_array_equal(seen, engine.encoded[0])
