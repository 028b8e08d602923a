import pytest
import torch

from napari_mobilesam.models.tiny_vit import TinyViT

PREFIX = "image_encoder."
ARCHITECTURE = {
    "embed_dims": [64, 128, 160, 320],
    "depths": [2, 2, 6, 2],
    "num_heads": [2, 4, 5, 10],
    "window_sizes": [7, 7, 14, 7],
    "drop_path_rate": 0.0,
}


@pytest.fixture(scope="module")
def encoder(mobile_sam_weights):
    encoder = TinyViT().eval()
    encoder.load_state_dict(
        {k.removeprefix(PREFIX): v for k, v in mobile_sam_weights.items() if k.startswith(PREFIX)}
    )
    return encoder


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (640, 384)])
@torch.inference_mode()
def test_agrees_with_a_reference_built_for_the_size(size, encoder, mobile_sam, mobile_sam_v1):
    reference = mobile_sam.modeling.TinyViT(img_size=size, **ARCHITECTURE)
    reference.load_state_dict(mobile_sam_v1.image_encoder.state_dict())
    reference.eval()
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))

    # The reference's own forward is written for 1024 pixels alone.
    tokens = reference.patch_embed(image)
    for layer in reference.layers:
        tokens = layer(tokens)
    grid = (size[0] // 16, size[1] // 16)
    expected = reference.neck(tokens.transpose(1, 2).unflatten(2, grid))

    torch.testing.assert_close(encoder(image), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("strided", "stride"), [(True, 16), (False, 4)])
@torch.inference_mode()
def test_embedding_has_the_stated_stride(strided, stride):
    encoder = TinyViT(strided_stem=strided).eval()
    embedding = encoder(torch.zeros(1, 3, 64, 128))
    assert encoder.embedding_stride == stride
    assert embedding.shape == (1, 256, 64 // stride, 128 // stride)


def test_gradients_reach_every_parameter():
    encoder = TinyViT()
    encoder(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    without = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert without == []
