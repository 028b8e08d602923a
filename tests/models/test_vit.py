"""SAM's encoder at other sizes than 1024 pixels, where test_sam.py compares the whole model."""

import pytest
import torch

from napari_mobilesam.models.sam import build_sam
from napari_mobilesam.models.vit import ViT


@pytest.fixture(scope="module")
def reference(randomize):
    """A shallow, narrow encoder of SAM's own, with windowed and global blocks."""
    from segment_anything.modeling import ImageEncoderViT

    return randomize(
        ImageEncoderViT(
            embed_dim=64,
            depth=8,
            num_heads=2,
            norm_layer=lambda channels: torch.nn.LayerNorm(channels, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1, 3, 5, 7),
        )
    )


@pytest.fixture(scope="module")
def encoder(reference):
    encoder = ViT(64, depth=8, heads=2).eval()
    encoder.load_state_dict(reference.state_dict())
    return encoder


@torch.inference_mode()
def test_agrees_with_sam_when_positions_are_interpolated(reference, encoder):
    image = torch.randn(1, 3, 256, 384, generator=torch.Generator().manual_seed(1))
    full = reference.pos_embed
    resized = torch.nn.functional.interpolate(full.permute(0, 3, 1, 2), (16, 24), mode="bicubic")
    tokens = reference.patch_embed(image) + resized.permute(0, 2, 3, 1)
    for block in reference.blocks:  # SAM interpolates relative positions by itself
        tokens = block(tokens)
    expected = reference.neck(tokens.permute(0, 3, 1, 2))

    embedding = encoder(image)

    assert embedding.shape == (1, 256, 16, 24)
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_parameters_are_those_of_sam(name):
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        ours, theirs = build_sam(name), sam_model_registry[name]()
    assert _shapes(ours) == _shapes(theirs)
    ours_global = [block.window is None for block in ours.image_encoder.blocks]
    assert ours_global == [block.window_size == 0 for block in theirs.image_encoder.blocks]


def _shapes(module):
    return {name: tensor.shape for name, tensor in module.state_dict().items()}
