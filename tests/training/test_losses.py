import numpy as np
import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from napari_mobilesam.evaluation.metrics import mask_iou
from napari_mobilesam.training.losses import (
    LossWeights,
    dice_loss,
    focal_loss,
    prompt_loss,
    true_iou,
)


@pytest.fixture
def truth():
    mask = torch.zeros(2, 16, 16)
    mask[0, 3:9, 4:12] = 1
    mask[1, 8:, 8:] = 1
    return mask


def certain(mask):
    return 40 * (mask - 0.5)


def test_focal_loss_is_the_published_one_for_hard_truth(truth):
    logits = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    expected = sigmoid_focal_loss(logits, truth, alpha=-1, gamma=2).mean((-2, -1))
    torch.testing.assert_close(focal_loss(logits, truth), expected)


def test_losses_vanish_for_the_truth(truth):
    assert focal_loss(certain(truth), truth).max() < 1e-6
    assert dice_loss(certain(truth), truth).max() < 1e-6


def test_dice_loss_of_disjoint_masks_is_near_one(truth):
    assert dice_loss(certain(truth), truth.flip(0)).min() > 0.9


def test_true_iou_agrees_with_the_metric(truth):
    iou = true_iou(certain(truth.roll(2, dims=-1)), truth)
    expected = [
        mask_iou(a, b)
        for a, b in zip(np.roll(truth.numpy(), 2, axis=-1), truth.numpy(), strict=True)
    ]
    np.testing.assert_allclose(iou, expected, rtol=1e-6)


def test_one_good_candidate_is_enough_when_only_the_best_counts(truth):
    wrong = certain(1 - truth)
    logits = torch.stack([wrong, certain(truth), wrong], dim=1)
    weights = LossWeights(iou=0, chosen=0)
    assert prompt_loss(logits, torch.zeros(2, 3), truth, weights) < 1e-4


def test_preferring_a_bad_candidate_costs(truth):
    wrong = certain(1 - truth)
    logits = torch.stack([wrong, certain(truth), wrong], dim=1)
    weights = LossWeights(iou=0)
    honest, vain = torch.tensor([[0.0, 1, 0]] * 2), torch.tensor([[1.0, 0, 0]] * 2)
    assert prompt_loss(logits, honest, truth, weights) < 1e-4
    assert prompt_loss(logits, vain, truth, weights) > 1


def test_a_dishonest_score_costs_its_square(truth):
    logits = certain(truth)[:, None]
    low = prompt_loss(logits, torch.full((2, 1), 0.5), truth, LossWeights())
    assert float(low) == pytest.approx(0.25, abs=1e-3)
