"""Write a model to one file, for this package or for other software."""

from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.zoo.card import ModelCard
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam

ExportFormat = Literal["mobile_sam", "safetensors"]


def export_model(
    model: str | ModelCard, path: Path, file_format: ExportFormat = "mobile_sam"
) -> Path:
    """Write the encoder and decoder of a model, in float32, to one file.

    Parameters
    ----------
    model : str or ModelCard
        A name in the zoo, the path of a checkpoint, or a card.
    path : Path
        File to write. ``ultralytics.SAM`` tells the architecture from a name that ends in
        ``mobile_sam.pt``.
    file_format : "mobile_sam" or "safetensors"
        A state dictionary that the official MobileSAM code and ``ultralytics.SAM`` load; or the
        same parameters as safetensors, for this package.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    SettingsError
        If the format is unknown, or cannot hold this architecture.
    FileFormatError
        If the file cannot be written.
    """
    card = model if isinstance(model, ModelCard) else get_card(model)
    if file_format not in ("mobile_sam", "safetensors"):
        raise SettingsError(
            "there is no such export format",
            expected='"mobile_sam" or "safetensors"',
            got=repr(file_format),
        )
    if file_format == "mobile_sam" and card.architecture != "tiny_vit":
        raise SettingsError(
            f"{card.name} cannot be written for MobileSAM",
            expected="the architecture tiny_vit",
            got=card.architecture,
            remedy='Choose the format "safetensors".',
        )
    parameters = load_sam(card).state_dict()
    with replacing(path) as draft:
        if file_format == "mobile_sam":
            torch.save(parameters | _idle_classifier(parameters), draft)
        else:
            save_file(parameters, draft, _metadata(card))
    return path


def _idle_classifier(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """TinyViT's head for ImageNet, which MobileSAM never calls but insists on loading.

    A normalisation that changes nothing and a classifier that says nothing.
    """
    width = parameters["image_encoder.neck.0.weight"].shape[1]
    return {
        "image_encoder.norm_head.weight": torch.ones(width),
        "image_encoder.norm_head.bias": torch.zeros(width),
        "image_encoder.head.weight": torch.zeros(1000, width),
        "image_encoder.head.bias": torch.zeros(1000),
    }


def _metadata(card: ModelCard) -> dict[str, str]:
    return {
        "title": card.title,
        "architecture": card.architecture,
        "licence": card.licence,
        "citation": card.citation,
    }
