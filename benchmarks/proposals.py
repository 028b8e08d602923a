"""How many objects of synthetic scenes of every kind the detector of ``micro`` proposes.

Counted are boxes that overlap an object by an IoU of 0.5 or more, on scenes that training never
draws:

    python benchmarks/proposals.py
"""

import numpy as np

import napari_mobilesam as mobilesam
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.suppression import box_iou
from napari_mobilesam.evaluation.prompted import objects_of
from napari_mobilesam.training.synthetic import KINDS
from napari_mobilesam.training.validation import validation_scenes

SCENES = 3
LEAST = 0.05
"""Confidence of what is counted as proposed at all."""


def proposed(sam, scene):
    """Greatest confidence of a box with an IoU of 0.5 or more, for each whole object."""
    boxes = [mask.box for mask in objects_of(scene, None)][: scene.labels.max()]
    settings = sam.default_settings().changed(confidence=LEAST)
    found = sam.propose(to_rgb8(scene.image), settings)
    good = box_iou(boxes, found.boxes_yxyx) >= 0.5
    return np.where(good, found.confidence, 0.0).max(axis=1, initial=0.0)


def main():
    sam = mobilesam.load_model("micro")
    default = sam.default_settings().confidence
    print(f"| kind | proposed | with confidence {default} | objects |\n|---|---:|---:|---:|")
    for kind in KINDS:
        best = np.concatenate([proposed(sam, s) for s in validation_scenes(kind, SCENES)])
        shares = (f"{np.mean(best > least):.2f}" for least in (LEAST, default))
        print(f"| {kind} | {' | '.join(shares)} | {len(best)} |")


if __name__ == "__main__":
    main()
