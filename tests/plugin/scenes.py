"""Images of every kind that napari shows, each with one pixel whose place and value are known."""

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

MARK = 200


@dataclass(frozen=True)
class Scene:
    """An image with a single bright pixel, and how the viewer looks at it."""

    shape: tuple[int, ...]
    pixel: tuple[int, ...]
    settings: dict[str, Any]
    order: tuple[int, ...] | None = None
    kind: str = "numpy"

    def open(self) -> tuple[ViewerModel, Image]:
        """Show the plane that holds the bright pixel."""
        data = np.zeros(self.shape, np.uint8)
        data[self.pixel] = MARK
        viewer = ViewerModel()
        if self.kind == "multiscale":
            lazy = da.from_array(data, chunks=16)
            layer = viewer.add_image([lazy, lazy[..., ::2, ::2]], multiscale=True, **self.settings)
        else:
            layer = viewer.add_image(data, **self.settings)
        if self.order is not None:
            viewer.dims.order = self.order
        world = layer.data_to_world(self.pixel[: layer.ndim])
        viewer.dims.set_point(range(layer.ndim), world)
        return viewer, layer


TURNED = [[0.8, -0.6, 10], [0.6, 0.8, -4], [0, 0, 1]]
STACK = {"scale": (2, 3, 0.5, 0.25), "translate": (1, -2, 3, 4)}

SCENES = {
    "plain": Scene((30, 40), (11, 23), {}),
    "scaled": Scene((30, 40), (11, 23), {"scale": (0.1, 0.2), "units": ("um", "um")}),
    "translated": Scene((30, 40), (11, 23), {"translate": (100, -50)}),
    "rotated": Scene((30, 40), (11, 23), {"rotate": 30, "scale": (2, 2)}),
    "sheared": Scene((30, 40), (11, 23), {"shear": [0.3]}),
    "turned by an affine": Scene((30, 40), (11, 23), {"affine": TURNED, "scale": (3, 3)}),
    "RGB": Scene((30, 40, 3), (11, 23, 1), {"rgb": True, "scale": (0.5, 0.5)}),
    "3-D": Scene((7, 30, 40), (4, 11, 23), {"scale": (5, 1, 1)}),
    "4-D": Scene((3, 5, 30, 40), (2, 3, 11, 23), STACK),
    "4-D, rows along z": Scene((3, 5, 30, 40), (2, 3, 11, 23), STACK, order=(0, 2, 1, 3)),
    "4-D, turned over": Scene((3, 5, 30, 40), (2, 3, 11, 23), STACK, order=(3, 2, 1, 0)),
    "4-D, transposed": Scene((3, 5, 30, 40), (2, 3, 11, 23), STACK, order=(0, 1, 3, 2)),
    "multiscale dask": Scene((64, 80), (11, 23), {"scale": (2, 2)}, kind="multiscale"),
    "multiscale dask stack": Scene((4, 64, 80), (3, 11, 23), {}, kind="multiscale"),
}
