"""SAM's mask decoder: from an image embedding and embedded prompts to masks and their scores.

Kirillov et al., "Segment Anything" (arXiv 2304.02643), appendix A, "Lightweight mask decoder" and
"Making the model ambiguity-aware".
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import EMBEDDING_CHANNELS, LayerNorm2d, Tokens
from napari_mobilesam.models.transformer import TwoWayTransformer

MASK_TOKENS = 4
"""One token for an unambiguous prompt, three for an ambiguous one."""


class MaskDecoder(nn.Module):
    """Predicts masks at four times the resolution of the embedding; parameter names are SAM's."""

    def __init__(self) -> None:
        super().__init__()
        channels = EMBEDDING_CHANNELS
        self.transformer = TwoWayTransformer(channels)
        self.iou_token = Tokens(1, channels)
        self.mask_tokens = Tokens(MASK_TOKENS, channels)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, 2, stride=2),
            LayerNorm2d(channels // 4),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 4, channels // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            [MLP(channels, channels, channels, channels // 8) for _ in range(MASK_TOKENS)]
        )
        self.iou_prediction_head = MLP(channels, channels, channels, MASK_TOKENS)

    def forward(
        self,
        embedding: Tensor,
        grid_encoding: Tensor,
        sparse: Tensor,
        dense: Tensor,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts of one image.

        Parameters
        ----------
        embedding : Tensor
            (1, 256, h, w)
        grid_encoding : Tensor
            (1, 256, h, w), its positional encoding.
        sparse, dense : Tensor
            (B, n, 256), and (B, 256, h, w) or (1, 256, 1, 1): the embedded prompts.
        multimask : bool
            Three masks a prompt, of part, object and group, instead of one.

        Returns
        -------
        logits : Tensor
            (B, 3 or 1, 4h, 4w), positive inside the mask.
        iou : Tensor
            (B, 3 or 1), the predicted intersection over union with the true mask.
        """
        height, width = embedding.shape[-2:]
        chosen = slice(1, MASK_TOKENS) if multimask else slice(0, 1)
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(len(sparse), -1, -1), sparse], dim=1)

        image = (embedding + dense).flatten(2).transpose(1, 2)
        tokens, image = self.transformer(tokens, image, grid_encoding.flatten(2).transpose(1, 2))
        image = self.output_upscaling(image.transpose(1, 2).unflatten(2, (height, width)))

        mask_tokens = tokens[:, 1 : 1 + MASK_TOKENS].unbind(1)
        hypernetworks = zip(self.output_hypernetworks_mlps, mask_tokens, strict=True)
        filters = [mlp(token) for mlp, token in list(hypernetworks)[chosen]]
        logits = torch.stack(filters, dim=1) @ image.flatten(2)  # (B, K, 4h * 4w)
        iou = self.iou_prediction_head(tokens[:, 0])[:, chosen]
        return logits.unflatten(2, (4 * height, 4 * width)), iou


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(n, m) for n, m in pairwise(widths)])

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., first width) to (..., last width)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)
