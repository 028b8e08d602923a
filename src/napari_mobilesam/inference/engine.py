"""The one place where arrays become tensors: a small interface behind which a network runs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.models.sam import Sam

CPU_CHUNK = 4
GPU_CHUNK = 64


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
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode B objects to logits (B, K, S/4, S/4) and predicted IoU (B, K)."""


class TorchEngine:
    """The default engine: torch, on any of its devices."""

    def __init__(self, sam: Sam, device: torch.device) -> None:
        self._sam = sam.to(device).eval()
        self._device = device

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
        features = self._sam.encode(self._sam.preprocess(image, input_size))
        return features[0].float().cpu().numpy()

    @torch.inference_mode()
    def decode(
        self,
        features: NDArray[np.float32],
        prompts: PromptArrays,
        *,
        multimask: bool,
        input_size: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode B objects to logits (B, K, S/4, S/4) and predicted IoU (B, K)."""
        logits, scores = self._sam.decode(
            self._tensor(features)[None],
            points_xy=self._optional(prompts.points_xy),
            point_labels=self._optional(prompts.point_labels),
            boxes_xyxy=self._optional(prompts.boxes_xyxy),
            mask_input=self._optional(prompts.mask_inputs),
            multimask=multimask,
            input_size=input_size,
        )
        return logits.float().cpu().numpy(), scores.float().cpu().numpy()

    def _tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def _optional(self, array: NDArray[np.generic] | None) -> torch.Tensor | None:
        return None if array is None else self._tensor(array)


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
