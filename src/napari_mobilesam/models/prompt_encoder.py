"""SAM's prompt encoder: points, boxes and masks become embeddings.

Kirillov et al., "Segment Anything" (arXiv 2304.02643), appendix A, "Prompt encoder"; positions
are encoded by random Fourier features (Tancik et al., arXiv 2006.10739).
"""

import math

import torch
from torch import Tensor, nn

from napari_mobilesam.models.layers import EMBEDDING_CHANNELS, LayerNorm2d, Tokens, normal

PADDING, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
"""What a point prompt can be; the corners of a box are two kinds of point."""

MASK_CHANNELS = 16


class PromptEncoder(nn.Module):
    """Embeds prompts for an input of any size; parameter names are SAM's."""

    def __init__(self) -> None:
        super().__init__()
        self.pe_layer = FourierPositions(EMBEDDING_CHANNELS)
        self.point_embeddings = nn.ModuleList([Tokens(1, EMBEDDING_CHANNELS) for _ in range(4)])
        self.not_a_point_embed = Tokens(1, EMBEDDING_CHANNELS)
        self.no_mask_embed = Tokens(1, EMBEDDING_CHANNELS)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, MASK_CHANNELS // 4, 2, stride=2),
            LayerNorm2d(MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS // 4, MASK_CHANNELS, 2, stride=2),
            LayerNorm2d(MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS, EMBEDDING_CHANNELS, 1),
        )

    def forward(
        self,
        *,
        points_xy: Tensor | None,
        point_labels: Tensor | None,
        boxes_xyxy: Tensor | None,
        mask_input: Tensor | None,
        input_size: int,
    ) -> tuple[Tensor, Tensor]:
        """Embed B prompts of one image.

        Parameters
        ----------
        points_xy : Tensor or None
            (B, N, 2), in pixels of the input, pixel centres at integers.
        point_labels : Tensor or None
            (B, N): 1 on the object, 0 beside it, -1 for padding. Given whenever points are.
        boxes_xyxy : Tensor or None
            (B, 4), in pixels of the input.
        mask_input : Tensor or None
            (B, 1, 4e, 4e) low-resolution logits, for an embedding of e x e.
        input_size : int
            Side of the input, in pixels.

        Returns
        -------
        sparse : Tensor
            (B, n, 256): points, then box corners.
        dense : Tensor
            (B, 256, e, e), or (1, 256, 1, 1) without masks.
        """
        sparse = self._embed_points(points_xy, point_labels, boxes_xyxy, input_size)
        if mask_input is None:
            return sparse, self.no_mask_embed.weight.view(1, -1, 1, 1)
        dense = self.mask_downscaling(mask_input)
        if points_xy is None and boxes_xyxy is None:
            sparse = sparse.expand(len(dense), -1, -1)
        return sparse, dense

    def grid_encoding(self, height: int, width: int) -> Tensor:
        """Positional encoding (1, 256, height, width) of every position of the embedding."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        y, x = (
            (torch.arange(side, device=matrix.device, dtype=matrix.dtype) + 0.5) / side
            for side in (height, width)
        )
        positions = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        encoding: Tensor = self.pe_layer(positions)
        return encoding.permute(2, 0, 1)[None]

    def _embed_points(
        self,
        points_xy: Tensor | None,
        point_labels: Tensor | None,
        boxes_xyxy: Tensor | None,
        input_size: int,
    ) -> Tensor:
        kinds = torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])
        positions, labels = [], []
        if points_xy is not None and point_labels is not None:
            positions.append(points_xy)
            labels.append(point_labels.long())
            if boxes_xyxy is None:
                positions.append(points_xy.new_zeros(len(points_xy), 1, 2))
                labels.append(labels[0].new_full((len(points_xy), 1), PADDING))
        if boxes_xyxy is not None:
            corners = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=kinds.device)
            positions.append(boxes_xyxy.view(-1, 2, 2))
            labels.append(corners.expand(len(boxes_xyxy), 2))
        if not positions:
            return kinds.new_zeros(1, 0, EMBEDDING_CHANNELS)
        xy, kind = torch.cat(positions, dim=1), torch.cat(labels, dim=1)
        encoding = self.pe_layer((xy + 0.5) / input_size)
        return encoding.masked_fill(kind[..., None] == PADDING, 0.0) + kinds[kind + 1]


class FourierPositions(nn.Module):
    """Encodes positions in the unit square by random Fourier features."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", normal(2, channels // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """Encode positions (..., 2) in 0..1 as (..., C)."""
        matrix = self.positional_encoding_gaussian_matrix
        phase = 2 * math.pi * ((2 * xy - 1).to(matrix.dtype) @ matrix)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)
