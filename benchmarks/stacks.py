"""Score linking and following on the synthetic spheres of the tests, with the time they take."""

import runpy
import time
from pathlib import Path

import numpy as np

from napari_mobilesam import follow, load_model, segment_stack
from napari_mobilesam.evaluation.metrics import label_iou, mask_iou, match

SCENE = Path(__file__).parents[1] / "tests" / "bulk" / "stacks.py"


def main() -> None:
    image, labels = runpy.run_path(str(SCENE))["touching_spheres"]()
    sam = load_model("micro", device="cpu", input_size=256)
    sam.everything(image[0])  # what is loaded at the first use does not count
    start, cpu = time.perf_counter(), time.process_time()
    found = segment_stack(image, model=sam)
    counts = match(label_iou(labels, found.labels), 0.5)
    print(f"linked: AP50 {counts.average_precision:.2f} {counts}")
    print(_per_plane(start, cpu, len(image)))
    good, beyond, planes = [], [], 0
    start, cpu = time.perf_counter(), time.process_time()
    for label in range(1, labels.max() + 1):
        truth = labels == label
        on = np.flatnonzero(truth.any(axis=(1, 2)))
        middle = int(on[len(on) // 2])
        where = np.argwhere(truth[middle])
        box = (*where.min(axis=0), *(where.max(axis=0) + 1))
        followed = follow(image, middle, box=box, model=sam)
        masks = followed.to_array()
        good.append(np.mean([mask_iou(truth[z], masks[z]) >= 0.8 for z in on]))
        beyond.append(len(set(followed.planes) - set(on.tolist())))
        planes += len(followed)
        print(f"sphere {label} on {len(on)} planes: {good[-1]:.2f} well, {beyond[-1]} beyond")
    print(f"followed: median share of planes with IoU >= 0.8: {np.median(good):.2f}")
    print(f"at least 0.9 of the planes: {np.mean(np.array(good) >= 0.9):.2f} of the spheres")
    print(_per_plane(start, cpu, planes))


def _per_plane(start: float, cpu: float, planes: int) -> str:
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    return f"{wall / planes:.3f} s a plane ({used / planes:.3f} s of CPU)"


if __name__ == "__main__":
    main()
