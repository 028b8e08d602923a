"""GeoJSON as QuPath reads and writes it; holds every label image exactly."""

import json
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import mapping
from shapely.geometry import shape as geometry_of

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.objects import (
    LabelledImage,
    finite_numbers,
    needed_shape,
    numbers_from_names,
    paint,
    split,
)
from napari_mobilesam.io.outlines import fill, outline, rings


def write(path: Path, image: LabelledImage) -> None:
    """Write one annotation a label, named by its number, with the table as measurements."""
    table = image.table
    rows = {} if table is None else table.set_index("label").to_dict(orient="index")
    features = [
        {
            "type": "Feature",
            "geometry": mapping(outline(mask)),
            "properties": {
                "objectType": "annotation",
                "name": str(label),
                "measurements": finite_numbers(rows.get(label, {})),
            },
        }
        for label, mask in split(image.labels)
    ]
    document = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def read(path: Path, plane_shape: tuple[int, int] | None) -> NDArray[np.int64]:
    """Paint the polygons and multi-polygons of a file."""
    shape = needed_shape(path, plane_shape)
    document = json.loads(path.read_text(encoding="utf-8"))
    features = document["features"] if isinstance(document, dict) else document
    geometries = [geometry_of(feature["geometry"]) for feature in features]
    for geometry in geometries:
        if not isinstance(geometry, shapely.Polygon | shapely.MultiPolygon):
            raise FileFormatError(
                f"{path} holds more than areas",
                expected="Polygon or MultiPolygon",
                got=geometry.geom_type,
            )
    numbers = numbers_from_names([feature["properties"].get("name") for feature in features])
    masks = (fill(rings(geometry), shape) for geometry in geometries)
    return paint(zip(numbers, masks, strict=True), shape)
