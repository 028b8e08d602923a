"""Accuracy of a model on labelled micrographs: boxes, centre points and everything mode.

The data set is a zip file with ``images/ID.png`` and ``labels/ID.png`` (0 = background), such as
the corrected BBBC038v1 (2018 Data Science Bowl, stage 1, CC0). Every object of every image is
prompted once by its bounding box (one mask) and once by its most interior point (of three masks
the one that the model itself scores best); everything mode runs with the model's own settings.

    python benchmarks/accuracy.py dsb2018_val.zip --model micro --json accuracy.json
"""

import argparse
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, find_objects

import napari_mobilesam as mobilesam
from napari_mobilesam.core.masks import MaskBatch
from napari_mobilesam.evaluation.metrics import Counts, label_iou, mask_iou, match

THRESHOLDS = (0.5, 0.75, 0.9)


def read_dataset(path: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (name, image, labels) in the order of the names."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.startswith("images/")):
            with archive.open(name) as file:
                image = np.asarray(Image.open(file))
            with archive.open(name.replace("images/", "labels/", 1)) as file:
                labels = np.asarray(Image.open(file)).astype(np.int32)
            yield Path(name).stem, image, labels


def prompts_of(labels: np.ndarray) -> Iterator[tuple[np.ndarray, tuple, tuple]]:
    """Yield (mask, bounding box, most interior point) of every object."""
    for label, window in enumerate(find_objects(labels), start=1):
        if window is None:
            continue
        inside = np.pad(labels[window] == label, 1)
        depth = np.unravel_index(distance_transform_edt(inside).argmax(), inside.shape)
        rows, cols = window
        point = (rows.start + depth[0] - 1, cols.start + depth[1] - 1)
        yield labels == label, (rows.start, cols.start, rows.stop, cols.stop), point


def iou_of_best(batch: MaskBatch, truth: np.ndarray) -> tuple[float, float]:
    """IoU of the candidate scored best, and of the best candidate."""
    ious = [mask_iou(mask, truth) for mask in batch.to_array()]
    return ious[0], max(ious)


def evaluate(sam: mobilesam.MobileSAM, path: Path, limit: int | None) -> dict[str, object]:
    """Run all three ways of segmenting over a data set."""
    box, point, point_oracle = [], [], []
    counts = {threshold: Counts(0, 0, 0) for threshold in THRESHOLDS}
    images = 0
    for _name, image, labels in read_dataset(path):
        if images == limit:
            break
        images += 1
        embedding = sam.embed(image)
        for truth, box_yxyx, point_yx in prompts_of(labels):
            box.append(iou_of_best(sam.predict(embedding, box=box_yxyx, multimask=False), truth)[0])
            scored, oracle = iou_of_best(sam.predict(embedding, points=[point_yx]), truth)
            point.append(scored)
            point_oracle.append(oracle)
        iou = label_iou(labels, sam.everything(image, embedding=embedding).labels)
        for threshold in THRESHOLDS:
            counts[threshold] += match(iou, threshold)
    return {
        "images": images,
        "objects": len(box),
        "box_miou": float(np.mean(box)),
        "point_miou": float(np.mean(point)),
        "point_miou_best_of_three": float(np.mean(point_oracle)),
        **{f"everything_ap{int(100 * t)}": counts[t].average_precision for t in THRESHOLDS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="micro")
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--limit", type=int, help="first images only")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    start = time.perf_counter()
    sam = mobilesam.load_model(arguments.model, input_size=arguments.input_size)
    figures = {
        "dataset": arguments.dataset.name,
        "model": arguments.model,
        "input_size": sam.input_size,
        **evaluate(sam, arguments.dataset, arguments.limit),
    }
    for name, value in figures.items():
        print(f"{name:28s} {value:.3f}" if isinstance(value, float) else f"{name:28s} {value}")
    print(f"{'minutes':28s} {(time.perf_counter() - start) / 60:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
