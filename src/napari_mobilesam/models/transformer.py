"""SAM's two-way transformer between prompt tokens and the image embedding.

Kirillov et al., "Segment Anything" (arXiv 2304.02643), appendix A, "Lightweight mask decoder".

Image-side tensors may have batch size 1 while there are B prompts: whatever does not depend on
the prompt yet is computed once for all of them.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import FeedForward


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

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Let B sets of tokens and an image attend to each other.

        Parameters
        ----------
        tokens : Tensor
            (B, n, C)
        image : Tensor
            (B or 1, positions, C)
        image_pe : Tensor
            (1, positions, C), the positional encoding of the image.

        Returns
        -------
        tokens : Tensor
            (B, n, C)
        image : Tensor
            (B, positions, C)
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
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
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens (B, n, C) and image (B or 1, positions, C)."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        placed_image = image + image_pe
        attended = self.cross_attn_token_to_image(tokens + token_pe, placed_image, image)
        tokens = self.norm2(tokens + attended)
        tokens = self.norm3(tokens + self.mlp(tokens))

        attended = self.cross_attn_image_to_token(placed_image, tokens + token_pe, tokens)
        return tokens, self.norm4(image + attended)


class Attention(nn.Module):
    """Multi-head attention, narrower inside; batches of size 1 are shared, not copied."""

    def __init__(self, channels: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(channels, inner)
        self.v_proj = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from q (B or 1, n, C) to k and v (B or 1, m, C)."""
        batch = max(len(q), len(k))
        q, k, v = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2).expand(batch, -1, -1, -1)
            for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v))
        )
        x = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(x.transpose(1, 2).flatten(2))
