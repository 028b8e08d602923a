"""Teach an image encoder through SAM's frozen prompt encoder and mask decoder.

Where no teacher is at hand to distil from (MobileSAM, arXiv 2306.14289, section 3.2), labelled
images can teach: they are prompted and decoded, and the gradient of the masks' loss passes
through the decoder, which stays as it is, into the encoder.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from napari_mobilesam.core.masks import MASK_THRESHOLD
from napari_mobilesam.models.sam import Sam
from napari_mobilesam.training.datasets import LOGITS_STRIDE, Example, Steps
from napari_mobilesam.training.fit import Progress, Validate, fit
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
    """Train the image encoder of a model through its decoder; see :func:`~.fit.fit`.

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
    kind = torch.device(device).type

    def losses(step: int, examples: list[Example]) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(data.settings.seed + step)
        for example in examples:
            corrective = float(torch.rand((), generator=generator)) < settings.corrective_share
            clicks = generator if corrective else None
            with torch.autocast(kind, torch.bfloat16, settings.bfloat16):
                loss = example_loss(sam, example, weights, settings.point_weight, clicks)
            yield loss

    fit(
        sam.to(device),
        data,
        losses,
        settings,
        folder,
        validate=validate,
        progress=progress,
        workers=workers,
    )


def example_loss(
    sam: Sam,
    example: Example,
    weights: LossWeights,
    point_weight: float = 1.0,
    clicks: torch.Generator | None = None,
) -> Tensor:
    """Loss of one image: its objects by box, by point, and by a corrective click if asked.

    A box gives one mask and a first point three; the click falls where the mask that the model
    scores best is wrong, and that mask goes along as a prompt.

    Parameters
    ----------
    sam : Sam
        The model.
    example : Example
        The image, its objects and their prompts.
    weights : LossWeights
        Weights of the parts of the loss.
    point_weight : float
        Weight of the losses by point; that by box has 1.
    clicks : torch.Generator, optional
        Draws the corrective clicks; there are none without it.
    """
    size = example.input_size
    device = next(sam.parameters()).device
    rgb = torch.tensor(example.rgb, device=device).permute(2, 0, 1)[None]
    truth, boxes, points = (
        torch.from_numpy(array).to(device)
        for array in (example.masks, example.boxes_xyxy, example.points_xy)
    )
    labels = torch.ones(points.shape[:2], dtype=torch.long, device=device)
    embedding = sam.encode(sam.preprocess(rgb, size)).float()

    logits, iou = sam.decode(embedding, boxes_xyxy=boxes, multimask=False, input_size=size)
    box_loss = prompt_loss(logits.float(), iou.float(), truth, weights)

    logits, iou = sam.decode(
        embedding, points_xy=points, point_labels=labels, multimask=True, input_size=size
    )
    point_loss = prompt_loss(logits.float(), iou.float(), truth, weights)
    if clicks is None:
        return box_loss + point_weight * point_loss

    shown = logits.detach().float()[torch.arange(len(iou)), iou.argmax(dim=1)]
    click, label = corrective_click(shown, truth, clicks)
    logits, iou = sam.decode(
        embedding,
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
        Draws the pixel; on the CPU.

    Returns
    -------
    points_xy : Tensor
        (B, 1, 2), in pixels of the input.
    labels : Tensor
        (B, 1): 1 where the object was missed, 0 where it was overshot.
    """
    inside = truth > 0.5
    wrong = (logits > MASK_THRESHOLD) != inside
    odds = (wrong + 1e-9 * inside + 1e-15).flatten(1).cpu()
    index = torch.multinomial(odds, 1, generator=generator).to(truth.device)
    row, column = index // truth.shape[-1], index % truth.shape[-1]
    middle = (LOGITS_STRIDE - 1) / 2
    points = torch.stack([column, row], dim=-1) * LOGITS_STRIDE + middle
    return points.float(), inside.flatten(1).gather(1, index).long()
