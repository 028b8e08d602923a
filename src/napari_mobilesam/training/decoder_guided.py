"""Teach an image encoder through SAM's frozen prompt encoder and mask decoder.

Where no teacher is at hand to distil from (MobileSAM, arXiv 2306.14289, section 3.2), labelled
images can teach: they are prompted and decoded, and the gradient of the masks' loss passes
through the decoder, which stays as it is, into the encoder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_mobilesam.core.masks import MASK_THRESHOLD
from napari_mobilesam.models.sam import Sam
from napari_mobilesam.training.datasets import LOGITS_STRIDE, Example, Steps
from napari_mobilesam.training.encoder import Validate, fit_encoder
from napari_mobilesam.training.fit import Progress
from napari_mobilesam.training.losses import SAM_WEIGHTS, LossWeights, prompt_loss
from napari_mobilesam.training.settings import DecoderGuidedSettings


def train(
    sam: Sam,
    data: Steps,
    settings: DecoderGuidedSettings,
    folder: Path,
    *,
    validate: Validate | None = None,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
    weights: LossWeights = SAM_WEIGHTS,
) -> None:
    """Train the image encoder of a model through its decoder; see :func:`~.encoder.fit_encoder`.

    Parameters
    ----------
    sam : Sam
        The model; its encoder is changed, its prompt encoder and its decoder are not.
    data : Steps
        Examples by step.
    settings : DecoderGuidedSettings
        How to train.
    folder : Path
        Where the run is kept, and gone on with if it holds a checkpoint.
    validate : callable, optional
        Scores the averaged model now and then.
    progress : callable, optional
        Called with steps done and steps in all.
    device : torch.device or str
        Where to compute.
    workers : int
        Processes that draw examples; 0 draws them in this one.
    weights : LossWeights
        Weights of the parts of the loss.

    Raises
    ------
    CheckpointError
        If the folder holds a checkpoint of another architecture.
    """
    place = torch.device(device)

    def losses(step: int, examples: list[Example]) -> Iterator[Tensor]:
        generator = torch.Generator(place).manual_seed(data.settings.seed + step)
        draw = torch.rand((), generator=generator, device=place)
        clicks = generator if float(draw) < settings.corrective_share else None
        for some in _together(examples, settings.pixels_at_once):
            with torch.autocast(place.type, torch.bfloat16, settings.bfloat16):
                loss = examples_loss(sam, some, weights, settings.point_weight, clicks)
            yield loss

    fit_encoder(
        sam.to(place),
        data,
        losses,
        settings,
        folder,
        validate=validate,
        progress=progress,
        workers=workers,
    )


def examples_loss(
    sam: Sam,
    examples: Sequence[Example],
    weights: LossWeights,
    point_weight: float = 1.0,
    clicks: torch.Generator | None = None,
) -> Tensor:
    """Loss of some images: their objects by box, by point, and by a corrective click if asked.

    A box gives one mask and a first point three; the click falls where the mask that the model
    scores best is wrong, and that mask goes along as a prompt. All prompts weigh the same, so
    that crowded images weigh more.

    Parameters
    ----------
    sam : Sam
        The model.
    examples : sequence of Example
        Images of one input size, their objects and the prompts of these.
    weights : LossWeights
        Weights of the parts of the loss.
    point_weight : float
        Weight of the losses by point; that by box has 1.
    clicks : torch.Generator, optional
        Draws the corrective clicks, on the model's device; there are none without it.
    """
    size = examples[0].input_size
    device = next(sam.parameters()).device
    truth, boxes, points = (
        torch.from_numpy(np.concatenate(arrays)).to(device).float()
        for arrays in zip(*((e.masks, e.boxes_xyxy, e.points_xy) for e in examples), strict=True)
    )
    labels = torch.ones(points.shape[:2], dtype=torch.long, device=device)
    x = torch.cat([_input(sam, example, device) for example in examples])
    counts = torch.tensor([len(example.masks) for example in examples])
    image = sam.prepare(sam.encode(x).float()).for_prompts(
        torch.arange(len(examples)).repeat_interleave(counts).to(device)
    )

    logits, iou = sam.decode(image, boxes_xyxy=boxes, multimask=False, input_size=size)
    box_loss = prompt_loss(logits.float(), iou.float(), truth, weights)

    logits, iou = sam.decode(
        image, points_xy=points, point_labels=labels, multimask=True, input_size=size
    )
    point_loss = prompt_loss(logits.float(), iou.float(), truth, weights)
    if clicks is None:
        return box_loss + point_weight * point_loss

    shown = logits.detach().float()[torch.arange(len(iou)), iou.argmax(dim=1)]
    click, label = corrective_click(shown, truth, clicks)
    logits, iou = sam.decode(
        image,
        points_xy=torch.cat([points, click], dim=1),
        point_labels=torch.cat([labels, label], dim=1),
        mask_input=shown[:, None],
        multimask=False,
        input_size=size,
    )
    click_loss = prompt_loss(logits.float(), iou.float(), truth, weights)
    return box_loss + point_weight * (point_loss + click_loss)


def corrective_click(
    logits: Tensor, truth: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Click where a mask is wrong, or on the object where it is right everywhere.

    Parameters
    ----------
    logits, truth : Tensor
        (B, h, w), at the resolution of the logits; truth in 0..1.
    generator : torch.Generator
        Draws the pixel, on the device of the logits.

    Returns
    -------
    points_xy : Tensor
        (B, 1, 2), in pixels of the input.
    labels : Tensor
        (B, 1): 1 where the object was missed, 0 where it was overshot.
    """
    inside = truth > 0.5
    wrong = (logits > MASK_THRESHOLD) != inside
    odds = (wrong + 1e-9 * inside + 1e-15).flatten(1)
    index = torch.multinomial(odds, 1, generator=generator)
    row, column = index // truth.shape[-1], index % truth.shape[-1]
    middle = (LOGITS_STRIDE - 1) / 2
    points = torch.stack([column, row], dim=-1) * LOGITS_STRIDE + middle
    return points.float(), inside.flatten(1).gather(1, index).long()


def _together(examples: Sequence[Example], pixels: int) -> Iterator[Sequence[Example]]:
    """Cut a step into groups of images that are computed at once, of one image at least."""
    count = max(1, pixels // examples[0].input_size ** 2)
    for start in range(0, len(examples), count):
        yield examples[start : start + count]


def _input(sam: Sam, example: Example, device: torch.device) -> Tensor:
    rgb = torch.tensor(example.rgb, device=device).permute(2, 0, 1)[None]
    return sam.preprocess(rgb, example.input_size)
