"""Rearrange a loaded network for inference; what it computes stays the same."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_mobilesam.models.sam import Sam
from napari_mobilesam.models.tiny_vit import TinyViT, WindowAttention

BAND = 32
"""Rows of the output that are processed together on a CPU."""

CONVOLUTIONAL = {
    "patch_embed": 4,
    "layers.0.blocks.0": 1,
    "layers.0.blocks.1": 1,
    "layers.0.downsample": 2,
}
"""TinyViT's first modules, those with the largest maps, and by how much each reduces them."""


def accelerate(sam: Sam, device: torch.device) -> Sam:
    """Prepare a network for inference, in place; it cannot be trained any more.

    Batch normalisations are folded into the convolutions before them and the projections of window
    attention laid out once. On a CPU, TinyViT's first stages work through the image in bands: whole
    maps of theirs take 64 MB each, which is more than any cache, and fresh memory for each layer.
    """
    with torch.no_grad():
        for module in sam.image_encoder.modules():
            _fold_batch_norms(module)
            if isinstance(module, WindowAttention):
                module.fix()
    encoder = sam.image_encoder
    if device.type == "cpu" and isinstance(encoder, TinyViT) and encoder.embedding_stride == 16:
        for path, stride in CONVOLUTIONAL.items():
            encoder.set_submodule(path, InBands(encoder.get_submodule(path), stride))
    return sam


class InBands(nn.Module):
    """Runs convolutions on one band of rows after the other.

    Parameters
    ----------
    inner : Module
        Maps (B, C, H, W) to (B, D, H / stride, W / stride). It must see at most ``stride`` rows
        of the input beyond those that a row of its output stands for.
    stride : int
        Rows of the input per row of the output; H is a multiple of it.
    """

    def __init__(self, inner: nn.Module, stride: int) -> None:
        super().__init__()
        self.inner = inner
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) as the inner module does."""
        height, stride = x.shape[2] // self.stride, self.stride
        bands = []
        for top in range(0, height, BAND):
            bottom = min(top + BAND, height)
            begin, end = max(top - 1, 0), min(bottom + 1, height)
            y = self.inner(x[:, :, stride * begin : stride * end])
            bands.append(y[:, :, top - begin : bottom - begin])
        return torch.cat(bands, dim=2)


def _fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch normalisation among the children into the convolution before it."""
    children = list(module.named_children())
    for (conv_name, conv), (norm_name, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(conv, norm).to(memory_format=torch.channels_last)
            setattr(module, conv_name, folded)
            setattr(module, norm_name, nn.Identity())
