"""SAM's mask decoder: from an image embedding and embedded prompts to masks and their scores.

Kirillov et al., "Segment Anything" (arXiv 2304.02643), appendix A, "Lightweight mask decoder" and
"Making the model ambiguity-aware".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import EMBEDDING_CHANNELS, Tokens, normal
from napari_mobilesam.models.transformer import Projected, TwoWayTransformer

MASK_TOKENS = 4
"""One token for an unambiguous prompt, three for an ambiguous one."""

NOT_DECODED = -1e4
"""Logit of what lies outside a window."""

GridWindow = tuple[int, int, int, int]
"""Half-open rectangle of positions of the embedding, (y0, x0, y1, x1)."""


@dataclass(frozen=True, slots=True, eq=False)
class DecoderImage:
    """An image as the decoder meets it: what is the same for every prompt.

    Or B images, one for each of as many prompts; see :meth:`for_prompts`.

    Parameters
    ----------
    size : tuple of int
        Height and width of the embedding.
    embedding : Tensor
        (1, h * w, 256)
    encoding : Tensor
        (1, h * w, 256), the positional encoding.
    unmasked : Tensor
        (1, h * w, 256), the embedding for prompts without a mask.
    projected : pair of Tensor
        What the transformer projects of ``unmasked``.
    """

    size: tuple[int, int]
    embedding: Tensor
    encoding: Tensor
    unmasked: Tensor
    projected: Projected

    def for_prompts(self, index: Tensor) -> Self:
        """Give each of B prompts its image, of the N that were prepared together.

        Parameters
        ----------
        index : Tensor
            (B,) int64, 0..N-1.
        """
        keys, values = self.projected
        return replace(
            self,
            embedding=self.embedding[index],
            unmasked=self.unmasked[index],
            projected=(keys[index], values[index]),
        )


class MaskDecoder(nn.Module):
    """Predicts masks at four times the resolution of the embedding; parameter names are SAM's."""

    def __init__(self) -> None:
        super().__init__()
        channels = EMBEDDING_CHANNELS
        self.transformer = TwoWayTransformer(channels)
        self.iou_token = Tokens(1, channels)
        self.mask_tokens = Tokens(MASK_TOKENS, channels)
        self.output_upscaling = nn.Sequential(
            Upscaling(channels, channels // 4),
            nn.LayerNorm(channels // 4, eps=1e-6),
            nn.GELU(),
            Upscaling(channels // 4, channels // 8),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            [MLP(channels, channels, channels, channels // 8) for _ in range(MASK_TOKENS)]
        )
        self.iou_prediction_head = MLP(channels, channels, channels, MASK_TOKENS)

    def prepare(self, embedding: Tensor, grid_encoding: Tensor, no_mask: Tensor) -> DecoderImage:
        """Compute what does not depend on the prompts.

        Parameters
        ----------
        embedding : Tensor
            (1, 256, h, w), or (N, 256, h, w) of N images.
        grid_encoding : Tensor
            (1, 256, h, w), its positional encoding.
        no_mask : Tensor
            (1, 256), what stands for no mask.
        """
        height, width = embedding.shape[-2:]
        dtype = self.iou_token.weight.dtype
        tokens, encoding = (
            x.to(dtype).flatten(2).transpose(-2, -1).contiguous()
            for x in (embedding, grid_encoding)
        )
        unmasked = tokens + no_mask.to(dtype)
        projected = self.transformer.project(unmasked, encoding)
        return DecoderImage((height, width), tokens, encoding, unmasked, projected)

    def forward(
        self,
        image: DecoderImage,
        sparse: Tensor,
        dense: Tensor | None = None,
        *,
        multimask: bool,
        windows: Sequence[GridWindow] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts of one image.

        Parameters
        ----------
        image : DecoderImage
            What :meth:`prepare` gave.
        sparse : Tensor
            (B, n, 256), the embedded points and boxes.
        dense : Tensor, optional
            (B, 256, h, w), the embedded masks.
        multimask : bool
            Three masks a prompt, of part, object and group, instead of one.
        windows : sequence of (y0, x0, y1, x1), optional
            For each prompt, the positions of the embedding where logits are wanted.

        Returns
        -------
        logits : Tensor
            (B, 3 or 1, 4h, 4w), positive inside the mask; ``NOT_DECODED`` outside a window.
        iou : Tensor
            (B, 3 or 1), the predicted intersection over union with the true mask.
        """
        features, filters, iou = self.attend(image, sparse, dense, multimask=multimask)
        if windows is None:
            return self.upscale(features, filters), iou
        return upscale_windows(self.upscale, features, filters, windows), iou

    def attend(
        self, image: DecoderImage, sparse: Tensor, dense: Tensor | None, *, multimask: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Let B prompts and the image attend to each other.

        Returns
        -------
        features : Tensor
            (B, h, w, 256)
        filters : Tensor
            (B, K, 32), what to apply to the up-scaled features, for K = 3 or 1 masks.
        iou : Tensor
            (B, K)
        """
        chosen = slice(1, MASK_TOKENS) if multimask else slice(0, 1)
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        sparse = sparse.to(output_tokens.dtype)
        tokens = torch.cat([output_tokens.expand(sparse.shape[0], -1, -1), sparse], dim=1)
        if dense is None:
            features, projected = image.unmasked, image.projected
        else:
            dense = dense.to(image.embedding.dtype).flatten(2).transpose(-2, -1)
            features = (image.embedding + dense).contiguous()
            projected = None
        tokens, features = self.transformer(tokens, features, image.encoding, projected)

        iou = self.iou_prediction_head(tokens[:, 0])[:, chosen]
        mask_tokens = tokens[:, 1 : 1 + MASK_TOKENS].unbind(1)
        hypernetworks = zip(self.output_hypernetworks_mlps, mask_tokens, strict=True)
        filters = [mlp(token) for mlp, token in list(hypernetworks)[chosen]]
        return features.unflatten(1, image.size), torch.stack(filters, dim=1), iou

    def upscale(self, features: Tensor, filters: Tensor) -> Tensor:
        """Apply each prompt's filters (B, K, 32) to its features (B, h, w, 256), up-scaled.

        Returns
        -------
        Tensor
            (B, K, 4h, 4w)
        """
        batch, height, width, _ = features.shape
        fine = self.output_upscaling(features)  # (B, h, w, 2, 2, 2, 2, 32), rows first
        logits = filters @ fine.flatten(1, -2).transpose(1, 2)  # (B, K, h * w * 16)
        logits = logits.view(batch, -1, height, width, 2, 2, 2, 2)
        return logits.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(batch, -1, 4 * height, 4 * width)


def upscale_windows(
    upscale: Callable[[Tensor, Tensor], Tensor],
    features: Tensor,
    filters: Tensor,
    windows: Sequence[GridWindow],
) -> Tensor:
    """Run :meth:`MaskDecoder.upscale` in a window for each prompt; ``NOT_DECODED`` elsewhere."""
    batch, height, width, _ = features.shape
    logits = features.new_full((batch, filters.shape[1], 4 * height, 4 * width), NOT_DECODED)
    for i, (y0, x0, y1, x1) in enumerate(windows):
        part = upscale(features[i : i + 1, y0:y1, x0:x1], filters[i : i + 1])
        logits[i, :, 4 * y0 : 4 * y1, 4 * x0 : 4 * x1] = part[0]
    return logits


class Upscaling(nn.Module):
    """Transposed convolution, 2 x 2 with stride 2: a linear map of every pixel by itself."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(channels, out, 2, 2, deviation=channels**-0.5))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        """Map pixels (..., C) to four each, (..., 2, 2, out), by row and column."""
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return F.linear(x, weight, self.bias.repeat(4)).unflatten(-1, (2, 2, -1))


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
