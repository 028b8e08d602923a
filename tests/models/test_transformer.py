import torch

from napari_mobilesam.models.transformer import TwoWayTransformer


@torch.inference_mode()
def test_a_shared_image_gives_what_copies_of_it_give(randomize):
    transformer = randomize(TwoWayTransformer(32, heads=4, hidden=64))
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randn(5, 7, 32, generator=generator)
    image = torch.randn(1, 12, 32, generator=generator)
    encoding = torch.randn(1, 12, 32, generator=generator)

    shared = transformer(tokens, image, encoding)
    copied = transformer(tokens, image.repeat(5, 1, 1), encoding)

    for with_one, with_copies in zip(shared, copied, strict=True):
        torch.testing.assert_close(with_one, with_copies, atol=1e-5, rtol=0)
    assert shared[1].shape == (5, 12, 32)
