import importlib
import importlib.util
import sys

import pytest
import torch

from napari_mobilesam.models.efficientvit import EfficientViT
from napari_mobilesam.models.sam import build_sam

DEPTHS, NECK_DEPTH = (1, 2, 2, 8, 8), 12


@pytest.fixture(scope="module")
def reference(randomize):
    """EfficientViT-L2 as mobilesam-lite puts it together for MobileSAMv2's l2.pt."""
    folder = importlib.util.find_spec("mobilesam_lite").submodule_search_locations[0]
    sys.path.append(folder)  # where its modules look for one another
    try:
        backbone = importlib.import_module("efficientvit.models.efficientvit.backbone")
        sam = importlib.import_module("efficientvit.models.efficientvit.sam")
        norm = importlib.import_module("efficientvit.models.nn.norm")
    finally:
        sys.path.remove(folder)
    encoder = sam.EfficientViTSamImageEncoder(
        backbone.EfficientViTLargeBackbone([32, 64, 128, 256, 512], list(DEPTHS)),
        sam.SamNeck(["stage4", "stage3", "stage2"], [512, 256, 128], 256, NECK_DEPTH, 1, "fmbconv"),
    )
    norm.set_norm_eps(encoder, 1e-6)
    return randomize(encoder)


@torch.inference_mode()
def test_l2_agrees_with_mobilesam_lite(reference):
    encoder = EfficientViT(DEPTHS, neck_depth=NECK_DEPTH).eval()
    encoder.load_state_dict(reference.state_dict())
    image = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder(image), reference(image), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_embedding_of_a_small_input_that_is_not_square():
    encoder = EfficientViT((1, 1, 1, 1, 1), neck_depth=1).eval()
    assert encoder(torch.zeros(2, 3, 64, 192)).shape == (2, 256, 4, 12)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("efficientvit_l0", 34.8), ("efficientvit_l1", 47.7), ("efficientvit_l2", 61.3)],
)
def test_sizes_are_those_of_the_paper(name, millions):
    """Parameters as in table 1 of EfficientViT-SAM (arXiv 2402.05008)."""
    with torch.device("meta"):
        sam = build_sam(name)
    assert sum(p.numel() for p in sam.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
