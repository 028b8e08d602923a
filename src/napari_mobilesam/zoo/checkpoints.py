"""Checkpoints of every origin become models here, under the one set of parameter names we use."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from napari_mobilesam.core.errors import CheckpointError, DownloadError
from napari_mobilesam.models.detector import build_detector
from napari_mobilesam.models.sam import Architecture, Normalization, Sam, build_sam
from napari_mobilesam.zoo.card import Local, ModelCard, Role, WeightFile
from napari_mobilesam.zoo.catalog import MICRO_DECODER, MICRO_DETECTOR, MICRO_EVERYTHING
from napari_mobilesam.zoo.download import Progress, cached_path, check, fetch
from napari_mobilesam.zoo.formats import read_tensors

_ENCODER, _PROMPTS, _DECODER, _DETECTOR = (
    "image_encoder.",
    "prompt_encoder.",
    "mask_decoder.",
    "model.",
)
_PREFIXES: dict[Role, tuple[str, ...]] = {
    "sam": (_ENCODER, _PROMPTS, _DECODER),
    "encoder": (_ENCODER,),
    "decoder": (_PROMPTS, _DECODER),
    "detector": (_DETECTOR,),
}
_FOREIGN_PREFIXES = {"PromtEncoder.": _PROMPTS, "MaskDecoder.": _DECODER}  # MobileSAMv2's spelling
_OWN_NAME = re.compile(r"(image_encoder|prompt_encoder|mask_decoder)\..+")
_CLASSIFIER = ("image_encoder.norm_head.", "image_encoder.head.")
"""TinyViT's head for ImageNet, which MobileSAM carries along and never uses."""
MASK_BRANCH = re.compile(r"model\.\d+\.(proto|cv4)\..+")
"""What YOLOv8 needs for masks of its own; MobileSAMv2 trained its detector with it."""

_MAX_NAMED = 3

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class FileReport:
    """What :func:`verify` found out about one file.

    Parameters
    ----------
    file : WeightFile
        Which file.
    state : "good", "absent" or "bad"
        Whether it is there, has the right hash and fits its network.
    detail : str
        Its path, or what is wrong with it and what to do.
    """

    file: WeightFile
    state: Literal["good", "absent", "bad"]
    detail: str


def load_sam(card: ModelCard, progress: Progress | None = None) -> Sam:
    """Load encoder and decoder of a model, in float32 on the CPU, in evaluation mode.

    Parameters
    ----------
    card : ModelCard
        Which model.
    progress : callable, optional
        Called with bytes done and bytes in all while a file is downloaded.

    Raises
    ------
    CheckpointError
        If a file is damaged, unsafe or made for another architecture.
    DownloadError
        If a file cannot be fetched, or is not what the card promises.
    """
    return _filled(_blank_sam(card), card, card.sam_files, progress)


def load_detector(card: ModelCard, progress: Progress | None = None) -> nn.Module:
    """Load the detector of a model, in float32 on the CPU, in evaluation mode.

    Parameters and errors are those of :func:`load_sam`.
    """
    return _filled(build_detector(card.detector), card, (card.detector_file,), progress)


def verify(card: ModelCard) -> tuple[FileReport, ...]:
    """Check hash and content of every file of a model, without downloading any."""
    return tuple(_verify_file(card, file) for file in card.files)


def card_for_file(path: Path) -> ModelCard:
    """Describe a checkpoint on this machine, its architecture told from its parameters.

    A file that holds an image encoder alone is completed by SAM's frozen decoder.

    Raises
    ------
    CheckpointError
        If the file is damaged or unsafe, or fits none of the known architectures.
    """
    content = read_tensors(path)
    tensors = _own_names(content)
    architecture = architecture_of(tensors)
    if architecture is None:
        raise CheckpointError(
            f"{path.name} fits no known architecture",
            expected=f"an image encoder of {', '.join(get_args(Architecture))}",
            got=_named(content, "parameter"),
            remedy="Choose a checkpoint of SAM, MobileSAM or one of their kin.",
        )
    source = Local(path.resolve())
    has_decoder = any(name.startswith(_DECODER) for name in tensors)
    files = (
        (WeightFile("sam", path.name, source),)
        if has_decoder
        else (WeightFile("encoder", path.name, source), MICRO_DECODER)
    )
    is_lite = architecture == "tiny_vit_unstrided"
    return ModelCard(
        name=str(source.path),
        title=path.name,
        purpose="A checkpoint on this machine. Everything mode uses the detector of micro.",
        architecture=architecture,
        files=(*files, MICRO_DETECTOR),
        licence="unknown",
        citation="unknown",
        normalization="min_max" if is_lite else "mean_std",
        input_size=256 if is_lite else 1024,
        everything=MICRO_EVERYTHING,
        closer=architecture == "tiny_vit",
    )


def architecture_of(tensors: Mapping[str, Tensor]) -> Architecture | None:
    """Find the architecture whose image encoder has just these parameters."""
    shapes = _shapes(tensors, (_ENCODER,))
    for architecture in get_args(Architecture):
        with torch.device("meta"):
            candidate = build_sam(architecture)
        if _shapes(candidate.state_dict(), (_ENCODER,)) == shapes:
            return architecture  # type: ignore[no-any-return]
    return None


def _blank_sam(card: ModelCard) -> Sam:
    """Build a model whose parameters take no memory before they are loaded."""
    with torch.device("meta"):
        return build_sam(card.architecture, Normalization(card.normalization))


def _filled(
    model: Module, card: ModelCard, files: Iterable[WeightFile], progress: Progress | None
) -> Module:
    parameters: dict[str, Tensor] = {}
    for file in files:
        path = fetch(file, progress).path
        parameters |= _read_part(file, path, model, card)
    model.load_state_dict(parameters, assign=True)
    return model.eval()


def _verify_file(card: ModelCard, file: WeightFile) -> FileReport:
    try:
        path = cached_path(file)
    except DownloadError as error:  # its package is not installed
        return FileReport(file, "absent", str(error))
    if not path.is_file():
        return FileReport(file, "absent", f"not at {path}")
    try:
        check(file, path)
        model = build_detector(card.detector) if file.role == "detector" else _blank_sam(card)
        _read_part(file, path, model, card)
    except (CheckpointError, DownloadError) as error:
        return FileReport(file, "bad", str(error))
    return FileReport(file, "good", str(path))


def _read_part(
    file: WeightFile, path: Path, model: nn.Module, card: ModelCard
) -> dict[str, Tensor]:
    """Read from a file what its role says, in float32, once it fits the model."""
    prefixes = _PREFIXES[file.role]
    tensors = read_tensors(path)
    if file.role == "detector":
        tensors = {n: t for n, t in tensors.items() if not MASK_BRANCH.fullmatch(n)}
    else:
        tensors = _own_names(tensors)
    part = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    wanted, found = _shapes(model.state_dict(), prefixes), _shapes(part, prefixes)
    if wanted != found:
        raise _misfit(file, card, wanted, found, tensors)
    if any(tensor.is_complex() for tensor in part.values()):
        raise CheckpointError(f"{path.name} holds complex numbers", expected="real parameters")
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in part.items()
    }


def _own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the parameters of SAM the names we use, whatever wraps them; drop all others."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for foreign, own in _FOREIGN_PREFIXES.items():
            if name.startswith(foreign):
                name = own + name.removeprefix(foreign)
        match = _OWN_NAME.search(name)
        if match and not match[0].startswith(_CLASSIFIER):
            renamed[match[0]] = tensor
    return renamed


def _shapes(tensors: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in tensors.items() if name.startswith(prefixes)}


def _misfit(
    file: WeightFile,
    card: ModelCard,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, Tensor],
) -> CheckpointError:
    architecture = card.detector if file.role == "detector" else card.architecture
    differing = [
        f"{name} of shape {found[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    differences = [
        _named(wanted.keys() - found.keys(), "missing parameter"),
        _named(found.keys() - wanted.keys(), "unexpected parameter"),
        "; ".join(differing[:_MAX_NAMED]) + ("; ..." if len(differing) > _MAX_NAMED else ""),
    ]
    other = None if file.role == "detector" else architecture_of(tensors)
    hint = f"It looks like {other}. " if other not in (None, architecture) else ""
    return CheckpointError(
        f"{file.name} does not fit the model",
        expected=f"the {file.role} parameters of {architecture}",
        got="; ".join(filter(None, differences)),
        remedy=f"{hint}Use the file that belongs to {card.name}.",
    )


def _named(names: Iterable[str], what: str) -> str:
    """Say how many there are, and the first few."""
    names = sorted(names)
    if not names:
        return ""
    shown = ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")
    return f"{len(names)} {what}{'s' * (len(names) > 1)} ({shown})"
