"""Prompts as napari layers: what users draw, read as prompts of the displayed plane."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from napari.layers import Labels, Layer, Points, Shapes
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.drawn import (
    BoxPrompt,
    DrawnPrompt,
    MaskPrompt,
    PointPrompt,
    PolygonPrompt,
    ScribblePrompt,
)
from napari_mobilesam.io.objects import split
from napari_mobilesam.io.outlines import outline, rings
from napari_mobilesam.plugin.layers import (
    DisplayedPlane,
    affine_of,
    apply_affine,
    inverse,
)
from napari_mobilesam.session.planes import plane_slices

COLUMN = "prompt"
"""Column of ``features`` that tells positive prompts from negative ones."""

KINDS = ("positive", "negative")
COLOURS = {"positive": "#2ee6a6", "negative": "#ff4d6d"}
SYMBOLS = {"positive": "disc", "negative": "x"}

ELLIPSE_VERTICES = 32
DATA_IS_NEW = ("added", "changed", "removed")
"""Actions of a layer's data event that come after the change; others announce it."""

ObjectsAs = Literal["masks", "boxes"]

POINT_FRACTION = 0.012
"""Diameter of a new point, as a fraction of the plane's longer side."""


def new_pair(name: str, extent: float, ndim: int, **placed: Any) -> tuple[Points, Shapes]:
    """Make an empty layer of points, and one of boxes, outlines and scribbles.

    Parameters
    ----------
    name : str
        What is annotated.
    extent : float
        Its longer side in pixels, for the size of points and lines.
    ndim : int
        Its axes.
    **placed
        Where it lies, as :func:`~napari_mobilesam.plugin.layers.placement` tells.
    """
    no_kinds = pd.DataFrame({COLUMN: pd.Categorical([], categories=KINDS)})
    kinds = {"features": no_kinds, "feature_defaults": {COLUMN: KINDS[0]}, "ndim": ndim}
    points = Points(
        name=f"{name} points",
        face_color=COLUMN,
        face_color_cycle=list(COLOURS.values()),
        border_color="white",
        border_width=0.12,
        size=max(3.0, POINT_FRACTION * extent),
        **kinds,
        **placed,
    )
    points.current_symbol = SYMBOLS[KINDS[0]]
    shapes = Shapes(
        name=f"{name} shapes",
        edge_color=COLUMN,
        edge_color_cycle=list(COLOURS.values()),
        edge_width=max(1.0, extent / 400),
        face_color="transparent",
        **kinds,
        **placed,
    )
    return points, shapes


def current_kind(layer: Points | Shapes) -> str:
    """Kind of the prompts that are drawn next: "positive" or "negative"."""
    defaults = layer.feature_defaults
    return str(defaults[COLUMN].iloc[0]) if COLUMN in defaults else KINDS[0]


def set_kind(layer: Points | Shapes, kind: str) -> None:
    """Make the prompts that are drawn next, and in select mode the selected ones, of a kind."""
    _draw_as(kind == KINDS[0], layer)
    if layer.mode == "select" and layer.selected_data:
        layer.current_properties = {COLUMN: np.array([kind])}


def show_kinds(layer: Points | Shapes) -> None:
    """Give prompts the colour and symbol of their kind, after kinds have changed."""
    layer.refresh_colors()
    if isinstance(layer, Points) and len(layer.data):
        layer.symbol = [SYMBOLS[kind] for kind in kinds_of(layer)]


def read_prompts(
    layers: Iterable[Layer], plane: DisplayedPlane, objects: ObjectsAs = "masks"
) -> list[DrawnPrompt]:
    """Read what lies on a plane, in the order of the layers and of drawing.

    Parameters
    ----------
    layers : iterable of napari layers
        Points are positive, unless the ``prompt`` column says negative. Of Shapes, rectangles
        are boxes (tilted ones polygons), ellipses and polygons outlines, lines and paths
        scribbles. Of Labels, every object is a prompt.
    plane : DisplayedPlane
        The plane that is shown.
    objects : "masks" or "boxes"
        What of a labelled object is taken.
    """
    drawn: list[DrawnPrompt] = []
    for layer in layers:
        if isinstance(layer, Points):
            drawn += _read_points(layer, plane)
        elif isinstance(layer, Shapes):
            drawn += _read_shapes(layer, plane)
        elif isinstance(layer, Labels):
            drawn += _read_objects(layer, plane, objects)
    return drawn


def _read_points(layer: Points, plane: DisplayedPlane) -> Iterator[DrawnPrompt]:
    if not len(layer.data):
        return
    points, on_plane = plane.from_world(apply_affine(affine_of(layer), layer.data))
    for point, kind, here in zip(points, kinds_of(layer), on_plane, strict=True):
        if here:
            yield PointPrompt((float(point[0]), float(point[1])), kind == KINDS[0])


def outlines_on(layer: Shapes, plane: DisplayedPlane) -> list[NDArray[np.float64]]:
    """Vertices (N, 2) of every shape that lies on a plane, in the order of drawing."""
    to_world = affine_of(layer)
    mapped = (plane.from_world(apply_affine(to_world, np.asarray(data))) for data in layer.data)
    return [vertices for vertices, on_plane in mapped if on_plane.all()]


def _read_shapes(layer: Shapes, plane: DisplayedPlane) -> Iterator[DrawnPrompt]:
    to_world = affine_of(layer)
    for data, shape, kind in zip(layer.data, layer.shape_type, kinds_of(layer), strict=True):
        vertices, on_plane = plane.from_world(apply_affine(to_world, np.asarray(data)))
        if not on_plane.all():
            continue
        if shape in ("line", "path"):
            yield ScribblePrompt(vertices, kind == KINDS[0])
        elif shape == "ellipse":
            yield PolygonPrompt(_ellipse(vertices))
        elif shape == "rectangle" and _is_upright(vertices):
            yield BoxPrompt(box_around(vertices))
        else:
            yield PolygonPrompt(vertices)


def _read_objects(
    layer: Labels, plane: DisplayedPlane, objects: ObjectsAs
) -> Iterator[DrawnPrompt]:
    for _, mask in split(_labels_on(layer, plane)):
        if objects == "masks":
            yield MaskPrompt(mask)
        else:
            y0, x0, y1, x1 = mask.box
            yield BoxPrompt((float(y0), float(x0), float(y1), float(x1)))


def _labels_on(layer: Labels, plane: DisplayedPlane) -> NDArray[np.int64]:
    """Labels at the pixels of a plane; 0 where the layer has none."""
    data = layer.data[0] if layer.multiscale else layer.data
    to_world = affine_of(layer)
    if to_world.shape == plane.to_world.shape and np.allclose(to_world, plane.to_world):
        here = np.asarray(data[plane_slices(plane.key)])
        if here.shape == plane.shape:
            return here.astype(np.int64)
    pixels = np.indices(plane.shape).reshape(2, -1).T
    world = plane.in_world(pixels)[:, -layer.ndim :]
    index = np.rint(apply_affine(inverse(to_world), world)).astype(int)
    inside = ((index >= 0) & (index < data.shape)).all(axis=1)
    labels = np.zeros(len(pixels), dtype=np.int64)
    labels[inside] = np.asarray(data)[tuple(index[inside].T)]
    return labels.reshape(plane.shape)


def box_around(vertices: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Half-open box (y0, x0, y1, x1) around vertices whose pixel centres are at integers."""
    (y0, x0), (y1, x1) = vertices.min(axis=0) + 0.5, vertices.max(axis=0) + 0.5
    return float(y0), float(x0), float(y1), float(x1)


def rectangle(box_yxyx: ArrayLike) -> NDArray[np.float64]:
    """Corners (4, 2) of a half-open box, as napari draws it; inverse of :func:`box_around`."""
    y0, x0, y1, x1 = np.asarray(box_yxyx, dtype=np.float64) - 0.5
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])


def _is_upright(vertices: NDArray[np.float64]) -> bool:
    sides = np.abs(np.diff(vertices, axis=0))
    return bool(sides.min(axis=1).max() <= 1e-3 * max(sides.max(), 1.0))


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vertices of the ellipse in a parallelogram (4, 2)."""
    centre, across, down = corners.mean(axis=0), corners[1] - corners[0], corners[2] - corners[1]
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)[:, np.newaxis]
    vertices: NDArray[np.float64] = centre + (np.cos(angle) * across + np.sin(angle) * down) / 2
    return vertices


def kinds_of(layer: Points | Shapes) -> list[str]:
    """Kind of every prompt of a layer; positive where the layer does not tell."""
    if COLUMN in layer.features:
        return [str(kind) for kind in layer.features[COLUMN]]
    return [KINDS[0]] * len(layer.data)


def write_prompts(
    drawn: Iterable[DrawnPrompt], points: Points, shapes: Shapes, plane: DisplayedPlane
) -> None:
    """Draw prompts of a plane into layers that lie on the same image; masks as their outlines."""
    kinds = {layer: current_kind(layer) for layer in (points, shapes)}
    for prompt in drawn:
        match prompt:
            case PointPrompt():
                _draw_as(prompt.positive, points)
                points.add(plane.to_data([prompt.yx]))
            case ScribblePrompt():
                _draw_as(prompt.positive, shapes)
                shapes.add_paths(plane.to_data(prompt.vertices))
            case BoxPrompt():
                _draw_as(True, shapes)
                shapes.add_rectangles(plane.to_data(rectangle(prompt.yxyx)))
            case PolygonPrompt():
                _draw_as(True, shapes)
                shapes.add_polygons(plane.to_data(prompt.vertices))
            case MaskPrompt():
                _draw_as(True, shapes)
                for ring in rings(outline(prompt.mask)):
                    shapes.add_polygons(plane.to_data(ring[:-1, ::-1] - 0.5))
    for layer, kind in kinds.items():
        _draw_as(kind == KINDS[0], layer)


def _draw_as(positive: bool, layer: Points | Shapes) -> None:
    with layer.block_update_properties():
        layer.current_properties = {COLUMN: np.array([KINDS[not positive]])}
        if isinstance(layer, Points):
            layer.current_symbol = SYMBOLS[KINDS[not positive]]


def remove_prompts(layer: Points | Shapes, plane: DisplayedPlane) -> None:
    """Remove what lies on a plane from a prompt layer."""
    to_world = affine_of(layer)
    here = [
        index
        for index, data in enumerate(layer.data)
        if plane.from_world(apply_affine(to_world, np.atleast_2d(data)))[1].all()
    ]
    if here:
        layer.remove(here)
