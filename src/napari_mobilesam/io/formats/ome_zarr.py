"""OME-Zarr labels: a label image of its own, or one in the ``labels`` group of its image.

Pyramids are made by nearest neighbour, so that every pixel holds a label that is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_mobilesam.core.colours import colour_of
from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.io.objects import LabelledImage, as_labels, check_shape, finite_numbers
from napari_mobilesam.io.ome_zarr import (
    EARLY_AXES,
    OmeZarrImage,
    ZarrFormat,
    is_zarr,
    open_ome_zarr,
)

MARK = "napari-mobilesam"
"""Attribute of the groups that we wrote; only those are ever replaced."""

CHUNK = 1024
"""Longest side of a chunk, in pixels."""

SMALLEST = 256
"""A pyramid ends when no side is longer, in pixels."""

MOST_DESCRIBED = 10_000
"""Labels that get a colour and properties in the metadata, at most; viewers colour the others."""

_VERSIONS = {2: "0.4", 3: "0.5"}
_OWN_FORMAT: ZarrFormat = 2
"""zarr format of label images of their own; more programs read version 0.4 than 0.5."""


def write(path: Path, image: LabelledImage) -> None:
    """Write a label image of its own, uint16 where the labels fit, else uint32."""
    height, width = image.labels.shape
    fits = image.labels.max() <= np.iinfo(np.uint16).max
    unit = {} if image.pixel_size_um is None else {"unit": "micrometer"}
    size = image.pixel_size_um or (1.0, 1.0)
    shapes = _pyramid((height, width))
    multiscale = {
        "axes": [{"name": name, "type": "space"} | unit for name in "yx"],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [size[0] * height / rows, size[1] * width / columns]}
                ],
            }
            for level, (rows, columns) in enumerate(shapes)
        ],
    }
    dtype = np.dtype(np.uint16 if fits else np.uint32)
    group = _create(path, _OWN_FORMAT, multiscale, shapes, dtype)
    for level in range(len(shapes)):
        _write_plane(group[str(level)], image.labels, ())
    numbers = _labels_in(image.labels)
    label = {"colors": _colours(numbers), "properties": _properties(image.table, numbers)}
    _describe(group, multiscale, image, label)


def write_into(
    image: OmeZarrImage, name: str, labelled: LabelledImage, plane: Sequence[int] | None
) -> Path:
    """Write labels into the group ``labels/NAME`` of their image.

    The label image has the levels, the planes and the version of its image, without channels.
    Labels of other planes that an earlier call wrote are kept.

    Parameters
    ----------
    image : OmeZarrImage
        What was labelled.
    name : str
        Name of the label image.
    labelled : LabelledImage
        Labels of one plane, and what is known about them.
    plane : sequence of int, optional
        Which plane of a stack, one number for each of its axes.

    Returns
    -------
    Path
        The group.

    Raises
    ------
    FileFormatError
        If the labels are of another shape, a group of this name is not ours, or it cannot be
        written.
    """
    target = image.path / "labels" / name
    refuse_foreign(target)
    height, width = image.levels[0].shape[-2:]
    check_shape(image.path, labelled.labels.shape, (height, width))
    try:
        _write_into(image, target, labelled, plane)
    except OSError as error:
        raise FileFormatError(f"{target} cannot be written", got=str(error)) from error
    return target


def _write_into(
    image: OmeZarrImage, target: Path, labelled: LabelledImage, plane: Sequence[int] | None
) -> None:
    at = image.select(plane).index
    kept = [axis for axis, letter in enumerate(image.axes) if letter != "C"]
    index = tuple(at[axis] for axis in kept if not isinstance(at[axis], slice))
    shapes = [tuple(level.shape[axis] for axis in kept) for level in image.levels]
    multiscale = _without_channels(image, kept)
    paths = [str(part["path"]) for part in multiscale["datasets"]]
    _labels_group(image)
    group = _open_same(target, paths, shapes)
    if group is None:
        with replacing(target) as draft:
            _create(draft, image.zarr_format, multiscale, shapes, np.dtype(np.uint32))
        group = _open_same(target, paths, shapes)
    for path in paths:
        _write_plane(group[path], labelled.labels, index)
    numbers = _labels_in(labelled.labels)
    label: dict[str, Any] = {"source": {"image": "../../"}}
    if prod(shapes[0][:-2]) == 1:
        label["properties"] = _properties(labelled.table, numbers)
        label["colors"] = _colours(numbers)
    else:
        label["colors"] = _colours({*numbers, *_coloured(group)})
    _describe(group, multiscale, replace(labelled, image_name=target.name), label)
    _register(image, target.name)


def read(path: Path, plane_shape: tuple[int, int] | None) -> NDArray[np.int64]:
    """Read a label image of one plane, at full resolution."""
    plane = open_ome_zarr(path).plane()
    labels = as_labels(np.asarray(plane.pixels), name=str(path))
    height, width = labels.shape
    check_shape(path, (height, width), plane_shape)
    return labels


def refuse_foreign(path: Path) -> None:
    """Refuse to replace a folder that we did not write.

    Raises
    ------
    FileFormatError
        If there is one.
    """
    if path.is_dir() and MARK not in (_attributes(path) if is_zarr(path) else {}):
        raise FileFormatError(
            f"{path} exists and is not of napari-mobilesam",
            remedy="It is left as it is; choose another name or folder.",
        )


def _attributes(path: Path) -> Mapping[str, Any]:
    import zarr

    try:
        return dict(zarr.open(str(path), mode="r", use_consolidated=False).attrs)
    except Exception:  # damaged, and then not known to be ours
        return {}


def _pyramid(shape: tuple[int, int]) -> list[tuple[int, int]]:
    shapes = [shape]
    while max(shapes[-1]) > SMALLEST:
        height, width = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2)))
    return shapes


def _create(
    path: Path,
    zarr_format: ZarrFormat,
    multiscale: Mapping[str, Any],
    shapes: Iterable[tuple[int, ...]],
    dtype: np.dtype[Any],
) -> Any:
    import zarr

    group = zarr.create_group(str(path), zarr_format=zarr_format)
    names = [str(axis["name"]) for axis in multiscale["axes"]]
    layout: dict[str, Any] = {"dimension_names": names}
    if zarr_format == 2:
        layout = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    for part, shape in zip(multiscale["datasets"], shapes, strict=True):
        chunks = (*(1 for _ in shape[:-2]), *(min(CHUNK, side) for side in shape[-2:]))
        group.create_array(str(part["path"]), shape=shape, chunks=chunks, dtype=dtype, **layout)
    group.attrs[MARK] = {}
    return group


def _open_same(path: Path, paths: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Any:
    """Open what an earlier call wrote about the same image; None if there is no such thing."""
    import zarr

    if not path.exists():
        return None
    group: Any = zarr.open_group(str(path), mode="r+", use_consolidated=False)
    stored = [group[name].shape if name in group else None for name in paths]
    return group if stored == list(shapes) else None


def _write_plane(array: Any, labels: NDArray[np.int64], index: tuple[int | slice, ...]) -> None:
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(np.intp)
        for small, large in zip(array.shape[-2:], labels.shape, strict=True)
    )
    array[(*index, slice(None), slice(None))] = labels[np.ix_(rows, columns)].astype(array.dtype)


def _without_channels(image: OmeZarrImage, kept: Sequence[int]) -> dict[str, Any]:
    """Axes, scales and translations of an image, for its labels."""
    kinds = {"T": "time", "Q": "space"}
    described = image.multiscale.get("axes", EARLY_AXES)
    axes = [
        axis if isinstance(axis, Mapping) else {"name": axis, "type": kinds.get(letter, "space")}
        for axis, letter in zip(described, image.axes, strict=True)
    ]
    datasets = [
        {"path": str(part["path"]), **_transformations(part, kept)}
        for part in image.multiscale["datasets"]
    ]
    return {
        "axes": [axes[axis] for axis in kept],
        "datasets": datasets,
        **_transformations(image.multiscale, kept),
    }


def _transformations(part: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    steps = [
        {"type": kind, kind: [step[kind][axis] for axis in kept]}
        for step in part.get("coordinateTransformations") or []
        if (kind := step.get("type")) in ("scale", "translation") and kind in step
    ]
    return {"coordinateTransformations": steps} if steps else {}


def _labels_in(labels: NDArray[np.int64]) -> list[int]:
    numbers: list[int] = np.unique(labels[labels > 0])[:MOST_DESCRIBED].tolist()
    return numbers


def _colours(numbers: Iterable[int]) -> list[dict[str, Any]]:
    chosen = sorted(numbers)[:MOST_DESCRIBED]
    return [{"label-value": number, "rgba": [*colour_of(number), 255]} for number in chosen]


def _properties(table: pd.DataFrame | None, numbers: Sequence[int]) -> list[dict[str, float]]:
    if table is None:
        return []
    chosen = table[table["label"].isin(numbers)]
    rows = chosen.drop(columns="label").to_dict(orient="records")
    return [
        {"label-value": label} | finite_numbers(row)
        for label, row in zip(chosen["label"].tolist(), rows, strict=True)
    ]


def _coloured(group: Any) -> set[int]:
    """Labels of other planes that have a colour already."""
    attributes = dict(group.attrs)
    label = attributes.get("ome", attributes).get("image-label", {})
    return {int(colour["label-value"]) for colour in label.get("colors", [])}


def _describe(
    group: Any, multiscale: Mapping[str, Any], image: LabelledImage, label: Mapping[str, Any]
) -> None:
    scales = {**multiscale, "name": image.image_name or "labels", "type": "nearest"}
    attributes: dict[str, Any] = {MARK: dict(image.metadata)}
    if group.metadata.zarr_format == 2:
        version = {"version": _VERSIONS[2]}
        attributes |= {"multiscales": [version | scales], "image-label": {**version, **label}}
    else:
        parts = {"multiscales": [scales], "image-label": dict(label)}
        attributes["ome"] = {"version": _VERSIONS[3]} | parts
    group.attrs.update(attributes)


def _labels_group(image: OmeZarrImage) -> Any:
    import zarr

    path = str(image.path / "labels")
    if is_zarr(image.path / "labels"):
        return zarr.open_group(path, mode="r+", use_consolidated=False)
    return zarr.create_group(path, zarr_format=image.zarr_format)


def _register(image: OmeZarrImage, name: str) -> None:
    """List a label image in the ``labels`` group, beside those of others."""
    group = _labels_group(image)
    is_new = image.zarr_format == 3
    known = dict(group.attrs.get("ome", {})) if is_new else dict(group.attrs)
    listed = list(known.get("labels", []))
    if name not in listed:
        known["labels"] = [*listed, name]
        group.attrs.update({"ome": {"version": _VERSIONS[3]} | known} if is_new else known)
