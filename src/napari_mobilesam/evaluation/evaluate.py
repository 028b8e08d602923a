"""One model on labelled images, by every measure; the same images for every baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crops_iou
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.core.suppression import box_iou
from napari_mobilesam.evaluation.agreement import Agreement, mask_agreement
from napari_mobilesam.evaluation.baselines import find_baseline
from napari_mobilesam.evaluation.clicks import ClickScores, clicks_to_reach
from napari_mobilesam.evaluation.instances import InstanceScores, score_instances
from napari_mobilesam.evaluation.prompted import Scores, evaluate_prompts
from napari_mobilesam.evaluation.recall import BUDGETS, average_recall
from napari_mobilesam.inference.engines import EngineName
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.io.labelled_images import LabelledImages

if TYPE_CHECKING:
    import pandas as pd

EVERYTHING = "everything mode"

PROPOSED = {"confidence": 0.001, "nms_iou": 0.7, "max_objects": max(BUDGETS)}
"""Proposals whose recall is measured: all that the detector has, as far as they differ."""

MASK_BUDGETS = tuple(budget for budget in BUDGETS if budget <= 320)

Progress = Callable[[int, int], None]
Segment = Callable[[NDArray[np.generic]], NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures of a model on a set of labelled images.

    Parameters
    ----------
    model, images, input_size
        What was evaluated, on how many images, with which side of the encoder's input.
    prompts : Scores
        Mean IoU from boxes and points.
    everything : dict of str to InstanceScores
        Average precision and panoptic quality of everything mode and of each baseline.
    box_recall, mask_recall : dict of int to float
        Average recall of the detector's boxes, and of the masks decoded from them, by budget.
    clicks : ClickScores or None
        Clicks to a good mask, if asked for.
    agreement : Agreement or None
        Masks against those of another model, if asked for.
    """

    model: str
    images: int
    input_size: InputSize
    prompts: Scores
    everything: dict[str, InstanceScores]
    box_recall: dict[int, float]
    mask_recall: dict[int, float]
    clicks: ClickScores | None = None
    agreement: Agreement | None = None

    def table(self) -> pd.DataFrame:
        """All figures as rows of ``of``, ``measure`` and ``value``."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=["of", "measure", "value"])

    def to_json(self, path: str | PathLike[str]) -> None:
        """Write all figures to a file."""
        with replacing(Path(path)) as draft:
            draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def to_markdown(self) -> str:
        """All figures as a table of text."""
        lines = ["| of | measure | value |", "|---|---|---:|"]
        lines += [f"| {of} | {measure} | {value:.3f} |" for of, measure, value in self._rows()]
        return "\n".join(lines)

    def _rows(self) -> Iterator[tuple[str, str, float]]:
        for name, value in self.prompts.as_row().items():
            yield "prompts", name, value
        for name in ("box", "point"):
            yield "prompts", f"{name}, mean of images", getattr(self.prompts.by_image, name)
            for size, mean in self.prompts.by_size.items():
                yield "prompts", f"{name}, {size} objects", getattr(mean, name)
        for way, scores in self.everything.items():
            for threshold, value in scores.average_precision.items():
                yield way, f"AP at IoU {threshold:g}", value
            for name in ("precision", "recall", "panoptic_quality"):
                yield way, name.replace("_", " "), getattr(scores, name)
        for what, recall in (("boxes", self.box_recall), ("masks", self.mask_recall)):
            for budget, value in recall.items():
                yield what, f"AR@{budget}", value
        if self.clicks is not None:
            for target, value in self.clicks.clicks.items():
                yield "clicks", f"clicks to IoU {target:g}", value
        if self.agreement is not None:
            yield "agreement", "box", self.agreement.box
            yield "agreement", "point", self.agreement.point


def evaluate(
    model: str | MobileSAM,
    images: LabelledImages | str | PathLike[str],
    *,
    baselines: Sequence[str] = (),
    against: str | MobileSAM | None = None,
    clicks: bool = False,
    objects_per_image: int | None = 12,
    limit: int | None = None,
    closer: bool | None = None,
    input_size: InputSize | None = None,
    device: str = "auto",
    engine: EngineName = "torch",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a model on labelled images.

    Parameters
    ----------
    model : str or MobileSAM
        Name or path of a model, or a loaded one.
    images : LabelledImages or path-like
        Folder or zip with ``images/ID.png`` and ``labels/ID.png``; not what was learned from.
    baselines : sequence of str
        ``"otsu"``, ``"grid"`` or ``"fastsam=FILE"``, run on the same images.
    against : str or MobileSAM, optional
        Another model, to compare masks with: the papers' measure (arXiv 2306.14289, section 4).
    clicks : bool
        Whether to count clicks to a good mask, which takes long.
    objects_per_image : int, optional
        Most objects prompted in an image, evenly spaced among its labels; all of them if None.
    limit : int, optional
        Most images, evenly spaced.
    closer : bool, optional
        Whether small objects that are prompted are looked at again in a window around them, as in
        a session; the model's own way if not given.
    input_size, device, engine, precision
        As for :func:`~napari_mobilesam.api.load_model`.
    progress : callable, optional
        Called with (passes over an image done, passes in all). Raise
        :class:`~napari_mobilesam.core.errors.CancelledError` from it to stop.

    Raises
    ------
    FileFormatError
        If there are no labelled images.
    SettingsError
        If there is no such baseline.
    """
    load = partial(
        load_model, input_size=input_size, device=device, engine=engine, precision=precision
    )
    sam = model if isinstance(model, MobileSAM) else load(model)
    other = load(against) if isinstance(against, str) else against
    source = images if isinstance(images, LabelledImages) else LabelledImages(Path(images))
    ways = {EVERYTHING: _everything(sam)} | dict(find_baseline(name, sam) for name in baselines)
    chosen = np.linspace(0, len(source) - 1, min(limit or len(source), len(source))).astype(int)
    passes = 2 + len(ways) + clicks + (other is not None)
    steps = _Steps(source, chosen.tolist(), passes * len(chosen), progress)

    size, few = sam.input_size, objects_per_image
    return Evaluation(
        sam.card.name,
        len(chosen),
        size,
        evaluate_prompts(
            sam.engine,
            steps.scenes(),
            size,
            few,
            closer=sam.card.closer if closer is None else closer,
        ),
        {name: score_instances(_labelled(steps.scenes(), way)) for name, way in ways.items()},
        *_recall(sam, steps.scenes()),
        clicks_to_reach(sam.engine, steps.scenes(), size, objects_per_image=few)
        if clicks
        else None,
        None
        if other is None
        else mask_agreement(
            sam.engine, other.engine, steps.scenes(), size, few, other_input_size=other.input_size
        ),
    )


class _Steps:
    """Reads the images once a measure, and tells how many readings are done."""

    def __init__(
        self, source: LabelledImages, chosen: Sequence[int], total: int, progress: Progress | None
    ) -> None:
        self._source, self._chosen, self._total = source, chosen, total
        self._report = progress or (lambda _done, _total: None)
        self._done = 0

    def scenes(self) -> Iterator[Scene]:
        for index in self._chosen:
            self._report(self._done, self._total)
            yield self._source[index]
            self._done += 1


def _everything(sam: MobileSAM) -> Segment:
    return lambda image: sam.everything(image).labels


def _labelled(
    scenes: Iterator[Scene], segment: Segment
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    for scene in scenes:
        yield scene.labels, segment(scene.image)


def _recall(sam: MobileSAM, scenes: Iterator[Scene]) -> tuple[dict[int, float], dict[int, float]]:
    """Average recall of the detector's boxes, and of the masks decoded from the best of them."""
    boxes, masks = [], []
    settings = sam.default_settings().changed(**PROPOSED)
    for scene in scenes:
        rgb = to_rgb8(scene.image)
        proposals = sam.propose(rgb, settings)
        truth = _true_masks(scene)
        boxes.append(box_iou([mask.box for mask in truth], proposals.boxes_yxyx))
        best = proposals[: max(MASK_BUDGETS)]
        magnified = rgb if settings.magnify else None
        found = sam.decode_boxes(sam.embed(rgb, limits="dtype"), best, magnified=magnified)
        masks.append(crops_iou(truth, found.masks))
    return average_recall(boxes), average_recall(masks, MASK_BUDGETS)


def _true_masks(scene: Scene) -> list[CroppedMask]:
    boxes = enumerate(find_objects(scene.labels), start=1)
    return [
        CroppedMask(box[0].start, box[1].start, scene.labels[box] == number)
        for number, box in boxes
        if box is not None
    ]
