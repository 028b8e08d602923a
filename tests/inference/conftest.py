"""A network whose masks are known: disks around the prompts."""

import numpy as np
import pytest

from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.inference.encode import ImageEmbedding


class DiskEngine:
    """Stands for a network: its masks are disks at the prompt, three sizes a point.

    It keeps the prompts that it was given, chunk by chunk.
    """

    logits_stride = 4
    chunk_size = 3

    def __init__(self):
        self.decoded = []
        self.encoded = []

    @property
    def chunks(self):
        """Number of objects in each chunk."""
        arrays = [
            next(a for a in (p.boxes_xyxy, p.points_xy, p.mask_inputs) if a is not None)
            for p in self.decoded
        ]
        return [len(array) for array in arrays]

    def encode(self, rgb, input_size):
        self.encoded.append(rgb)
        return np.zeros((256, input_size // 16, input_size // 16), np.float32)

    def decode(self, features, prompts, *, multimask, input_size, windows=None):  # noqa: ARG002
        self.decoded.append(prompts)
        if prompts.boxes_xyxy is not None:
            corners = prompts.boxes_xyxy.reshape(-1, 2, 2)
            centre, radius = corners.mean(axis=1), np.ptp(corners, axis=1).min(axis=1) / 2
        else:
            centre = prompts.points_xy[:, 0]
            radius = np.full(len(centre), 24.0)
        grid = np.arange(2, input_size, 4)
        distance = np.hypot(
            grid[None, :] - centre[:, 0, None, None], grid[:, None] - centre[:, 1, None, None]
        )
        sizes = np.array([0.5, 1.0, 1.5]) if multimask else np.ones(1)
        logits = (radius[:, None] * sizes)[..., None, None] - distance[:, None]
        scores = np.broadcast_to([0.5, 0.99, 0.9] if multimask else [1.2], logits.shape[:2])
        return logits.astype(np.float32), scores.astype(np.float32)


@pytest.fixture
def engine():
    return DiskEngine()


@pytest.fixture
def embedding():
    """Says nothing about a plane of 60 x 90 pixels."""
    return ImageEmbedding(np.zeros((256, 16, 16), np.float32), InputFrame((60, 90), 256), "disk")
