import importlib

import pytest
import torch
from safetensors import safe_open

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.models.detector import import_ultralytics
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam
from napari_mobilesam.zoo.export import export_model

POINT = torch.tensor([[[300.0, 500.0]]])
LABEL = torch.tensor([[1]])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_model("micro", tmp_path_factory.mktemp("export") / "my_mobile_sam.pt")


@pytest.fixture(scope="module")
def image():
    return torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def ours(image):
    """Embedding, low-resolution logits and predicted IoU of one point."""
    sam = load_sam(get_card("micro"))
    with torch.inference_mode():
        embedding = sam.encode(image)
        logits, iou = sam.decode(
            embedding, points_xy=POINT, point_labels=LABEL, multimask=True, input_size=1024
        )
    return embedding, logits, iou


@pytest.fixture(scope="module")
def official(exported):
    sam = importlib.import_module("mobile_sam").sam_model_registry["vit_t"](str(exported))
    return sam.eval()  # as its README says; TinyViT gathers its attention biases here


@pytest.fixture(scope="module")
def ultralytics(exported):
    import_ultralytics()
    return importlib.import_module("ultralytics").SAM(str(exported)).model.eval()


@pytest.mark.parametrize("software", ["official", "ultralytics"])
def test_other_software_computes_the_same(software, request, image, ours):
    sam = request.getfixturevalue(software)
    with torch.inference_mode():
        embedding = sam.image_encoder(image)
        sparse, dense = sam.prompt_encoder(points=(POINT, LABEL), boxes=None, masks=None)
        logits, iou = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
    for found, expected in zip((embedding, logits, iou), ours, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("file_format", ["mobile_sam", "safetensors"])
def test_exported_file_loads_here(file_format, tmp_path):
    path = tmp_path / ("x.pt" if file_format == "mobile_sam" else "x.safetensors")
    export_model(get_card("micro"), path, file_format)
    expected = load_sam(get_card("micro")).state_dict()
    found = load_sam(get_card(str(path))).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_safetensors_say_where_they_come_from(tmp_path):
    path = export_model("lite_medsam", tmp_path / "x.safetensors", "safetensors")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["architecture"] == "tiny_vit_unstrided"
    assert metadata["licence"] == "Apache-2.0"


def test_mobile_sam_format_holds_no_other_architecture(tmp_path):
    with pytest.raises(SettingsError, match='Choose the format "safetensors"'):
        export_model("lite_medsam", tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


def test_unknown_format(tmp_path):
    with pytest.raises(SettingsError, match="got 'onnx'"):
        export_model("micro", tmp_path / "x.onnx", "onnx")
