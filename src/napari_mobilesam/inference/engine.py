"""The one place where arrays become tensors: a small interface behind which a network runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import ReferenceType, ref

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.models.mask_decoder import DecoderImage, GridWindow
from napari_mobilesam.models.sam import Sam

CPU_CHUNK = 4
GPU_CHUNK = 64

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, eq=False)
class PromptArrays:
    """Prompts of B objects that are alike in kind, in (x, y) pixels of the encoder's input.

    Parameters
    ----------
    points_xy : (B, N, 2) float32 array or None
        Points.
    point_labels : (B, N) int64 array or None
        1 on the object, 0 beside it.
    boxes_xyxy : (B, 4) float32 array or None
        Boxes.
    mask_inputs : (B, 1, S/4, S/4) float32 array or None
        Low-resolution logits.
    """

    points_xy: NDArray[np.float32] | None = None
    point_labels: NDArray[np.int64] | None = None
    boxes_xyxy: NDArray[np.float32] | None = None
    mask_inputs: NDArray[np.float32] | None = None


class Engine(Protocol):
    """Runs the networks of one model; numpy in, numpy out."""

    @property
    def logits_stride(self) -> int:
        """Input pixels per pixel of the low-resolution logits."""

    @property
    def chunk_size(self) -> int:
        """Objects to decode at a time."""

    def encode(self, rgb: NDArray[np.uint8], input_size: int) -> NDArray[np.float32]:
        """Embed an RGB image (h, w, 3) no larger than the input, to (256, S/16, S/16)."""

    def decode(
        self,
        features: NDArray[np.float32],
        prompts: PromptArrays,
        *,
        multimask: bool,
        input_size: int,
        windows: Sequence[GridWindow] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode B objects to logits (B, K, S/4, S/4) and predicted IoU (B, K).

        With a window (y0, x0, y1, x1) of the embedding's positions for each object, logits are
        wanted there alone; elsewhere they may be anything that is finite and far below zero.
        """


class TorchEngine:
    """The default engine: torch, on any of its devices.

    Parameters
    ----------
    sam : Sam
        The networks; they are moved to ``device``, and encoder and mask decoder cast to ``dtype``.
    device : torch.device
        Where to run.
    dtype : torch.dtype
        What to compute in. Prompts are always embedded in float32: they are coordinates.
    """

    def __init__(self, sam: Sam, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._sam = sam.to(device).eval()
        sam.image_encoder.to(dtype)
        sam.mask_decoder.to(dtype)
        self._device = device
        self._dtype = dtype
        self._latest: tuple[ReferenceType[NDArray[np.float32]], DecoderImage] | None = None

    @property
    def logits_stride(self) -> int:
        """Input pixels per pixel of the low-resolution logits: a quarter of the embedding's."""
        return self._sam.embedding_stride // 4

    @property
    def chunk_size(self) -> int:
        """Objects to decode at a time: few where the cache is the limit, many on a GPU."""
        return CPU_CHUNK if self._device.type == "cpu" else GPU_CHUNK

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8], input_size: int) -> NDArray[np.float32]:
        """Embed an RGB image (h, w, 3) no larger than the input, to (256, S/16, S/16)."""
        image = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None]
        features = self._sam.encode(self._sam.preprocess(image, input_size).to(self._dtype))
        return features[0].float().contiguous().cpu().numpy()

    @torch.inference_mode()
    def decode(
        self,
        features: NDArray[np.float32],
        prompts: PromptArrays,
        *,
        multimask: bool,
        input_size: int,
        windows: Sequence[GridWindow] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode B objects to logits (B, K, S/4, S/4) and predicted IoU (B, K).

        Windows save work on a CPU; a GPU is faster without.
        """
        logits, scores = self._sam.decode(
            self._prepared(features),
            points_xy=self._optional(prompts.points_xy),
            point_labels=self._optional(prompts.point_labels),
            boxes_xyxy=self._optional(prompts.boxes_xyxy),
            mask_input=self._optional(prompts.mask_inputs),
            multimask=multimask,
            input_size=input_size,
            windows=windows if self._device.type == "cpu" else None,
        )
        return logits.float().cpu().numpy(), scores.float().cpu().numpy()

    def _prepared(self, features: NDArray[np.float32]) -> DecoderImage:
        """Reuse the image's part in the decoder while the prompts are about the same embedding."""
        latest = self._latest  # another thread may replace it
        if latest is not None and latest[0]() is features:
            return latest[1]
        image = self._sam.prepare(self._tensor(features)[None])
        self._latest = ref(features), image
        return image

    def _tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def _optional(self, array: NDArray[np.generic] | None) -> torch.Tensor | None:
        return None if array is None else self._tensor(array)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Resolve a precision.

    Parameters
    ----------
    name : str
        "float32", "bfloat16", "float16", or "auto": float16 on a GPU, bfloat16 on a CPU with
        instructions for it (AVX-512 BF16), else float32.
    device : torch.device
        Where the networks run.

    Raises
    ------
    SettingsError
        If there is no such precision.
    """
    if name == "auto":
        if device.type in ("cuda", "mps"):
            return torch.float16
        return torch.bfloat16 if _has_bfloat16() else torch.float32
    if name not in _DTYPES:
        raise SettingsError(
            "there is no such precision",
            expected=f'"auto" or one of {", ".join(_DTYPES)}',
            got=repr(name),
            remedy='Leave precision="auto" for what suits the device.',
        )
    return _DTYPES[name]


def _has_bfloat16() -> bool:
    capabilities: dict[str, bool] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # since torch 2.10
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def choose_device(name: str) -> torch.device:
    """Resolve a device name.

    Parameters
    ----------
    name : str
        "auto" (a CUDA GPU if there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    SettingsError
        If torch does not know the device or cannot use it here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(
            "this device cannot be used here",
            expected='"auto", "cpu", "cuda" or "mps", as far as the machine has it',
            got=repr(name),
            remedy='Leave device="auto" to use what there is.',
        ) from error
    return device
