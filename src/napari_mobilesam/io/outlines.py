"""Between masks and polygons along pixel edges, without losing a pixel.

Coordinates are (x, y) with pixel edges at integers: pixel (row, column) covers the square from
(column, row) to (column + 1, row + 1). QuPath, ImageJ and YOLO count the same way.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_mobilesam.core.geometry import Window, clip_box
from napari_mobilesam.core.masks import CroppedMask

Ring = NDArray[np.float64]
"""Closed line (N, 2) of (x, y), the first point repeated at the end."""


def outline(mask: CroppedMask) -> shapely.Polygon | shapely.MultiPolygon:
    """Exact outline of a mask along its pixel edges, with holes and all components."""
    edges = np.diff(np.pad(mask.pixels, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    rows, starts, stops = rows + mask.y0, starts + mask.x0, stops + mask.x0
    runs = shapely.box(starts, rows, stops, rows + 1)
    return shapely.orient_polygons(shapely.simplify(shapely.union_all(runs), 0))


def rings(geometry: shapely.Geometry) -> list[Ring]:
    """All rings of a polygon or multi-polygon, outer ones before their holes."""
    return [
        shapely.get_coordinates(ring)
        for polygon in shapely.get_parts(geometry)
        for ring in (polygon.exterior, *polygon.interiors)
    ]


def fill(outlines: Sequence[Ring], plane_shape: tuple[int, int]) -> CroppedMask:
    """Pixels whose centres lie inside an odd number of rings (even-odd rule).

    Rings may cross themselves, and may leave the plane.
    """
    y0, x0, y1, x1 = _window(np.concatenate(outlines), plane_shape)
    inside = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for ring in outlines:
        top, left, bottom, right = _window(ring, plane_shape)
        columns, rows = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        polygon = shapely.Polygon(ring)
        shapely.prepare(polygon)
        covered = shapely.contains_xy(polygon, columns, rows)
        inside[top - y0 : bottom - y0, left - x0 : right - x0] ^= covered
    return CroppedMask(y0, x0, inside).trim()


def join(outlines: Sequence[Ring]) -> Ring:
    """One ring that fills as many do, for formats with one polygon an object.

    From the first ring's start, each other ring is visited and left again on the same bridge of
    two straight pixel edges; walked twice, a bridge encloses nothing.
    """
    first = outlines[0]
    start = first[0]
    parts = [first]
    for ring in outlines[1:]:
        corner = [ring[0, 0], start[1]]
        parts.append(np.concatenate([[corner], ring, [corner, start]]))
    return np.concatenate(parts)


def _window(ring: Ring, plane_shape: tuple[int, int]) -> Window:
    (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
    return clip_box((y0, x0, y1, x1), (0, 0, *plane_shape))
