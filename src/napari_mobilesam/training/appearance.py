"""How images may look: colours, contrast, light, sharpness and noise, varied on any device."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

_RADIUS = 4
"""Pixels to each side that the blur reaches."""


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Draw uniformly between two values, on the generator's device."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * drawn


def vary_appearance(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Alter what does not move the objects.

    Parameters
    ----------
    images : Tensor
        (B, 3, H, W), values in 0..1.
    share : float
        Odds of each image to have its gamma altered; its range is narrowed at 0.6 times these
        odds, and colours, polarity, light, sharpness and noise are altered at fixed, lower ones.
    generator : Generator
        On the device of the images.

    Returns
    -------
    Tensor
        The same shape and range.
    """

    def between(low: float, high: float, channels: int = 1) -> Tensor:
        return uniform((len(images), channels, 1, 1), low, high, generator)

    def some(odds: float, altered: Tensor) -> Tensor:
        return torch.where(between(0, 1) < odds, altered, images)

    images = some(0.15, images.mean(1, keepdim=True).expand_as(images))
    order = torch.rand(len(images), 3, generator=generator, device=images.device).argsort(1)
    images = some(0.15, images.gather(1, order[:, :, None, None].expand_as(images)))
    images = some(0.3, (images * between(0.8, 1.2, 3)).clamp(0, 1))
    images = some(0.12, 1 - images)
    images = some(share, images.clamp_min(1e-4) ** between(-0.8, 0.8).exp())
    low, high = between(0, 0.3), between(0.55, 1)
    images = some(0.6 * share, low + (high - low) * images)
    images = some(0.15, _uneven(images, between(-0.4, 0.4), between(-0.4, 0.4)))
    images = some(0.2, _blurred(images, between(0.4, 1.6)))
    grain = torch.randn(images[:, :1].shape, generator=generator, device=images.device)
    return some(0.25, images + between(0.01, 0.1) * grain).clamp(0, 1)


def _uneven(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Light that grows or falls from border to border, by a share (B, 1, 1, 1) each way."""
    height, width = (torch.linspace(-1, 1, n, device=images.device) for n in images.shape[-2:])
    return (images * (1 + down * height[:, None] + across * width)).clamp(0, 1)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, by a sigma in pixels for each image (B, 1, 1, 1)."""
    batch, channels = images.shape[:2]
    offset = torch.arange(-_RADIUS, _RADIUS + 1, device=images.device)
    kernel = (-0.5 * (offset / sigma.view(-1, 1)) ** 2).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    padded = F.pad(images, [_RADIUS] * 4, mode="replicate")
    flat = padded.reshape(1, batch * channels, *padded.shape[-2:])
    flat = F.conv2d(flat, kernel[..., None], groups=batch * channels)
    flat = F.conv2d(flat, kernel[..., None, :], groups=batch * channels)
    return flat.view_as(images)
