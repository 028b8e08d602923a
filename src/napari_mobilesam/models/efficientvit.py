"""EfficientViT-SAM, the larger image encoders of MobileSAMv2.

Cai et al., "EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction",
ICCV 2023 (arXiv 2205.14756); Zhang et al., "EfficientViT-SAM" (arXiv 2402.05008), section 3.2;
MobileSAMv2: Zhang et al., "MobileSAMv2" (arXiv 2312.09579).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.models.layers import EMBEDDING_CHANNELS, LayerNorm2d

WIDTHS = (32, 64, 128, 256, 512)
HEAD_CHANNELS = 32
EPSILON = 1e-6


class EfficientViT(nn.Module):
    """EfficientViT-L encoder with SAM's embedding.

    It halves its input first, so that the embedding has a stride of 16: normalised and padded as
    SAM's, 1024 pixels go in and the network sees 512, as in MobileSAMv2. Parameter names are
    those of `image_encoder` in EfficientViT-SAM's checkpoints.

    Parameters
    ----------
    depths : tuple of int
        Blocks in each of the five stages, besides the one that halves the resolution.
    neck_depth : int
        Blocks in the neck.

    Attributes
    ----------
    embedding_stride : int
        Input pixels per position of the embedding: 16.
    """

    def __init__(self, depths: tuple[int, int, int, int, int], *, neck_depth: int) -> None:
        super().__init__()
        self.embedding_stride = 16
        self.backbone = Backbone(depths)
        self.neck = Neck(neck_depth)
        self.norm = LayerNorm2d(EMBEDDING_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images.

        Parameters
        ----------
        x : Tensor
            (B, 3, H, W), H and W multiples of 64.

        Returns
        -------
        Tensor
            (B, 256, H / 16, W / 16)
        """
        height, width = x.shape[-2:]
        x = F.interpolate(x, (height // 2, width // 2), mode="bilinear")
        return self.norm(self.neck(self.backbone(x)))


class Backbone(nn.Module):
    """Five stages, each at half the resolution of the one before."""

    def __init__(self, depths: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = WIDTHS
        d0, d1, d2, d3, d4 = depths
        self.stages = nn.ModuleList(
            [
                Chain(
                    ConvLayer(3, w0, 3, stride=2, act=True),
                    *(Residual(ResBlock(w0)) for _ in range(d0)),
                ),
                Chain(
                    Residual(FusedMBConv(w0, w1, 16, stride=2), skip=False),
                    *(Residual(FusedMBConv(w1, w1, 4)) for _ in range(d1)),
                ),
                Chain(
                    Residual(FusedMBConv(w1, w2, 16, stride=2), skip=False),
                    *(Residual(FusedMBConv(w2, w2, 4)) for _ in range(d2)),
                ),
                Chain(
                    Residual(MBConv(w2, w3, 16, stride=2), skip=False),
                    *(Residual(MBConv(w3, w3, 4)) for _ in range(d3)),
                ),
                Chain(
                    Residual(MBConv(w3, w4, 24, stride=2), skip=False),
                    *(AttentionBlock(w4) for _ in range(d4)),
                ),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to the last three stages' features, finest first."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[-3:]


class Neck(nn.Module):
    """Adds up the features of three stages at the finest one's resolution, and refines them."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        width = EMBEDDING_CHANNELS
        self.input_ops = nn.ModuleList(
            [Chain(ConvLayer(channels, width)) for channels in reversed(WIDTHS[-3:])]
        )
        self.middle = Chain(*(Residual(FusedMBConv(width, width, 1)) for _ in range(depth)))
        self.output_ops = nn.ModuleList([Chain(ConvLayer(width, width, bias=True, norm=False))])

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map three stages' features, finest first, to (B, 256, h, w) of the finest."""
        size = features[0].shape[-2:]
        x = sum(
            F.interpolate(op(feature), size, mode="bicubic")
            for op, feature in zip(self.input_ops, reversed(features), strict=True)
        )
        return self.output_ops[0](self.middle(x))


class ConvLayer(nn.Module):
    """A convolution with, as wanted, batch normalisation and GELU after it."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: bool = True,
        act: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(out, eps=EPSILON) if norm else nn.Identity()
        self.act = nn.GELU(approximate="tanh") if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, out, H / stride, W / stride)."""
        return self.act(self.norm(self.conv(x)))


class ResBlock(nn.Module):
    """Two 3 x 3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3, act=True)
        self.conv2 = ConvLayer(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        return self.conv2(self.conv1(x))


class FusedMBConv(nn.Module):
    """Inverted residual block whose expansion and depthwise convolution are one convolution."""

    def __init__(self, channels: int, out: int, expansion: int, *, stride: int = 1) -> None:
        super().__init__()
        hidden = expansion * channels
        self.spatial_conv = ConvLayer(channels, hidden, 3, stride=stride, act=True)
        self.point_conv = ConvLayer(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, out, H / stride, W / stride)."""
        return self.point_conv(self.spatial_conv(x))


class MBConv(nn.Module):
    """Inverted residual block, normalised only at its end."""

    def __init__(self, channels: int, out: int, expansion: int, *, stride: int = 1) -> None:
        super().__init__()
        hidden = expansion * channels
        self.inverted_conv = ConvLayer(channels, hidden, bias=True, norm=False, act=True)
        self.depth_conv = ConvLayer(
            hidden, hidden, 3, stride=stride, groups=hidden, bias=True, norm=False, act=True
        )
        self.point_conv = ConvLayer(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, out, H / stride, W / stride)."""
        return self.point_conv(self.depth_conv(self.inverted_conv(x)))


class LinearAttention(nn.Module):
    """Multi-scale ReLU linear attention: the cost grows linearly with the number of pixels.

    Queries, keys and values are taken at two scales, the second from 5 x 5 neighbourhoods.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = 3 * channels
        self.qkv = ConvLayer(channels, width, norm=False)
        self.aggreg = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
                    nn.Conv2d(width, width, 1, groups=width // HEAD_CHANNELS, bias=False),
                )
            ]
        )
        self.proj = ConvLayer(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over features (B, C, H, W)."""
        qkv = self.qkv(x)
        qkv = torch.cat([qkv, *(aggregate(qkv) for aggregate in self.aggreg)], dim=1)
        return self.proj(relu_linear_attention(qkv).to(x.dtype))


def relu_linear_attention(qkv: Tensor) -> Tensor:
    """Linear attention with the kernel relu(q) . relu(k), in single precision.

    Parameters
    ----------
    qkv : Tensor
        (B, heads * 3 * 32, H, W)

    Returns
    -------
    Tensor
        (B, heads * 32, H, W) float32
    """
    height, width = qkv.shape[-2:]
    # Sums over all pixels leave the range of half precision.
    with torch.autocast(qkv.device.type, enabled=False):
        heads = qkv.float().flatten(2).unflatten(1, (-1, 3, HEAD_CHANNELS))
        q, k, v = heads.unbind(2)  # (B, heads, 32, H * W)
        q, k = F.relu(q), F.relu(k)
        weighted = v @ k.transpose(-1, -2) @ q
        total = k.sum(-1, keepdim=True).transpose(-1, -2) @ q
        attended = weighted / (total + 1e-15)
    return attended.flatten(1, 2).unflatten(2, (height, width))


class AttentionBlock(nn.Module):
    """Linear attention for context, an inverted residual block for detail."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.context_module = Residual(LinearAttention(channels))
        self.local_module = Residual(MBConv(channels, channels, 6))

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        return self.local_module(self.context_module(x))


class Residual(nn.Module):
    """A block and, unless it changes the resolution, the connection around it."""

    def __init__(self, main: nn.Module, *, skip: bool = True) -> None:
        super().__init__()
        self.main = main
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W)."""
        y: Tensor = self.main(x)
        return x + y if self.skip else y


class Chain(nn.Module):
    """Blocks one after the other, under the name that the checkpoints use."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.op_list = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W)."""
        return self.op_list(x)
