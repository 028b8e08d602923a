"""The decoder against SAM's own, at a small input; test_sam.py repeats this at 1024 pixels."""

from importlib.resources import as_file, files

import pytest
import torch
from safetensors.torch import load_file

from napari_mobilesam.models.mask_decoder import MaskDecoder
from napari_mobilesam.models.prompt_encoder import PromptEncoder

INPUT_SIZE, GRID = 256, 16


@pytest.fixture(scope="module")
def bundled_weights():
    """SAM ViT-H's frozen prompt encoder and mask decoder, as the package ships them."""
    weights = files("napari_mobilesam") / "zoo" / "weights" / "decoder.safetensors"
    with as_file(weights) as path:
        return {name: tensor.float() for name, tensor in load_file(path).items()}


@pytest.fixture(scope="module")
def reference(mobile_sam, bundled_weights):
    modeling = mobile_sam.modeling
    prompt_encoder = modeling.PromptEncoder(256, (GRID, GRID), (INPUT_SIZE, INPUT_SIZE), 16)
    transformer = modeling.TwoWayTransformer(2, 256, 8, 2048)
    decoder = modeling.MaskDecoder(transformer_dim=256, transformer=transformer)
    return _load(prompt_encoder, decoder, bundled_weights)


@pytest.fixture(scope="module")
def ours(bundled_weights):
    return _load(PromptEncoder(), MaskDecoder(), bundled_weights)


@pytest.mark.parametrize("multimask", [True, False], ids=["three masks", "one mask"])
@pytest.mark.parametrize(
    ("points", "boxes", "masks", "count"),
    [
        (1, False, False, 1),
        (5, False, False, 3),
        (0, True, False, 1),
        (2, True, False, 2),
        (1, False, True, 2),
        (0, False, True, 2),
        (0, True, False, 64),
    ],
)
@torch.inference_mode()
def test_agrees_with_sam_on_its_frozen_weights(
    points, boxes, masks, count, multimask, reference, ours
):
    generator = torch.Generator().manual_seed(3)
    embedding = torch.randn(1, 256, GRID, GRID, generator=generator)
    xy = torch.rand(count, points, 2, generator=generator) * INPUT_SIZE if points else None
    labels = torch.randint(0, 2, (count, points), generator=generator) if points else None
    xyxy = torch.rand(count, 4, generator=generator) * INPUT_SIZE if boxes else None
    logits = torch.randn(count, 1, 64, 64, generator=generator) * 8 if masks else None

    prompt_encoder, decoder = reference
    sparse, dense = prompt_encoder((xy, labels) if points else None, xyxy, logits)
    expected = decoder(embedding, prompt_encoder.get_dense_pe(), sparse, dense, multimask)

    prompt_encoder, decoder = ours
    sparse, dense = prompt_encoder(
        points_xy=xy, point_labels=labels, boxes_xyxy=xyxy, mask_input=logits, input_size=INPUT_SIZE
    )
    encoding = prompt_encoder.grid_encoding(GRID, GRID)
    image = decoder.prepare(embedding, encoding, prompt_encoder.no_mask_embed.weight)
    got = decoder(image, sparse, dense if masks else None, multimask=multimask)

    assert expected[0].shape == (count, 3 if multimask else 1, 64, 64)
    for ours_, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours_, theirs, atol=1e-4, rtol=1e-5)


def _load(prompt_encoder, decoder, weights):
    for module, prefix in ((prompt_encoder, "prompt_encoder."), (decoder, "mask_decoder.")):
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        module.load_state_dict(own)
        module.eval()
    return prompt_encoder, decoder
