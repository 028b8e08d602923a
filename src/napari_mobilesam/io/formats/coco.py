"""COCO JSON with run-length encoded masks; holds every label image exactly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.io.objects import LabelledImage, check_shape, distinct, paint, split
from napari_mobilesam.io.outlines import fill
from napari_mobilesam.io.run_lengths import counts_of, from_text, mask_of, to_text

IMAGE_ID = CATEGORY_ID = 1


def write(path: Path, image: LabelledImage) -> None:
    """Write one image with one annotation a label, whose ``id`` is the label."""
    height, width = image.labels.shape
    described = {"file_name": image.image_name, "height": height, "width": width}
    scores = _scores(image.table)
    document = {
        "images": [{"id": IMAGE_ID} | described],
        "categories": [{"id": CATEGORY_ID, "name": "object"}],
        "annotations": [
            _annotation(label, mask, (height, width))
            | ({"score": scores[label]} if label in scores else {})
            for label, mask in split(image.labels)
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def read(path: Path, plane_shape: tuple[int, int] | None) -> NDArray[np.int64]:
    """Paint the masks of a file with one image; run-lengths and polygons are understood."""
    document = json.loads(path.read_text(encoding="utf-8"))
    images = document["images"]
    if len(images) != 1:
        raise FileFormatError(
            f"{path} is not about one image", expected="one image", got=f"{len(images)} images"
        )
    shape = check_shape(path, (images[0]["height"], images[0]["width"]), plane_shape)
    annotations = document["annotations"]
    numbers = distinct([int(a["id"]) for a in annotations])
    masks = (_mask(a["segmentation"], shape) for a in annotations)
    return paint(zip(numbers, masks, strict=True), shape)


def _scores(table: pd.DataFrame | None) -> dict[int, float]:
    if table is None or "score" not in table:
        return {}
    return dict(zip(table["label"].tolist(), table["score"].tolist(), strict=True))


def _annotation(label: int, mask: CroppedMask, plane_shape: tuple[int, int]) -> dict[str, Any]:
    y0, x0, y1, x1 = mask.box
    return {
        "id": label,
        "image_id": IMAGE_ID,
        "category_id": CATEGORY_ID,
        "iscrowd": 0,
        "area": mask.area,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": {
            "size": list(plane_shape),
            "counts": to_text(counts_of(mask, plane_shape)),
        },
    }


def _mask(segmentation: Any, plane_shape: tuple[int, int]) -> CroppedMask:
    """Mask of polygons (their union), or of run-lengths, compressed or not."""
    if isinstance(segmentation, list):
        filled = [fill([np.reshape(flat, (-1, 2))], plane_shape) for flat in segmentation]
        merged = paint([(1, mask) for mask in filled], plane_shape)
        return CroppedMask(0, 0, merged.astype(bool)).trim()
    counts = segmentation["counts"]
    return mask_of(from_text(counts) if isinstance(counts, str) else counts, plane_shape)
