"""Embed a plane: once an image, whatever is asked about it afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from napari_mobilesam.core.geometry import InputFrame, InputSize, Window, side_for
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
    window: Window | None = None,
    cached: "CachedEmbeddings | None" = None,
) -> ImageEmbedding:
    """Stretch a plane to 8 bits, resize it to the input and encode it, unless that is cached.

    See :func:`napari_mobilesam.core.planes.to_rgb8` for what an image may be.
    """
    plane_shape = np.shape(image)[:2]
    is_percentile = isinstance(limits, str) and limits == "percentile"
    if window is not None and not is_percentile and hasattr(image, "shape"):
        (y0, x0, y1, x1), lazy = window, cast("Any", image)
        rgb = to_rgb8(lazy[y0:y1, x0:x1], limits, channels)
    else:
        rgb = to_rgb8(image, limits, channels, window)
    frame = frame_for(engine, input_size, (plane_shape[0], plane_shape[1]), window)
    return embed_seen(engine, rgb, frame, model=model, cached=cached)


def frame_for(
    engine: Engine, input_size: InputSize, plane_shape: tuple[int, int], window: Window | None
) -> InputFrame:
    """Lay a plane, or a window of it, into the encoder's input."""
    y0, x0, y1, x1 = window or (0, 0, *plane_shape)
    side = side_for(input_size, (y1 - y0, x1 - x0))
    return InputFrame(plane_shape, side, engine.logits_stride, window)


def embed_seen(
    engine: Engine,
    rgb: NDArray[np.uint8],
    frame: InputFrame,
    *,
    model: str,
    cached: "CachedEmbeddings | None" = None,
) -> ImageEmbedding:
    """Encode what a frame shows of a plane, 8-bit RGB."""

    def encode() -> NDArray[np.float32]:
        return engine.encode(resize_to_input(rgb, frame), frame.input_size)

    features = encode() if cached is None else cached.read_or_compute(rgb, frame, encode)
    return ImageEmbedding(features, frame, model)


def resize_to_input(rgb: NDArray[np.uint8], frame: InputFrame) -> NDArray[np.uint8]:
    """Resize an RGB plane to fill the input, by Pillow's antialiased bilinear as SAM does."""
    rows, cols = frame.resized_shape
    resized = Image.fromarray(rgb).resize((cols, rows), Image.Resampling.BILINEAR)
    return np.array(resized)
