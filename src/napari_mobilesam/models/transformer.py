"""SAM's two-way transformer between prompt tokens and the image embedding.

Kirillov et al., "Segment Anything" (arXiv 2304.02643), appendix A, "Lightweight mask decoder".

There are a handful of tokens and thousands of image positions, so nearly all of the work lies in
the projections of the image. They are reassociated: where tokens meet the image, a projection is
applied to the tokens instead, (W x) . q = x . (W' q), which is exact and several times cheaper.

Image-side tensors may have batch size 1 while there are B prompts: what does not depend on the
prompt is shared, and what the first block projects of the image can be projected ahead.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import FeedForward

Projected = tuple[Tensor, Tensor]
"""Keys and values of an attention, (B or 1, heads, positions, channels a head) each."""


class TwoWayTransformer(nn.Module):
    """Two blocks of mutual attention, and a last look of the tokens at the image."""

    def __init__(
        self, channels: int = 256, *, depth: int = 2, heads: int = 8, hidden: int = 2048
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [TwoWayBlock(channels, heads, hidden, first=i == 0) for i in range(depth)]
        )
        self.final_attn_token_to_image = Attention(channels, heads, channels // 2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def project(self, image: Tensor, image_pe: Tensor) -> Projected:
        """Project an image (1, positions, C) for the first block, for any number of prompts."""
        first = cast(TwoWayBlock, self.layers[0])
        return first.cross_attn_token_to_image.project(image + image_pe, image)

    def forward(
        self, tokens: Tensor, image: Tensor, image_pe: Tensor, projected: Projected | None = None
    ) -> tuple[Tensor, Tensor]:
        """Let B sets of tokens and an image attend to each other.

        Parameters
        ----------
        tokens : Tensor
            (B, n, C)
        image : Tensor
            (B or 1, positions, C)
        image_pe : Tensor
            (1, positions, C), the positional encoding of the image.
        projected : pair of Tensor, optional
            What :meth:`project` gave for this image.

        Returns
        -------
        tokens : Tensor
            (B, n, C)
        image : Tensor
            (B, positions, C)
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe, projected)
            projected = None
        attended = self.final_attn_token_to_image.gather(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens.

    The first block's self-attention replaces the tokens, which are their own encoding there.
    """

    def __init__(self, channels: int, heads: int, hidden: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(channels, heads, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = Attention(channels, heads, channels // 2)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = FeedForward(channels, hidden, nn.ReLU)
        self.norm3 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = Attention(channels, heads, channels // 2)
        self.norm4 = nn.LayerNorm(channels)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        token_pe: Tensor,
        image_pe: Tensor,
        projected: Projected | None,
    ) -> tuple[Tensor, Tensor]:
        """Update tokens (B, n, C) and image (B or 1, positions, C)."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        placed_image = image + image_pe
        to_image = self.cross_attn_token_to_image
        if projected is None:
            attended = to_image.gather(tokens + token_pe, placed_image, image)
        else:
            attended = to_image.attend(tokens + token_pe, projected)
        tokens = self.norm2(tokens + attended)
        tokens = self.norm3(tokens + self.mlp(tokens))

        image = self.cross_attn_image_to_token.scatter(
            image, placed_image, tokens + token_pe, tokens
        )
        return tokens, self.norm4(image)


class Attention(nn.Module):
    """Multi-head attention, narrower inside; batches of size 1 are shared, not copied.

    ``forward``, ``gather`` and ``scatter`` compute the same function, of sequences of like length,
    from few queries to many keys, and from many queries to few keys.
    """

    def __init__(self, channels: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(channels, inner)
        self.v_proj = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from q (B, n, C) to k and v (B or 1, m, C)."""
        return self.attend(q, self.project(k, v))

    def project(self, k: Tensor, v: Tensor) -> Projected:
        """Project keys and values (B or 1, m, C)."""
        keys, values = self._split(self.k_proj(k)), self._split(self.v_proj(v))
        return keys.transpose(1, 2), values.transpose(1, 2)

    def attend(self, q: Tensor, projected: Projected) -> Tensor:
        """Attend from q (B, n, C) to what :meth:`project` gave."""
        q = self._split(self.q_proj(q)).transpose(1, 2)
        k, v = (x.expand(q.shape[0], -1, -1, -1) for x in projected)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def gather(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from few q (B, n, C) to many k and v (B or 1, m, C), which are not projected.

        A bias of the keys is the same for all keys and drops out of the softmax.
        """
        queries = self._split(self.q_proj(q)) * self.scale
        queries = torch.einsum("bnhd,hdc->bnhc", queries, self._by_head(self.k_proj.weight))
        weights = (queries.flatten(1, 2) @ k.transpose(-2, -1)).softmax(-1)  # (B, n * heads, m)
        seen = (weights @ v).unflatten(1, (-1, self.heads))
        values = torch.einsum("bnhc,hdc->bnhd", seen, self._by_head(self.v_proj.weight))
        return self.out_proj(values.flatten(2) + self.v_proj.bias)

    def scatter(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Add to x what many q (B or 1, m, C), not projected, see in few k and v (B, n, C)."""
        keys = self._split(self.k_proj(k)) * self.scale
        bias = (keys * self._split(self.q_proj.bias)).sum(-1, keepdim=True)
        keys = torch.einsum("bnhd,hdc->bnhc", keys, self._by_head(self.q_proj.weight))
        values = self._split(self.v_proj(v))
        values = torch.einsum(
            "bnhd,hdc->bnhc", values, self._by_head(self.out_proj.weight.transpose(-2, -1))
        )
        values = values + self.out_proj.bias / self.heads  # the weights of each head sum to one

        batch, positions = k.shape[0], q.shape[1]
        logits = torch.baddbmm(
            bias.flatten(1, 2), keys.flatten(1, 2), q.expand(batch, -1, -1).transpose(-2, -1)
        )  # (B, n * heads, m)
        weights = logits.view(batch, -1, self.heads * positions).softmax(1).view_as(logits)
        return torch.baddbmm(
            x.expand(batch, -1, -1), weights.transpose(-2, -1), values.flatten(1, 2)
        )

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))

    def _by_head(self, weight: Tensor) -> Tensor:
        """Cut a projection (inner, C) into those of the heads, (heads, channels a head, C)."""
        return weight.unflatten(0, (self.heads, -1))
