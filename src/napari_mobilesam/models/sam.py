"""SAM as a whole: normalise, encode, decode; and how each known architecture is put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.models.efficientvit import EfficientViT
from napari_mobilesam.models.mask_decoder import DecoderImage, GridWindow, MaskDecoder
from napari_mobilesam.models.prompt_encoder import PromptEncoder
from napari_mobilesam.models.tiny_vit import TinyViT
from napari_mobilesam.models.vit import ViT

Architecture = Literal[
    "tiny_vit",
    "tiny_vit_unstrided",
    "vit_b",
    "vit_l",
    "vit_h",
    "efficientvit_l0",
    "efficientvit_l1",
    "efficientvit_l2",
]

ImageEncoder = TinyViT | ViT | EfficientViT


@dataclass(frozen=True, slots=True)
class Normalization:
    """How pixel values become network input.

    Parameters
    ----------
    scheme : "mean_std" or "min_max"
        Subtract a mean and divide by a standard deviation, channel by channel; or map the least
        value of the image to 0 and the greatest to 1, as LiteMedSAM does.
    mean, std : tuple of float
        Red, green and blue, for values in 0..255; used by "mean_std". The defaults are SAM's, and
        the ones of MobileSAM, MobileSAMv2 and its EfficientViT encoders.
    """

    scheme: Literal["mean_std", "min_max"] = "mean_std"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    def apply(self, rgb: Tensor) -> Tensor:
        """Normalise images (B, 3, h, w) with values in 0..255."""
        x = rgb.to(torch.float32)
        if self.scheme == "min_max":
            low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
            return (x - low) / (high - low).clamp_min(1e-8)
        mean, std = (x.new_tensor(value).view(3, 1, 1) for value in (self.mean, self.std))
        return (x - mean) / std


class Sam(nn.Module):
    """An image encoder, a prompt encoder and a mask decoder.

    Parameters
    ----------
    image_encoder : TinyViT, ViT or EfficientViT
    prompt_encoder : PromptEncoder
    mask_decoder : MaskDecoder
    normalization : Normalization
        How the image encoder expects its input.
    """

    image_encoder: ImageEncoder

    def __init__(
        self,
        image_encoder: ImageEncoder,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        normalization: Normalization,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.normalization = normalization

    @property
    def embedding_stride(self) -> int:
        """Input pixels per position of the embedding; a quarter of it per pixel of the logits."""
        return self.image_encoder.embedding_stride

    def preprocess(self, rgb: Tensor, input_size: int) -> Tensor:
        """Normalise images that were resized to the input, and pad them to a square.

        Parameters
        ----------
        rgb : Tensor
            (B, 3, h, w), any real type, values in 0..255, h and w at most `input_size`.
        input_size : int
            Side of the square input, in pixels; a multiple of 64.

        Returns
        -------
        Tensor
            (B, 3, input_size, input_size) float32, zero beyond the image on the right and bottom.

        Raises
        ------
        ImageError
            If an image is larger than the input.
        """
        height, width = rgb.shape[-2:]
        if max(height, width) > input_size:
            raise ImageError(
                "the image is larger than the input of the encoder",
                expected=f"at most {input_size} x {input_size} pixels",
                got=f"{height} x {width}",
                remedy="Resize its longest side first.",
            )
        padding = (0, input_size - width, 0, input_size - height)
        return F.pad(self.normalization.apply(rgb), padding)

    def encode(self, x: Tensor) -> Tensor:
        """Encode preprocessed images (B, 3, S, S).

        Returns
        -------
        Tensor
            (B, 256, e, e) with e = S / `embedding_stride`
        """
        embedding: Tensor = self.image_encoder(x)
        return embedding

    def prepare(self, embedding: Tensor) -> DecoderImage:
        """Compute what the decoder needs of an embedding, whatever the prompts.

        The embedding is (1, 256, e, e), or (N, 256, e, e) of N images; of those,
        :meth:`DecoderImage.for_prompts` gives each prompt its own.
        """
        encoding = self.prompt_encoder.grid_encoding(*embedding.shape[-2:])
        no_mask = self.prompt_encoder.no_mask_embed.weight
        return self.mask_decoder.prepare(embedding, encoding, no_mask)

    def decode(
        self,
        image: Tensor | DecoderImage,
        *,
        points_xy: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes_xyxy: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask: bool,
        input_size: int,
        windows: Sequence[GridWindow] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts on one image; each may have points, a box and a mask.

        Coordinates are (x, y) in pixels of the padded input, pixel centres at integers.

        Parameters
        ----------
        image : Tensor or DecoderImage
            Embedding (1, 256, e, e), or what :meth:`prepare` made of it.
        points_xy : Tensor, optional
            (B, N, 2)
        point_labels : Tensor, optional
            (B, N): 1 on the object, 0 beside it, -1 for padding. Given whenever points are.
        boxes_xyxy : Tensor, optional
            (B, 4)
        mask_input : Tensor, optional
            (B, 1, 4e, 4e) logits of an earlier prediction.
        multimask : bool
            Three masks a prompt, of part, object and group, instead of one.
        input_size : int
            Side of the square input that was encoded, in pixels.
        windows : sequence of (y0, x0, y1, x1), optional
            For each prompt, the positions of the embedding where logits are wanted.

        Returns
        -------
        low_res_logits : Tensor
            (B, K, 4e, 4e) with K = 3 or 1; positive inside the mask, far below zero outside a
            window.
        iou : Tensor
            (B, K), the predicted intersection over union with the true mask.
        """
        sparse, dense = self.prompt_encoder(
            points_xy=points_xy,
            point_labels=point_labels,
            boxes_xyxy=boxes_xyxy,
            mask_input=mask_input,
            input_size=input_size,
        )
        logits, iou = self.mask_decoder(
            self.prepare(image) if isinstance(image, Tensor) else image,
            sparse,
            None if mask_input is None else dense,
            multimask=multimask,
            windows=windows,
        )
        return logits, iou


def build_sam(architecture: Architecture, normalization: Normalization = Normalization()) -> Sam:
    """Build a model with random weights, in evaluation mode.

    Under ``with torch.device("meta")`` this costs neither time nor memory; give the model its
    weights with ``load_state_dict(..., assign=True)``.

    Parameters
    ----------
    architecture : str
        "tiny_vit" (MobileSAM), "tiny_vit_unstrided" (LiteMedSAM), "vit_b", "vit_l", "vit_h"
        (SAM) or "efficientvit_l0", "efficientvit_l1", "efficientvit_l2" (MobileSAMv2).
    normalization : Normalization
        How the image encoder expects its input.

        LiteMedSAM is reproduced by ``Normalization("min_max")`` and an input of 256 pixels, all
        others by the default and 1024; EfficientViT halves its input itself.
    """
    encoder = _build_encoder(architecture)
    return Sam(encoder, PromptEncoder(), MaskDecoder(), normalization).eval()


def _build_encoder(architecture: Architecture) -> ImageEncoder:
    match architecture:
        case "tiny_vit":
            return TinyViT()
        case "tiny_vit_unstrided":
            return TinyViT(strided_stem=False)
        case "vit_b":
            return ViT(768, depth=12, heads=12)
        case "vit_l":
            return ViT(1024, depth=24, heads=16)
        case "vit_h":
            return ViT(1280, depth=32, heads=16)
        case "efficientvit_l0":
            return EfficientViT((1, 1, 1, 4, 4), neck_depth=4)
        case "efficientvit_l1":
            return EfficientViT((1, 1, 1, 6, 6), neck_depth=8)
        case "efficientvit_l2":
            return EfficientViT((1, 2, 2, 8, 8), neck_depth=12)
