"""Embed a plane: once an image, whatever is asked about it afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from napari_mobilesam.core.geometry import InputFrame, InputSize, side_for
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.inference.engine import Engine

if TYPE_CHECKING:  # zarr takes as long to import as a small plane to embed
    from napari_mobilesam.inference.cache import CachedEmbeddings


@dataclass(frozen=True, slots=True, eq=False)
class ImageEmbedding:
    """What the encoder says about a plane; all prompts are decoded against it.

    Parameters
    ----------
    features : (256, S/16, S/16) float32 array
        Image embedding for input size S.
    frame : InputFrame
        How the plane lies in the encoder's input.
    model : str
        Name of the model that made it.
    """

    features: NDArray[np.float32]
    frame: InputFrame
    model: str

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of the embedded plane, in pixels."""
        return self.frame.plane_shape


def embed_plane(
    engine: Engine,
    image: ArrayLike,
    *,
    model: str,
    input_size: InputSize,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    cached: "CachedEmbeddings | None" = None,
) -> ImageEmbedding:
    """Stretch a plane to 8 bits, resize it to the input and encode it, unless that is cached.

    See :func:`napari_mobilesam.core.planes.to_rgb8` for what an image may be.
    """
    rgb = to_rgb8(image, limits, channels)
    shape = rgb.shape[:2]
    frame = InputFrame(shape, side_for(input_size, shape), engine.logits_stride)

    def encode() -> NDArray[np.float32]:
        return engine.encode(resize_to_input(rgb, frame), frame.input_size)

    features = encode() if cached is None else cached.read_or_compute(rgb, frame, encode)
    return ImageEmbedding(features, frame, model)


def resize_to_input(rgb: NDArray[np.uint8], frame: InputFrame) -> NDArray[np.uint8]:
    """Resize an RGB plane to fill the input, by Pillow's antialiased bilinear as SAM does."""
    rows, cols = frame.resized_shape
    resized = Image.fromarray(rgb).resize((cols, rows), Image.Resampling.BILINEAR)
    return np.array(resized)
