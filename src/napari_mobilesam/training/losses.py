"""How wrong predicted masks are.

Focal loss, dice loss and the mean squared error of the predicted IoU are combined as in SAM
(arXiv 2304.02643, appendix A, "Losses"); what is new is that true masks are soft: at the
resolution of the logits, a pixel may be covered in part.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mobilesam.core.masks import MASK_THRESHOLD


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the parts of the loss; SAM's by default.

    Parameters
    ----------
    focal, dice, iou : float
        Weight of each part.
    chosen : float
        Among three masks, weight of the one that a user is shown; the mask that is best in truth
        has weight 1.
    temperature : float
        How much apart predicted scores must be to decide which is shown; see
        :func:`prompt_loss`.
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    chosen: float = 0.6
    temperature: float = 0.05


SAM_WEIGHTS = LossWeights()


def focal_loss(logits: Tensor, truth: Tensor, gamma: float = 2.0) -> Tensor:
    """Binary cross entropy, less where the prediction is nearly right already.

    Lin et al., "Focal Loss for Dense Object Detection" (arXiv 1708.02002), generalised to soft
    truth by the distance of probability and truth (arXiv 2006.04388, section 3.2).

    Parameters
    ----------
    logits, truth : Tensor
        (..., h, w); truth in 0..1.

    Returns
    -------
    Tensor
        (...), the mean over pixels.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return ((logits.sigmoid() - truth).abs() ** gamma * entropy).mean((-2, -1))


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Dice overlap (Milletari et al., arXiv 1606.04797, section 3), (...)."""
    probability = logits.sigmoid()
    overlap = (probability * truth).sum((-2, -1))
    total = probability.sum((-2, -1)) + truth.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


@torch.no_grad()
def true_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of the masks with soft truth, at the logits' resolution, (...)."""
    mask = (logits > MASK_THRESHOLD).to(truth.dtype)
    intersection = (mask * truth).sum((-2, -1))
    return intersection / (mask + truth - mask * truth).sum((-2, -1)).clamp_min(1e-6)


def prompt_loss(
    logits: Tensor, predicted_iou: Tensor, truth: Tensor, weights: LossWeights
) -> Tensor:
    """Mean loss of B prompts with one or three candidate masks each.

    Of three candidates, the one of the least loss is taught (arXiv 2304.02643, section 3,
    "Resolving ambiguity"), and with a lower weight the one that a user would be shown first. That
    choice is softened, by a softmax of the predicted scores, so that it is learned as well: the
    loss expected of it falls when a better candidate is scored higher.

    Parameters
    ----------
    logits : Tensor
        (B, K, h, w)
    predicted_iou : Tensor
        (B, K)
    truth : Tensor
        (B, h, w), share of each pixel that the object covers.
    weights : LossWeights
        Weights of the parts.

    Returns
    -------
    Tensor
        A scalar.
    """
    truth = truth[:, None].expand_as(logits)
    mask_loss = weights.focal * focal_loss(logits, truth) + weights.dice * dice_loss(logits, truth)
    loss = mask_loss.amin(dim=1)
    if logits.shape[1] > 1:
        shown = (predicted_iou / weights.temperature).softmax(dim=1)
        loss = loss + weights.chosen * (shown * mask_loss).sum(dim=1)
    honesty = (predicted_iou - true_iou(logits, truth)).square().mean(dim=1)
    return (loss + weights.iou * honesty).mean()
