"""TinyViT-5M, the image encoder of MobileSAM.

Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", ECCV 2022
(arXiv 2207.10666), section 3.3; as MobileSAM uses it, with the last downsampling unstrided and a
neck to 256 channels: Zhang et al., "Faster Segment Anything" (arXiv 2306.14289), section 4.1.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import (
    embedding_neck,
    from_tokens,
    from_windows,
    to_tokens,
    to_windows,
)

EXPANSION = 4


class TinyViT(nn.Module):
    """TinyViT-5M encoder for images of any size.

    Parameter names are those of MobileSAM's `image_encoder`, but for the classification head
    (`norm_head.*`, `head.*`), which MobileSAM carries along unused and which has no place here.

    Parameters
    ----------
    strided_stem : bool
        Whether the stem halves the resolution twice (MobileSAM). LiteMedSAM's stem has 1 x 1
        convolutions and keeps the resolution.

    Attributes
    ----------
    embedding_stride : int
        Input pixels per position of the embedding: 16, or 4 with an unstrided stem.
    """

    def __init__(self, *, strided_stem: bool = True) -> None:
        super().__init__()
        self.embedding_stride = 16 if strided_stem else 4
        self.patch_embed = Stem(64, strided=strided_stem)
        self.layers = nn.Sequential(
            Stage([MBConv(64) for _ in range(2)], PatchMerging(64, 128, stride=2)),
            Stage([TinyViTBlock(128, 4, 7) for _ in range(2)], PatchMerging(128, 160, stride=2)),
            Stage([TinyViTBlock(160, 5, 14) for _ in range(6)], PatchMerging(160, 320, stride=1)),
            Stage([TinyViTBlock(320, 10, 7) for _ in range(2)], nn.Identity()),
        )
        self.neck = embedding_neck(320)

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images.

        Parameters
        ----------
        x : Tensor
            (B, 3, H, W), H and W multiples of 16.

        Returns
        -------
        Tensor
            (B, 256, H / embedding_stride, W / embedding_stride)
        """
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        return self.neck(self.layers(x))


class Stage(nn.Module):
    """Blocks at one resolution, and the step to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to the next stage's."""
        return self.downsample(self.blocks(x))


class ConvBN(nn.Sequential):
    """A convolution without bias and the batch normalisation after it."""

    def __init__(
        self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)


class Stem(nn.Module):
    """Two convolutions from pixels to the first stage's features."""

    def __init__(self, out: int, *, strided: bool) -> None:
        super().__init__()
        kernel, stride = (3, 2) if strided else (1, 1)
        self.seq = nn.Sequential(
            ConvBN(3, out // 2, kernel, stride),
            nn.GELU(),
            ConvBN(out // 2, out, kernel, stride),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, C, h, w)."""
        return self.seq(x)


class PatchMerging(nn.Module):
    """Step to the next stage's width and resolution."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, out)
        self.conv2 = ConvBN(out, out, 3, stride, groups=out)
        self.conv3 = ConvBN(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, out, H / stride, W / stride)."""
        x = F.gelu(self.conv1(x))
        x = F.gelu(self.conv2(x))
        return self.conv3(x)


class MBConv(nn.Module):
    """Inverted residual block of MobileNetV2, the first stage's building block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.conv1 = ConvBN(channels, hidden)
        self.conv2 = ConvBN(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvBN(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        y = F.gelu(self.conv1(x))
        y = F.gelu(self.conv2(y))
        return F.gelu(x + self.conv3(y))


class Projections(NamedTuple):
    """The weights of a window attention as it is computed, with what is constant taken out.

    Windows are padded with zeros, before a normalisation that adds its bias to them. That bias is
    the same at every position, and so is what it adds to queries, keys and values: in a query it
    stays; in a key it raises all scores of a query alike, which softmax does not see; a value's
    passes through as it is, since the weights of attention have the sum of one. Without it,
    padding is zero in keys and values, too, and need not be projected.
    """

    position: Tensor
    query: Tensor
    query_bias: Tensor
    key: Tensor
    value: Tensor
    out_bias: Tensor


class WindowAttention(nn.Module):
    """Self-attention within windows; every pair of positions has a learned bias.

    The bias depends on the head and on how far apart, in rows and in columns, the two positions
    are, without sign.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.fixed: nn.ParameterList | None = None

    def fix(self) -> None:
        """Lay the projections out once, for inference: they do not follow the weights any more."""
        fixed = nn.ParameterList(tensor.detach() for tensor in self.projections())
        self.fixed = fixed.requires_grad_(requires_grad=False)

    def projections(self) -> Projections:
        """Take the layers apart that the weights of one are, head by head."""
        query, key, value = self.qkv.weight.unflatten(0, (self.heads, 3, -1)).unbind(1)
        query_bias, _, value_bias = self.qkv.bias.unflatten(0, (self.heads, 3, -1)).unbind(1)
        query, key, value = (weight.flatten(0, 1) for weight in (query, key, value))
        value_bias = value_bias.flatten() + value @ self.norm.bias
        return Projections(
            self.relative_bias(),
            query,
            query_bias.flatten() + query @ self.norm.bias,
            key,
            value,
            self.proj.bias + self.proj.weight @ value_bias,
        )

    def relative_bias(self) -> Tensor:
        """Biases (1, heads, N, N) between the N = window * window positions."""
        side = torch.arange(self.window, device=self.attention_biases.device)
        rows, columns = side.repeat_interleave(self.window), side.repeat(self.window)
        distance = (rows[:, None] - rows).abs() * self.window + (columns[:, None] - columns).abs()
        return self.attention_biases[None, :, distance]

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Attend within the windows of a map's tokens (B, height * width, C)."""
        weights = self.projections() if self.fixed is None else Projections(*self.fixed)
        x = F.layer_norm(tokens, self.norm.normalized_shape, self.norm.weight, None, self.norm.eps)
        projected = (
            F.linear(x, weights.query, weights.query_bias),
            F.linear(x, weights.key),
            F.linear(x, weights.value),
        )
        query, key, value = (self._to_heads(y.unflatten(1, (height, width))) for y in projected)
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=weights.position)
        windows = x.transpose(1, 2).unflatten(1, (self.window, self.window)).flatten(3)
        x = from_windows(windows, height, width).flatten(1, 2)
        return F.linear(x, self.proj.weight, weights.out_bias)

    def _to_heads(self, maps: Tensor) -> Tensor:
        """Cut maps (B, H, W, C) into windows (N, heads, window * window, C / heads)."""
        windows = to_windows(maps, self.window).flatten(1, 2)
        return windows.unflatten(2, (self.heads, -1)).transpose(1, 2)


class NormalizedMLP(nn.Module):
    """Two linear layers behind a layer normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, EXPANSION * channels)
        self.fc2 = nn.Linear(EXPANSION * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., C) to tokens (..., C)."""
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Window attention, a depthwise convolution across window borders, and an MLP."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(channels, heads, window)
        self.local_conv = ConvBN(channels, channels, 3, groups=channels)
        self.mlp = NormalizedMLP(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        _, _, height, width = x.shape
        tokens = to_tokens(x)
        tokens = tokens + self.attn(tokens, height, width)
        tokens = to_tokens(self.local_conv(from_tokens(tokens, height, width)))
        tokens = tokens + self.mlp(tokens)
        return from_tokens(tokens, height, width)
