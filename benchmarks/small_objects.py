"""What it brings to look closer at small objects: `magnify`, and windows around prompts.

On synthetic scenes that training never draws, and on labelled images if they are given: those
with a side of 900 pixels or more.

    python benchmarks/small_objects.py --images labelled.zip
"""

import argparse
import time
from itertools import count, islice, pairwise
from pathlib import Path

import numpy as np

import napari_mobilesam as mobilesam
from napari_mobilesam.core.field import window_around
from napari_mobilesam.core.overlaps import crops_iou
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.evaluation.instances import score_instances
from napari_mobilesam.evaluation.prompted import centre_point, objects_of
from napari_mobilesam.io.labelled_images import LabelledImages
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.training.validation import VALIDATION_SEED

SEED = VALIDATION_SEED + 500
SMALL = ("yeast", "tissue", "packed_grains", "pores", "particles")
PROMPTED = (*SMALL, "phase_contrast", "dead_leaves", "fluorescent_nuclei", "vesicles")
SMALL_SIDE, LEAST_PLANE = 24, 900
OBJECTS = 14
SIZES = (0, 16, 32, 64, 128, np.inf)


def sides_of(scene):
    return [np.sqrt(mask.area) for mask in objects_of(scene, None)]


def with_small_objects(kind, side):
    """Draw the first scene of a kind whose median object is small."""
    drawn = (generate(kind, seed, (side, side)) for seed in count(SEED))
    return next(scene for scene in drawn if np.median(sides_of(scene)) < SMALL_SIDE)


def large_images(path, most):
    images = LabelledImages(Path(path))
    every = (images[i] for i in range(len(images)))
    return list(islice((s for s in every if max(s.labels.shape) >= LEAST_PLANE), most))


def find(sam, name, some):
    """One row: average precision without and with `magnify`, and what it costs."""
    median = np.median([side for scene in some for side in sides_of(scene)])
    scores, seconds = [], []
    for magnify in (False, True):
        began = time.perf_counter()
        pairs = [(s.labels, sam.everything(s.image, magnify=magnify).labels) for s in some]
        seconds.append((time.perf_counter() - began) / len(some))
        scores.append(score_instances(pairs).average_precision)
    precision = [" to ".join(f"{score[least]:.3f}" for score in scores) for least in (0.5, 0.75)]
    cost = " to ".join(f"{value:.1f} s" for value in seconds)
    print(f"| {name} | {median:.0f} | {' | '.join(precision)} | {cost} |", flush=True)


def prompt(sam, scene, field):
    """For each object its size, and the IoU of point and box, in the plane and in windows."""
    rgb = to_rgb8(scene.image)
    views = {None: sam.embed(rgb, limits="dtype")}

    def ask(mask, window, **prompts):
        if window not in views:
            views[window] = sam.embed(rgb, limits="dtype", window=window)
        found = sam.predict(views[window], multimask="points" in prompts, **prompts)
        return crops_iou([mask], [found.crop(0)])[0, 0]

    for mask in objects_of(scene, OBJECTS):
        row, column = centre_point(mask.pixels)
        point = mask.y0 + row, mask.x0 + column
        windows = [
            window_around(extent, rgb.shape[:2], field) for extent in ((*point, *point), mask.box)
        ]
        yield (
            np.sqrt(mask.area),
            ask(mask, None, points=[point]),
            ask(mask, windows[0], points=[point]),
            ask(mask, None, box=mask.box),
            ask(mask, windows[1], box=mask.box),
        )


def print_prompts(sam, side, field):
    scenes = (generate(kind, SEED, (side, side)) for kind in PROMPTED)
    rows = np.array([row for scene in scenes for row in prompt(sam, scene, field)])
    for least, most in [*pairwise(SIZES), (0, np.inf)]:
        some = rows[(rows[:, 0] >= least) & (rows[:, 0] < most)]
        if len(some):
            means = "{:.3f} to {:.3f} | {:.3f} to {:.3f}".format(*some[:, 1:].mean(axis=0))
            print(f"| {side} | {field} | {least} to {most} | {len(some)} | {means} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="labelled images, a folder or zip")
    parser.add_argument("--count", type=int, default=12, help="most of them")
    arguments = parser.parse_args()
    sam = mobilesam.load_model("micro")

    print(
        "| scenes | median side | AP at IoU 0.5 | at 0.75 | time each |\n|---|---:|---:|---:|---:|"
    )
    for kind in SMALL:
        find(sam, kind, [with_small_objects(kind, 1024)])
    if arguments.images:
        find(sam, "labelled images", large_images(arguments.images, arguments.count))

    print("\n| side | window | size | objects | point | box |\n|---:|---:|---|---:|---:|---:|")
    for side, field in ((2048, 1024), (1536, 1024), (1024, 512)):
        print_prompts(sam, side, field)


if __name__ == "__main__":
    main()
