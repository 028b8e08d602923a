from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_mobilesam.core.errors import CheckpointError, DownloadError
from napari_mobilesam.models.detector import import_ultralytics
from napari_mobilesam.models.sam import build_sam
from napari_mobilesam.zoo.card import Local, WeightFile
from napari_mobilesam.zoo.catalog import BUNDLED_WEIGHTS, MICRO_DECODER, get_card
from napari_mobilesam.zoo.checkpoints import (
    architecture_of,
    card_for_file,
    load_detector,
    load_sam,
    verify,
)
from napari_mobilesam.zoo.download import cached_path

ENCODER, DECODER, DETECTOR = (
    BUNDLED_WEIGHTS / f"{part}.safetensors" for part in ("encoder", "decoder", "detector")
)


@pytest.fixture(scope="module")
def micro_weights():
    return load_file(ENCODER) | load_file(DECODER)


def of_file(path, name="mobile_sam", role="sam"):
    """The card of a model, with one of its files replaced."""
    card = get_card(name)
    return replace(card, files=(WeightFile(role, path.name, Local(path)), *card.files[1:]))


def test_micro_is_finite_and_in_single_precision():
    sam = load_sam(get_card("micro"))
    assert not sam.training
    assert not any(t.is_meta for t in (*sam.parameters(), *sam.buffers()))
    assert {parameter.dtype for parameter in sam.parameters()} == {torch.float32}
    with torch.inference_mode():
        embedding = sam.encode(torch.zeros(1, 3, 256, 256))
        logits, iou = sam.decode(
            embedding,
            points_xy=torch.tensor([[[128.0, 128.0]]]),
            point_labels=torch.tensor([[1]]),
            multimask=True,
            input_size=256,
        )
    assert embedding.isfinite().all()
    assert logits.isfinite().all()
    assert iou.isfinite().all()
    assert embedding.std() > 0


def test_micro_is_what_its_files_say(micro_weights):
    state = load_sam(get_card("micro")).state_dict()
    assert state.keys() == micro_weights.keys()
    assert all(
        torch.equal(state[name], tensor.to(state[name])) for name, tensor in micro_weights.items()
    )


def test_detector_of_micro():
    detector = load_detector(get_card("micro"))
    assert not detector.training
    with torch.inference_mode():
        proposals = detector(torch.zeros(1, 3, 64, 64))[0]
    assert proposals.shape == (1, 5, 8 * 8 + 4 * 4 + 2 * 2)
    assert proposals.isfinite().all()


def test_lite_medsam_from_the_package_that_ships_it():
    sam = load_sam(get_card("lite_medsam"))
    assert sam.normalization.scheme == "min_max"
    with torch.inference_mode():
        assert sam.encode(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 64, 64)


def test_mobile_sam_with_its_classifier(tmp_path, micro_weights):
    head = {"image_encoder.head.weight": torch.zeros(1000, 320)}
    torch.save(micro_weights | head, tmp_path / "mobile_sam.pt")
    sam = load_sam(of_file(tmp_path / "mobile_sam.pt"))
    assert sam.state_dict().keys() == micro_weights.keys()


def test_micro_sam_training_checkpoint(tmp_path, micro_weights):
    state = {f"sam.{name}": tensor for name, tensor in micro_weights.items()}
    torch.save({"model_state": state, "optimizer_state": {}}, tmp_path / "best.pt")
    sam = load_sam(of_file(tmp_path / "best.pt"))
    assert sam.state_dict().keys() == micro_weights.keys()


def test_prompt_guided_decoder_of_mobile_sam_v2(tmp_path, micro_weights):
    parts = {"PromtEncoder": "prompt_encoder.", "MaskDecoder": "mask_decoder."}
    nested = {
        name: {k.removeprefix(own): v for k, v in micro_weights.items() if k.startswith(own)}
        for name, own in parts.items()
    }
    torch.save(nested, tmp_path / "decoder.pt")
    card = get_card("micro")
    decoder = WeightFile("decoder", "decoder.pt", Local(tmp_path / "decoder.pt"))
    sam = load_sam(replace(card, files=(card.files[0], decoder)))
    assert sam.state_dict().keys() == micro_weights.keys()


def test_encoder_file_may_hold_more(tmp_path, micro_weights):
    save_file(micro_weights, tmp_path / "whole.safetensors")
    card = get_card("micro")
    encoder = WeightFile("encoder", "whole.safetensors", Local(tmp_path / "whole.safetensors"))
    load_sam(replace(card, files=(encoder, MICRO_DECODER)))


def test_checkpoint_of_another_architecture(tmp_path):
    save_file(build_sam("tiny_vit_unstrided").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_sam(of_file(tmp_path / "other.safetensors"))
    message = str(caught.value)
    assert "other.safetensors does not fit the model" in message
    assert "expected the sam parameters of tiny_vit, got " in message
    assert "image_encoder.patch_embed.seq.0.c.weight of shape " in message
    assert "It looks like tiny_vit_unstrided." in message
    assert len(message) < 1000


def test_checkpoint_of_another_kind():
    with pytest.raises(CheckpointError) as caught:
        load_sam(of_file(DETECTOR))
    assert "missing parameters (image_encoder." in str(caught.value)
    assert "It looks like" not in str(caught.value)


def test_missing_and_unexpected_parameters_are_named(tmp_path, micro_weights):
    weights = dict(micro_weights)
    weights["mask_decoder.extra"] = weights.pop("mask_decoder.iou_token.weight")
    save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_sam(of_file(tmp_path / "x.safetensors"))
    assert "1 missing parameter (mask_decoder.iou_token.weight)" in str(caught.value)
    assert "1 unexpected parameter (mask_decoder.extra)" in str(caught.value)


def test_detector_trained_with_masks_gives_its_boxes(tmp_path):
    import_ultralytics()
    from ultralytics.nn.tasks import SegmentationModel

    trained = SegmentationModel("yolov8n-seg.yaml", nc=1, verbose=False).eval()
    path = tmp_path / "seg.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in trained.state_dict().items()}, path)
    card = get_card("micro")
    file = WeightFile("detector", path.name, Local(path))
    detector = load_detector(replace(card, files=(*card.files[:-1], file)))
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        boxes, expected = detector(image)[0], trained(image)[0]
    expected = expected[0] if isinstance(expected, tuple) else expected
    torch.testing.assert_close(boxes, expected[:, :5])


def test_detector_of_another_size():
    card = get_card("micro")
    with pytest.raises(CheckpointError, match="the detector parameters of yolov8s"):
        load_detector(replace(card, detector="yolov8s"))


def test_truncated_checkpoint(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(ENCODER.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors cannot be read"):
        load_sam(of_file(path, "micro", "encoder"))


def test_verify_bundled_model():
    reports = verify(get_card("micro"))
    assert [report.state for report in reports] == ["good", "good", "good"]
    assert reports[0].detail == str(ENCODER)


def test_verify_says_what_is_absent_and_what_is_bad(tmp_path):
    assert verify(get_card("mobile_sam"))[0].state == "absent"
    damaged = replace(get_card("micro").files[0], source=Local(tmp_path / "encoder.safetensors"))
    damaged.source.path.write_bytes(ENCODER.read_bytes() + b"x")
    report, *_ = verify(replace(get_card("micro"), files=(damaged,)))
    assert report.state == "bad"
    assert "is not what its card promises" in report.detail


def test_absent_package_names_the_install_command():
    card = get_card("lite_medsam")
    source = replace(card.files[0].source, distribution="not-installed")
    absent = replace(card, files=(replace(card.files[0], source=source), *card.files[1:]))
    with pytest.raises(DownloadError, match="pip install not-installed"):
        load_sam(absent)
    assert verify(absent)[0].state == "absent"


@pytest.mark.parametrize("architecture", ["tiny_vit", "vit_b", "vit_h", "efficientvit_l1"])
def test_architecture_is_told_from_the_parameters(architecture):
    with torch.device("meta"):
        state = build_sam(architecture).state_dict()
    assert architecture_of(state) == architecture
    del state[next(name for name in state if name.startswith("image_encoder."))]
    assert architecture_of(state) is None


def test_local_file(tmp_path, micro_weights):
    torch.save(micro_weights, tmp_path / "mine.pt")
    card = get_card(str(tmp_path / "mine.pt"))
    assert card.name == str(tmp_path / "mine.pt")
    assert (card.architecture, card.input_size) == ("tiny_vit", 1024)
    assert load_sam(card).state_dict().keys() == micro_weights.keys()
    assert card.detector_file == get_card("micro").detector_file


def test_local_encoder_is_completed_by_the_frozen_decoder():
    card = card_for_file(ENCODER)
    assert [file.role for file in card.files] == ["encoder", "decoder", "detector"]
    load_sam(card)


def test_local_lite_medsam_gets_its_own_input():
    card = get_card("lite_medsam")
    found = card_for_file(cached_path(card.files[0]))
    assert (found.architecture, found.input_size) == (card.architecture, card.input_size)
    assert found.normalization == card.normalization


def test_local_file_of_unknown_architecture():
    with pytest.raises(CheckpointError) as caught:
        card_for_file(DETECTOR)
    assert "detector.safetensors fits no known architecture" in str(caught.value)
    assert "355 parameters (model.0.bn.bias" in str(caught.value)
