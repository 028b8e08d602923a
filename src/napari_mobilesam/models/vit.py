"""SAM's own image encoder, a plain vision transformer with mostly windowed attention.

Kirillov et al., "Segment Anything" (arXiv 2304.02643), appendix A, "Image encoder"; the design is
ViTDet's (Li et al., arXiv 2203.16527), its relative positions are MViTv2's (Li et al.,
arXiv 2112.01526, section 4.1).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import (
    FeedForward,
    embedding_neck,
    from_windows,
    to_windows,
)

PATCH = 16
GRID = 64
"""Patches along a side of the 1024-pixel images that SAM was trained on."""
WINDOW = 14
GLOBAL_BLOCKS = 4


class ViT(nn.Module):
    """SAM's encoder for images of any size; parameter names are those of SAM's `image_encoder`.

    Absolute and relative positions are interpolated when the input is not 1024 x 1024.

    Parameters
    ----------
    channels : int
        Width of the tokens.
    depth : int
        Number of blocks; the last of each quarter attends globally.
    heads : int
        Attention heads.

    Attributes
    ----------
    embedding_stride : int
        Input pixels per position of the embedding: 16.
    """

    def __init__(self, channels: int, *, depth: int, heads: int) -> None:
        super().__init__()
        self.embedding_stride = PATCH
        self.patch_embed = PatchEmbedding(channels)
        self.pos_embed = nn.Parameter(torch.zeros(1, GRID, GRID, channels))
        quarter = depth // GLOBAL_BLOCKS
        self.blocks = nn.Sequential(
            *(
                Block(channels, heads, None if (i + 1) % quarter == 0 else WINDOW)
                for i in range(depth)
            )
        )
        self.neck = embedding_neck(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images.

        Parameters
        ----------
        x : Tensor
            (B, 3, H, W), H and W multiples of 16.

        Returns
        -------
        Tensor
            (B, 256, H / 16, W / 16)
        """
        x = self.patch_embed(x)
        x = self.blocks(x + self._positions(*x.shape[1:3]))
        return self.neck(x.permute(0, 3, 1, 2))

    def _positions(self, height: int, width: int) -> Tensor:
        if (height, width) == (GRID, GRID):
            return self.pos_embed
        channels_first = self.pos_embed.permute(0, 3, 1, 2)
        resized = F.interpolate(channels_first, (height, width), mode="bicubic")
        return resized.permute(0, 2, 3, 1)


class PatchEmbedding(nn.Module):
    """Every patch of pixels becomes one token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to tokens (B, H / 16, W / 16, C)."""
        x = self.proj(x)
        return x.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Attention, within windows or over the whole image, and an MLP."""

    def __init__(self, channels: int, heads: int, window: int | None) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels, heads, window or GRID)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = FeedForward(channels, 4 * channels, nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        """Refine tokens (B, H, W, C)."""
        normed = self.norm1(x)
        if self.window is None:
            x = x + self.attn(normed)
        else:
            attended = self.attn(to_windows(normed, self.window))
            x = x + from_windows(attended, *x.shape[1:3])
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Self-attention whose logits also depend on the relative positions along both axes."""

    def __init__(self, channels: int, heads: int, grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid - 1, channels // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid - 1, channels // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Attend within maps (B, H, W, C)."""
        _, height, width, _ = x.shape
        qkv = self.qkv(x).flatten(1, 2).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.transpose(1, 3).unbind(2)  # (B, heads, H * W, channels a head)
        bias = self._relative_bias(q.unflatten(2, (height, width)))
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(x.transpose(1, 2).flatten(2).unflatten(1, (height, width)))

    def _relative_bias(self, q: Tensor) -> Tensor:
        """Biases (B, heads, H * W, H * W) for queries (B, heads, H, W, channels a head)."""
        height, width = q.shape[2:4]
        rows = torch.einsum("bnhwc,hkc->bnhwk", q, _relative_positions(self.rel_pos_h, height))
        columns = torch.einsum("bnhwc,wkc->bnhwk", q, _relative_positions(self.rel_pos_w, width))
        return (rows[..., None] + columns[..., None, :]).flatten(4).flatten(2, 3)


def _relative_positions(embedding: Tensor, length: int) -> Tensor:
    """Embeddings (length, length, C) of the distance from every query to every key on one axis."""
    distances = 2 * length - 1
    if len(embedding) != distances:
        embedding = F.interpolate(embedding.T[None], distances, mode="linear")[0].T
    position = torch.arange(length, device=embedding.device)
    return embedding[position[:, None] - position + length - 1]
