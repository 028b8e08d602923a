"""Write a Labels layer to the annotation formats of the io room."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.annotations import write_annotations

MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}
"""Length units, by the names that napari gives them, in micrometres."""


def write_tiff(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write a label TIFF that keeps the pixel size and the layer's table."""
    return _write(path, data, meta, "tiff")


def write_coco(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write COCO JSON with run-length encoded masks."""
    return _write(path, data, meta, "coco")


def write_geojson(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write GeoJSON that QuPath opens."""
    return _write(path, data, meta, "geojson")


def write_roi(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write an ImageJ ROI set."""
    return _write(path, data, meta, "roi")


def write_yolo(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write YOLO segmentation text."""
    return _write(path, data, meta, "yolo")


def write_csv(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write the table of measurements."""
    return _write(path, data, meta, "csv")


def write_ome_zarr(path: str, data: ArrayLike, meta: dict[str, Any]) -> list[str]:
    """Write OME-Zarr labels with a pyramid."""
    return _write(path, data, meta, "ome-zarr")


def _write(path: str, data: ArrayLike, meta: dict[str, Any], format_name: str) -> list[str]:
    write_annotations(
        path,
        _as_plane(np.asarray(data)),
        format=format_name,
        table=table_of(meta.get("features")),
        image_name=str(meta.get("metadata", {}).get("image_name", meta.get("name", ""))),
        metadata={"source": "napari-mobilesam", "layer": meta.get("name", "")},
        pixel_size_um=pixel_size_um(meta.get("scale"), meta.get("units")),
    )
    return [path]


def _as_plane(data: NDArray[np.generic]) -> NDArray[np.generic]:
    if data.ndim > 2 and max(data.shape[:-2]) > 1:
        raise FileFormatError(
            "this layer is a stack",
            expected="a plane (H, W)",
            got=f"shape {data.shape}",
            remedy="Export the plane that is shown with the Annotate widget.",
        )
    return data.reshape(data.shape[-2:])


def table_of(features: pd.DataFrame | None) -> pd.DataFrame | None:
    """Table with a ``label`` column from the features of a Labels layer, if they have rows."""
    if features is None or "index" not in features or not len(features):
        return None
    table = features.rename(columns={"index": "label"})
    return table[table["label"] > 0].reset_index(drop=True)


def pixel_size_um(scale: Any, units: Any) -> tuple[float, float] | None:
    """Height and width of a pixel in micrometres, if the layer's units tell a length."""
    if scale is None or units is None:
        return None
    factors = [MICROMETRES.get(str(unit)) for unit in tuple(units)[-2:]]
    if len(factors) < 2 or factors[0] is None or factors[1] is None:
        return None
    height, width = (float(side) for side in tuple(scale)[-2:])
    return height * factors[0], width * factors[1]
