"""What several of the networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EMBEDDING_CHANNELS = 256
"""Channels of the image embedding, and of everything inside the decoder."""


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of a map (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every pixel by itself."""
        return from_tokens(super().forward(to_tokens(x)), *x.shape[2:])


class Tokens(nn.Module):
    """Learned vectors, (count, channels), with the parameter name of ``nn.Embedding``."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(count, channels))


def normal(*shape: int, deviation: float = 1.0) -> Tensor:
    """Draw from a normal distribution around 0; on the meta device, nothing is drawn.

    There, torch's own functions import its compiler first, which takes seconds.
    """
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_(std=deviation)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, channels: int, hidden: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, hidden)
        self.act = activation()
        self.lin2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., C) to tokens (..., C)."""
        return self.lin2(self.act(self.lin1(x)))


def embedding_neck(channels: int) -> nn.Sequential:
    """Two convolutions that bring an encoder's last map to the channels of the embedding."""
    return nn.Sequential(
        nn.Conv2d(channels, EMBEDDING_CHANNELS, 1, bias=False),
        LayerNorm2d(EMBEDDING_CHANNELS),
        nn.Conv2d(EMBEDDING_CHANNELS, EMBEDDING_CHANNELS, 3, padding=1, bias=False),
        LayerNorm2d(EMBEDDING_CHANNELS),
    )


def to_windows(x: Tensor, window: int) -> Tensor:
    """Cut maps (B, H, W, C) into square windows, padded with zeros on the right and bottom.

    Returns
    -------
    Tensor
        (B * rows * columns, window, window, C)
    """
    _, height, width, channels = x.shape
    rows, columns = -(-height // window), -(-width // window)
    below, beside = rows * window - height, columns * window - width
    x = F.pad(x.flatten(2), (0, beside * channels, 0, below))
    x = x.reshape(-1, rows, window, columns, window * channels).transpose(2, 3)
    return x.reshape(-1, window, window, channels)


def from_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """Put windows (N, window, window, C) back together into maps (B, height, width, C)."""
    _, window, _, channels = windows.shape
    rows, columns = -(-height // window), -(-width // window)
    x = windows.reshape(-1, rows, columns, window, window * channels).transpose(2, 3)
    x = x.reshape(-1, rows * window, columns * window * channels)
    return x[:, :height, : width * channels].unflatten(2, (width, channels))


def to_tokens(x: Tensor) -> Tensor:
    """Map features (B, C, H, W) to tokens (B, H * W, C), which have no layout but one."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def from_tokens(tokens: Tensor, height: int, width: int) -> Tensor:
    """Map tokens (B, H * W, C) to features (B, C, H, W)."""
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)
