"""napari's layers as planes and label stores: which plane is shown, where it lies, how to write."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from napari.components import Dims, ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.session.planes import PlaneKey, plane_slices

Appearance = Literal["percentile", "displayed"]
"""Intensities for the encoder: stretched between percentiles, or as the layer shows them."""


@dataclass(frozen=True, slots=True, eq=False)
class DisplayedPlane:
    """The plane of an image layer that a viewer shows, and where it lies in the world.

    Parameters
    ----------
    axes : (int, int)
        The layer's displayed axes in ascending order: rows and columns of the plane.
    index : (D,) int array
        Position of the plane along every axis of the layer; 0 along the displayed ones.
    shape : (int, int)
        Height and width in pixels.
    to_world : (D + 1, D + 1) float array
        Homogeneous matrix from the layer's pixels to the last D axes of the world.
    world_point : tuple of float
        Where the viewer's sliders stand; 0 along the displayed axes.
    """

    axes: tuple[int, int]
    index: NDArray[np.int64]
    shape: tuple[int, int]
    to_world: NDArray[np.float64]
    world_point: tuple[float, ...]

    @classmethod
    def of_key(cls, key: PlaneKey) -> "DisplayedPlane":
        """Plane of an image of unknown size that lies untransformed in the world."""
        ndim = len(key) + 2 - key.count(-1)
        position = (*key, *(-1,) * (ndim - len(key)))
        rows, columns = (axis for axis in range(ndim) if position[axis] < 0)
        index = np.maximum(position, 0)
        return cls((rows, columns), index, (0, 0), np.eye(ndim + 1), tuple(index.tolist()))

    @property
    def key(self) -> PlaneKey:
        """Index along every axis, -1 along displayed ones, without the -1 at the end."""
        entries = [-1 if axis in self.axes else int(i) for axis, i in enumerate(self.index)]
        while entries and entries[-1] == -1:
            entries.pop()
        return tuple(entries)

    def at(self, axis: int, position: int) -> "DisplayedPlane":
        """Plane that is parallel to this one, elsewhere along an axis."""
        index = self.index.copy()
        index[axis] = position
        return replace(self, index=index)

    def is_same(self, other: "DisplayedPlane | None") -> bool:
        """Whether another plane has the same pixels in the same place."""
        return (
            other is not None
            and (self.axes, self.shape) == (other.axes, other.shape)
            and self.world_point == other.world_point
            and np.array_equal(self.index, other.index)
            and np.array_equal(self.to_world, other.to_world)
        )

    def from_world(self, positions: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Map world positions (N, d) to points (N, 2) of the plane, and tell which lie on it.

        Positions with fewer axes than the viewer has lie wherever its sliders stand.
        """
        given = np.atleast_2d(np.asarray(positions, dtype=np.float64))
        world = np.tile(np.asarray(self.world_point), (len(given), 1))
        shared = min(given.shape[1], world.shape[1])
        world[:, world.shape[1] - shared :] = given[:, given.shape[1] - shared :]
        ndim = len(self.index)
        data = apply_affine(inverse(self.to_world), world[:, -ndim:])
        hidden = [axis for axis in range(ndim) if axis not in self.axes]
        on_plane = (np.rint(data[:, hidden]) == self.index[hidden]).all(axis=1)
        return data[:, self.axes], on_plane

    def to_data(self, points_yx: ArrayLike) -> NDArray[np.float64]:
        """Map points (N, 2) of the plane to positions (N, D) in the layer's pixels."""
        points = np.asarray(points_yx, dtype=np.float64).reshape(-1, 2)
        data = np.tile(self.index.astype(np.float64), (len(points), 1))
        data[:, self.axes] = points
        return data

    def in_world(self, points_yx: ArrayLike) -> NDArray[np.float64]:
        """Map points (N, 2) of the plane to the world (N, axes of the viewer)."""
        data = self.to_data(points_yx)
        world = np.tile(np.asarray(self.world_point, dtype=np.float64), (len(data), 1))
        world[:, world.shape[1] - data.shape[1] :] = apply_affine(self.to_world, data)
        return world


def displayed_plane(image: Image, dims: Dims) -> DisplayedPlane:
    """Find the plane of ``image`` that a viewer with these ``dims`` shows.

    Raises
    ------
    ImageError
        If the viewer shows a volume, the layer is no plane, or the sliders stand outside it.
    """
    if dims.ndisplay != 2:
        raise ImageError(
            "the viewer shows a volume", expected="a plane", remedy="Switch the viewer to 2D."
        )
    if image.ndim < 2:
        raise ImageError(f"{image.name} is no image", expected="two axes or more", got="one")
    offset = dims.ndim - image.ndim
    order = [axis - offset for axis in dims.order if axis >= offset]
    rows, columns = sorted(order[-2:])
    shape, to_world = spatial_shape(image), affine_of(image)
    index = np.zeros(image.ndim, dtype=np.int64)
    for axis, position in _slider_positions(sorted(order[:-2]), dims.point, to_world):
        if not 0 <= position < shape[axis]:
            raise ImageError(
                f"{image.name} has no plane where the sliders stand",
                remedy="Move the sliders to where the image is.",
            )
        index[axis] = position
    sliders = tuple(
        0.0 if axis in dims.displayed else float(at) for axis, at in enumerate(dims.point)
    )
    return DisplayedPlane((rows, columns), index, (shape[rows], shape[columns]), to_world, sliders)


def _slider_positions(
    hidden: list[int], point: tuple[float, ...], to_world: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Pixel position along each hidden axis; what tilts them against displayed ones is ignored."""
    if not hidden:
        return []
    ndim = len(to_world) - 1
    from_world = inverse(to_world)[np.ix_([*hidden, ndim], [*hidden, ndim])]
    world = np.asarray(point)[-ndim:][hidden]
    positions = np.rint(apply_affine(from_world, world[np.newaxis])[0]).astype(int)
    return list(zip(hidden, positions.tolist(), strict=True))


def affine_of(layer: Layer) -> NDArray[np.float64]:
    """Homogeneous matrix (D + 1, D + 1) from a layer's pixels to the world's last D axes."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = np.asarray(layer.data_to_world(unit)) - origin
    return matrix


def apply_affine(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (N, D) by a homogeneous matrix (D + 1, D + 1)."""
    return points @ matrix[:-1, :-1].T + matrix[:-1, -1]


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a homogeneous matrix."""
    return np.linalg.inv(matrix).astype(np.float64)


def spatial_shape(image: Image) -> tuple[int, ...]:
    """Shape of an image at full resolution, without its colours."""
    shape = tuple(full_resolution(image).shape)
    return shape[:-1] if image.rgb else shape


def placement(layer: Layer) -> dict[str, Any]:
    """Arguments that put a new layer where ``layer`` lies, in its units."""
    return {
        "scale": layer.scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def placement_events(layer: Layer) -> tuple[Any, ...]:
    """Events of a layer that is put elsewhere."""
    events = layer.events
    return (events.scale, events.translate, events.rotate, events.shear, events.affine)


def lies_on(labels: Labels, image: Image) -> bool:
    """Whether a labels layer has the pixels of an image layer, one for one."""
    return (
        not labels.multiscale
        and labels.data.shape == spatial_shape(image)
        and np.allclose(affine_of(labels), affine_of(image))
    )


def add_quietly(viewer: ViewerModel, layer: Layer, above: Layer | None = None) -> None:
    """Add a layer on top, or just above another; the active layer stays active."""
    layers = viewer.layers
    active = layers.selection.active
    layers.insert(len(layers) if above is None else layers.index(above) + 1, layer)
    layers.selection.active = active


def raise_above(viewer: ViewerModel, layer: Layer, image: Image) -> None:
    """Move a layer just above an image that covers it."""
    layers = viewer.layers
    if image in layers and layer in layers and layers.index(layer) < layers.index(image):
        layers.move(layers.index(layer), layers.index(image) + 1)


def new_labels(image: Image, name: str, data: NDArray[np.integer[Any]] | None = None) -> Labels:
    """Make a labels layer with the pixels of an image layer, empty if no data are given."""
    if data is None:
        data = np.zeros(spatial_shape(image), dtype=np.int32)
    return Labels(data, name=name, **placement(image))


def full_resolution(image: Image) -> Any:
    """Return the data of an image layer, of the largest level if it has several."""
    return image.data[0] if image.multiscale else image.data


class LayerSource:
    """Planes of an image layer, as it is now; safe to read from another thread.

    Parameters
    ----------
    image : napari.layers.Image
        Grey or RGB, of any number of axes, multiscale or not, in memory or lazy.
    appearance : "percentile" or "displayed"
        Whether planes are stretched between percentiles or by the layer's contrast limits and
        gamma; napari shows RGB images without either.
    """

    def __init__(self, image: Image, appearance: Appearance = "percentile") -> None:
        self._data = full_resolution(image)
        self.shape = tuple(self._data.shape)
        self.limits: Limits = "percentile"
        self.gamma = 1.0
        self.channels: tuple[int, ...] | None = None
        if appearance == "displayed":
            low, high = image.contrast_limits
            self.limits = "dtype" if image.rgb else (float(low), float(high))
            self.gamma = 1.0 if image.rgb else float(image.gamma)

    def plane(self, key: PlaneKey) -> NDArray[np.generic]:
        """Read a plane (H, W), or (H, W, C) of an RGB image; lazy data are computed."""
        return np.asarray(self._data[plane_slices(key)])
