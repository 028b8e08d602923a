"""Teach YOLOv8 where objects are, whatever they are.

Zhang et al., MobileSAMv2 (arXiv 2312.09579), section 3.2: a detector of one class, taught boxes
and masks together and then boxes alone. Networks and losses are ultralytics' (AGPL-3.0).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from skimage.measure import regionprops
from torch import Tensor, nn

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.core.suppression import box_iou
from napari_mobilesam.evaluation.instances import THRESHOLDS
from napari_mobilesam.evaluation.metrics import Counts, match
from napari_mobilesam.inference.detect import Detector
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.models.detector import import_ultralytics
from napari_mobilesam.training.fit import BEST, Progress, Score, fit, in_half_precision
from napari_mobilesam.training.settings import DetectorTrainingSettings, ViewSettings
from napari_mobilesam.training.views import Tiles, Views, draw_views
from napari_mobilesam.zoo.catalog import MICRO_EVERYTHING, get_card
from napari_mobilesam.zoo.checkpoints import MASK_BRANCH, load_detector

ARCHITECTURE = "yolov8n"

RESULT = "detector"
"""Name of the averaged weights in the folder of a stage."""

_LOSS_SCALE = 16.0
"""Losses are means over the batch times this: the batch that ultralytics' gains are made for."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Parameters
    ----------
    name : "masks" or "boxes"
        What is learned; the stage's folder, too.
    steps : int
        How long it takes.
    network, loss : str
        Classes of ultralytics.
    """

    name: Literal["masks", "boxes"]
    steps: int
    network: str
    loss: str

    def build(self, start: nn.Module | None, seed: int) -> nn.Module:
        """Build the network, with weights from another as far as it has them, or random ones."""
        import_ultralytics()
        tasks = import_module("ultralytics.nn.tasks")
        suffix = "-seg" if self.name == "masks" else ""
        make = getattr(tasks, self.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: Any = make(f"{ARCHITECTURE}{suffix}.yaml", nc=1, verbose=False)
        network.args = import_module("ultralytics.cfg").get_cfg()
        if start is not None:
            _take_over(network, start)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(".dfl" not in name)
        built: nn.Module = network.train()
        return built

    def criterion(self, network: nn.Module) -> Any:
        """Build the stage's loss."""
        return getattr(import_module("ultralytics.utils.loss"), self.loss)(network)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnViews:
    """Views by step: a pure function of the seed, so that a run resumes exactly."""

    tiles: Tiles
    training: DetectorTrainingSettings
    views: ViewSettings

    def __getitem__(self, step: int) -> Views:
        """Draw the views of one step, on the device of the tiles."""
        device = self.tiles.images.device
        seed = np.random.SeedSequence([self.training.seed, step]).generate_state(1)
        generator = torch.Generator(device).manual_seed(int(seed[0]))
        size = self.training.batch_size, self.training.image_size
        with torch.no_grad():
            return draw_views(self.tiles, *size, self.views, generator)


def train_detector(
    tiles: Tiles,
    validation: Sequence[Scene],
    folder: Path,
    settings: DetectorTrainingSettings,
    views: ViewSettings,
    *,
    start: nn.Module | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Train a detector; the same call goes on with a run that was cut off.

    Each stage has a folder of its own; see :func:`~.fit.fit` for what is in it.

    Parameters
    ----------
    tiles : Tiles
        What to learn from.
    validation : sequence of Scene
        Labelled images to choose the best detector by; without any, it is the last.
    folder : Path
        Where the run is kept; made if need be.
    settings : DetectorTrainingSettings
        How to train.
    views : ViewSettings
        How tiles are shown.
    start : Module, optional
        Detector to start from, as :func:`~napari_mobilesam.zoo.checkpoints.load_detector` gives
        it; random weights without.
    device : torch.device or str
        Where to compute.
    progress : callable, optional
        Called with steps done and steps in all.

    Returns
    -------
    Path
        The best detector of the last stage, as safetensors.

    Raises
    ------
    CheckpointError
        If the run's checkpoint is damaged, unsafe or of another architecture.
    SettingsError
        If the detector to start from has another architecture.
    """
    place = torch.device(device)
    data = DrawnViews(tiles.to(place), settings, views)
    masks = Stage("masks", settings.mask_steps, "SegmentationModel", "v8SegmentationLoss")
    boxes = Stage("boxes", settings.steps, "DetectionModel", "v8DetectionLoss")
    total = masks.steps + boxes.steps
    if masks.steps:
        report = None if progress is None else lambda done, _: progress(done, total)
        _run(masks, data, folder, start=start, progress=report)
        result = folder / masks.name / f"{RESULT}.safetensors"
        start = load_detector(get_card("micro").with_detector(result))
    report = None if progress is None else lambda done, _: progress(masks.steps + done, total)
    score = partial(score_detector, scenes=validation, device=place) if validation else None
    _run(boxes, data, folder, start=start, progress=report, score=score)
    return folder / boxes.name / f"{RESULT if score is None else BEST}.safetensors"


def _run(
    stage: Stage,
    data: DrawnViews,
    folder: Path,
    *,
    start: nn.Module | None,
    progress: Progress | None,
    score: Score | None = None,
) -> None:
    """Train one stage, in a folder of its own."""
    settings, device = data.training, data.tiles.images.device
    network = stage.build(start, settings.seed).to(device)
    warmup = min(settings.warmup_steps, stage.steps - 1)
    fit(
        network,
        data,
        _losses(network, stage.criterion(network), device, settings),
        settings.changed(steps=stage.steps, warmup_steps=warmup),
        folder / stage.name,
        write=save_detector,
        name=RESULT,
        score=score,
        progress=progress,
    )


def save_detector(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write a detector in half precision, as the zoo reads it.

    Parameters
    ----------
    network : Module
        The detector.
    path : Path
        The safetensors file, replaced as a whole.
    metadata : dict of str
        More for the file's header.
    """
    header = {
        "title": "YOLOv8n object-aware detector with one class, object; half precision",
        "origin": "trained by napari-mobilesam with ultralytics",
        "licence": "AGPL-3.0-only: ultralytics puts models trained with it under AGPL-3.0",
    }
    with replacing(path) as draft:
        save_file(in_half_precision(network), draft, header | metadata)


def score_detector(
    network: nn.Module, scenes: Sequence[Scene], device: torch.device
) -> dict[str, float]:
    """Average precision of the boxes that everything mode would decode.

    It is TP / (TP + FP + FN), over all scenes together.

    Parameters
    ----------
    network : Module
        The detector.
    scenes : sequence of Scene
        Labelled images, at least one.
    device : torch.device
        Where to compute.

    Returns
    -------
    dict
        "ap50" and "ap75" at one IoU, and "score", the mean over IoU 0.5 to 0.9.
    """
    detector = Detector(network, device)
    counts = dict.fromkeys(THRESHOLDS, Counts(0, 0, 0))
    for scene in scenes:
        layers = (scene.labels, scene.inner)
        true = [region.bbox for layer in layers for region in regionprops(layer)]
        found = detector.propose(to_rgb8(scene.image), MICRO_EVERYTHING).boxes_yxyx
        overlap = box_iou(np.reshape(true, (-1, 4)), found)
        for threshold in THRESHOLDS:
            counts[threshold] += match(overlap, threshold)
    ap = {threshold: count.average_precision for threshold, count in counts.items()}
    return {"ap50": ap[0.5], "ap75": ap[0.75], "score": sum(ap.values()) / len(ap)}


def _losses(
    network: nn.Module, criterion: Any, device: torch.device, settings: DetectorTrainingSettings
) -> Callable[[int, Views], Iterator[Tensor]]:
    def losses(_: int, views: Views) -> Iterator[Tensor]:
        with torch.autocast(device.type, torch.bfloat16, settings.bfloat16):
            found = network(views.images)
        truth = {
            "batch_idx": views.view,
            "cls": torch.zeros(len(views.view), 1, device=device),
            "bboxes": views.boxes,
            "masks": views.instances[:, 2::4, 2::4],
        }
        loss, _parts = criterion(_in_float32(found), truth)
        yield loss.sum() * (_LOSS_SCALE / len(views.images))

    return losses


def _in_float32(found: Any) -> Any:
    """Convert what the network found, tensors in dictionaries and sequences."""
    if isinstance(found, dict):
        return {name: _in_float32(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_in_float32(value) for value in found)
    return found.float()


def _take_over(network: nn.Module, start: nn.Module) -> None:
    """Take the weights of another detector; a branch for masks, which it lacks, stays as it is."""
    try:
        missing, foreign = network.load_state_dict(start.state_dict(), strict=False)
    except RuntimeError as error:
        raise _not_alike(str(error)) from error
    if foreign or any(not MASK_BRANCH.match(name) for name in missing):
        raise _not_alike(f"{len(missing)} parameters missing, {len(foreign)} others")


def _not_alike(got: str) -> SettingsError:
    return SettingsError(
        "training cannot start from this detector",
        expected=f"the detector of a model that has a {ARCHITECTURE}, such as micro",
        got=got,
        remedy='Choose --start micro, or "scratch".',
    )
