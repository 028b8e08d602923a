"""Propose boxes with the object-aware detector (MobileSAMv2, arXiv 2312.09579, section 3.2)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_mobilesam.core.geometry import InputFrame, Window
from napari_mobilesam.core.settings import DetectorSettings
from napari_mobilesam.core.suppression import fuse, nms

STRIDE = 32
"""The detector's input sides are multiples of this."""

OWN_ZOOM, MAX_OWN_SIZE = 2.0, 1536
"""Where no size is set, the detector sees images so many times as large, up to a longest side."""

FAINT, SAME_OBJECT = 0.05, 0.45
"""A look takes boxes of so little confidence along, as another may confirm them; and the least IoU
of boxes of one object in several looks."""

PADDING_GREY = 114
"""Grey level that ultralytics pads its training images with."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """Boxes that may hold an object, most confident first.

    Parameters
    ----------
    boxes_yxyx : (N, 4) float64 array
        Half-open boxes (y0, x0, y1, x1) inside the plane.
    confidence : (N,) float32 array
        Detector confidence, in [0, 1].
    """

    boxes_yxyx: NDArray[np.float64]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, index: slice | NDArray[np.generic]) -> "Proposals":
        """Choose some of the proposals; the first are the most confident."""
        return Proposals(self.boxes_yxyx[index], self.confidence[index])

    def within(self, region: Window) -> "Proposals":
        """Keep the boxes whose centre lies in a half-open window (y0, x0, y1, x1)."""
        centre = self.boxes_yxyx.reshape(-1, 2, 2).mean(axis=1)
        inside = ((centre >= region[:2]) & (centre < region[2:])).all(axis=1)
        return self[inside]


class Detector:
    """A one-class YOLOv8 network and the device it runs on.

    Parameters
    ----------
    network : Module
        As :func:`~napari_mobilesam.zoo.checkpoints.load_detector` returns it.
    device : torch.device
        Where to run it.
    """

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def propose(self, rgb: NDArray[np.uint8], settings: DetectorSettings) -> Proposals:
        """Find objects in an RGB plane (H, W, 3).

        Returns
        -------
        Proposals
            At most ``settings.max_objects`` boxes, after non-maximum suppression, and fusion
            where there was a second look.
        """
        longest_side = settings.image_size or min(
            round(OWN_ZOOM * max(rgb.shape[:2])), MAX_OWN_SIZE
        )
        frame = InputFrame(rgb.shape[:2], longest_side)
        if not settings.second_look:
            return _inside(*self._look(rgb, frame, settings), frame.plane_shape)
        faint = settings.changed(confidence=min(settings.confidence, FAINT))
        turned = np.ascontiguousarray(rgb[::-1, ::-1])
        looks = [self._look(rgb, frame, faint), self._look(turned, frame, faint)]
        boxes, confidence = (list(arrays) for arrays in zip(*looks, strict=True))
        boxes[1] = (np.tile(frame.plane_shape, 2) - boxes[1])[:, [2, 3, 0, 1]]
        fused, scores = fuse(boxes, confidence, SAME_OBJECT)
        best = np.argsort(-scores, kind="stable")[: settings.max_objects]
        best = best[scores[best] > settings.confidence]
        return _inside(fused[best], scores[best].astype(np.float32), frame.plane_shape)

    def _look(
        self, rgb: NDArray[np.uint8], frame: InputFrame, settings: DetectorSettings
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Boxes (N, 4) in plane pixels and their confidence, after suppression."""
        output = self._network(_letterbox(rgb, frame).to(self._device))
        centre, size, confidence = output[0][0].float().split([2, 2, 1])
        likely = confidence[0] > settings.confidence
        corners = torch.cat([centre - size / 2, centre + size / 2]).T[likely].cpu().numpy()
        scores = confidence[0, likely].cpu().numpy()
        kept = nms(corners, scores, settings.nms_iou, settings.max_objects)
        return frame.boxes_from_input(corners[kept]), scores[kept]


def _letterbox(rgb: NDArray[np.uint8], frame: InputFrame) -> torch.Tensor:
    """Resize to the detector's image size and pad to its stride, (1, 3, h, w) in [0, 1]."""
    rows, cols = frame.resized_shape
    resized = Image.fromarray(rgb).resize((cols, rows), Image.Resampling.BILINEAR)
    padded = np.full(
        (-(-rows // STRIDE) * STRIDE, -(-cols // STRIDE) * STRIDE, 3), PADDING_GREY, dtype=np.uint8
    )
    padded[:rows, :cols] = np.asarray(resized)
    return torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255.0


def _inside(
    boxes: NDArray[np.float64], confidence: NDArray[np.float32], plane_shape: tuple[int, int]
) -> Proposals:
    """Clip boxes to the plane and drop those that the padding alone has proposed."""
    clipped = np.clip(boxes.reshape(-1, 2, 2), 0, plane_shape).reshape(-1, 4)
    real = (clipped[:, 2:] - clipped[:, :2] >= 1.0).all(axis=1)
    return Proposals(clipped[real], confidence[real])
