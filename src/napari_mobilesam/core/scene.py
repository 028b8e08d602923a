"""An image and the instances in it, as models learn from it and are judged by it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image and every object in it.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or uint16 from a camera of more than 8 bits.
    labels : (H, W) int32 array
        Whole objects, numbered from 1, 0 = background. An object that others hide in part keeps
        only what is visible of it.
    inner : (H, W) int32 array
        Objects that lie inside those of `labels`, such as a nucleus in a cell; numbered from 1,
        else 0.
    """

    image: NDArray[np.uint8 | np.uint16]
    labels: Labels
    inner: Labels
