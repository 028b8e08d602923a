"""Teach YOLOv8 where objects are, whatever they are.

Zhang et al., MobileSAMv2 (arXiv 2312.09579), section 3.2: a detector of one class, taught boxes
and masks together and then boxes alone. ultralytics (AGPL-3.0) trains it; what is written here is
the course of the two stages, the contrast of what it sees, and the way in and out of safetensors.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.models.detector import import_ultralytics
from napari_mobilesam.training.settings import DetectorTrainingSettings
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_detector
from napari_mobilesam.zoo.unpickle import vet_training_checkpoint

ARCHITECTURE = "yolov8n"

RESULT = "detector.safetensors"
"""What a run leaves in its folder."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Parameters
    ----------
    name : "masks" or "boxes"
        What is learned; the stage's folder, too.
    task : "segment" or "detect"
        What ultralytics calls it.
    epochs : int
        How long it takes.
    result : str
        File with the best detector of the stage.
    """

    name: Literal["masks", "boxes"]
    task: Literal["segment", "detect"]
    epochs: int
    result: str


def train_detector(
    dataset: Path,
    folder: Path,
    settings: DetectorTrainingSettings,
    *,
    start: nn.Module | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    workers: int = 0,
) -> Path:
    """Train a detector; the same call goes on with a run that was cut off.

    Each stage has a folder with ``results.csv``, a line an epoch, and ``weights/{last,best}.pt``.
    These are pickles of ultralytics' making, vetted before it goes on with one. A resumed run
    continues after the last whole epoch, and draws other augmentations than one that
    was never interrupted.

    Parameters
    ----------
    dataset : Path
        Folder that :func:`~.detector_data.write_detector_dataset` wrote.
    folder : Path
        Where the run is kept; made if need be. Nothing is written elsewhere.
    settings : DetectorTrainingSettings
        How to train.
    start : Module, optional
        Detector to start from, as :func:`~napari_mobilesam.zoo.checkpoints.load_detector` gives
        it; random weights without.
    device : torch.device or str
        Where to compute.
    progress : callable, optional
        Called with epochs done and epochs in all.
    workers : int
        Processes that prepare images; 0 prepares them in this one.

    Returns
    -------
    Path
        The best detector of the last stage, as safetensors.

    Raises
    ------
    CheckpointError
        If the run's checkpoint is damaged, or would run more than modules when it is unpickled.
    """
    import_ultralytics()
    stages = [
        Stage("masks", "segment", settings.mask_epochs, "masks.safetensors"),
        Stage("boxes", "detect", settings.box_epochs, RESULT),
    ]
    total = settings.mask_epochs + settings.box_epochs
    before = 0
    for stage in (stage for stage in stages if stage.epochs):
        result = folder / stage.result
        if not result.exists():
            weights = None if start is None else start.state_dict()
            own = {"device": str(device), "workers": workers}
            trainer = _trainer(stage, dataset, folder, settings, weights, own)
            if trainer is not None:
                _report(trainer, progress, before, total)
                with _threads_unchanged():
                    trainer.train()
            export_detector(folder / stage.name / "weights" / "best.pt", result)
        start = load_detector(get_card("micro").with_detector(result))
        before += stage.epochs
    return folder / RESULT


def export_detector(checkpoint: Path, path: Path, *, origin: str = "") -> Path:
    """Write the detector in a checkpoint of ultralytics in half precision, as the zoo reads it.

    Parameters
    ----------
    checkpoint : Path
        ``best.pt`` or ``last.pt`` of a run, finished or not. It is not unpickled.
    path : Path
        The safetensors file, replaced as a whole.
    origin : str
        What it learned from, for the file's header.

    Raises
    ------
    CheckpointError
        If the checkpoint is damaged or holds another architecture.
    """
    detector = load_detector(get_card("micro").with_detector(checkpoint))
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in detector.state_dict().items()
    }
    metadata = {
        "title": "YOLOv8n object-aware detector with one class, object; half precision",
        "origin": origin or "trained by napari-mobilesam with ultralytics",
        "licence": "AGPL-3.0-only: ultralytics puts models trained with it under AGPL-3.0",
    }
    with replacing(path) as draft:
        save_file(tensors, draft, metadata)
    return path


def vary_contrast(images: Tensor, share: float) -> Tensor:
    """Alter gamma, range and polarity of a share of the images.

    Parameters
    ----------
    images : Tensor
        (B, C, H, W), values in 0..1.
    share : float
        Odds of each image to be altered.
    """

    def draw() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device)

    gamma = 4 ** (draw() - 0.5)
    low, high = 0.3 * draw(), 1 - 0.4 * draw()
    altered = low + (high - low) * images**gamma
    altered = torch.where(draw() < 0.3, 1 - altered, altered)
    return torch.where(draw() < share, altered, images)


def _trainer(
    stage: Stage,
    dataset: Path,
    folder: Path,
    settings: DetectorTrainingSettings,
    start: dict[str, Tensor] | None,
    own: dict[str, Any],
) -> Any:
    """Ultralytics' trainer, at its start or where it was cut off; None if it has finished."""
    options = _options(stage, settings) | {
        "data": str(dataset.resolve()),
        "save_dir": str(folder.resolve() / stage.name),
        **own,
    }
    last = folder / stage.name / "weights" / "last.pt"
    if last.exists():
        epoch = vet_training_checkpoint(last)["epoch"]
        if epoch + 1 >= stage.epochs:
            return None
        options["resume"] = str(last.resolve())
    return _trainer_class(stage, settings, start)(overrides=options)


def _options(stage: Stage, settings: DetectorTrainingSettings) -> dict[str, Any]:
    """Tell ultralytics what to do, and not to download, plot or start anything by itself."""
    suffix = "-seg" if stage.task == "segment" else ""
    return {
        "task": stage.task,
        "model": f"{ARCHITECTURE}{suffix}.yaml",
        "pretrained": False,
        "epochs": stage.epochs,
        "time": None if settings.seconds is None else settings.seconds / 3600,
        "patience": 0,
        "imgsz": settings.image_size,
        "batch": settings.batch_size,
        "nbs": settings.batch_size,
        "optimizer": "AdamW",
        "lr0": settings.learning_rate,
        "lrf": 0.02,
        "cos_lr": True,
        "warmup_epochs": settings.warmup_epochs,
        "warmup_bias_lr": 0.0,
        "mosaic": settings.mosaic,
        "close_mosaic": stage.epochs // 4,
        "scale": settings.zoom,
        "degrees": 90.0,
        "fliplr": 0.5,
        "flipud": 0.5,
        "hsv_h": 0.05,
        "seed": settings.seed,
        "amp": False,  # to check it, ultralytics would download a model
        "plots": False,
        "verbose": False,
    }


def _trainer_class(
    stage: Stage, settings: DetectorTrainingSettings, start: dict[str, Tensor] | None
) -> type[Any]:
    yolo = import_module("ultralytics.models.yolo")
    base = (
        yolo.segment.SegmentationTrainer
        if stage.task == "segment"
        else yolo.detect.DetectionTrainer
    )

    class Trainer(base):  # type: ignore[misc, valid-type]
        """Reads our data set, starts from our weights, and leaves whole checkpoints behind."""

        def get_dataset(self) -> dict[str, Any]:
            images = Path(self.args.data) / "images"
            parts = {part: str(images / part) for part in ("train", "val")}
            return parts | {"path": images.parent, "names": {0: "object"}, "nc": 1, "channels": 3}

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = False) -> Any:
            model = super().get_model(cfg, weights, verbose)
            if weights is None and start is not None:
                model.load_state_dict(start, strict=False)  # masks have a branch of their own
            return model

        def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
            batch = super().preprocess_batch(batch)
            return batch | {"img": vary_contrast(batch["img"], settings.contrast)}

        def save_model(self) -> Any:
            self.last, self.best = self.wdir / "last.partial", self.wdir / "best.partial"
            saved = super().save_model()
            self.last, self.best = self.wdir / "last.pt", self.wdir / "best.pt"
            for draft in self.wdir.glob("*.partial"):
                draft.replace(draft.with_suffix(".pt"))
            return saved

        def final_eval(self) -> None:
            """Keep the checkpoints as they are: the best has been scored in its epoch."""

    return Trainer


def _report(
    trainer: Any, progress: Callable[[int, int], None] | None, before: int, total: int
) -> None:
    if progress is not None:
        trainer.add_callback("on_fit_epoch_end", lambda it: progress(before + it.epoch + 1, total))


@contextmanager
def _threads_unchanged() -> Any:
    """Restore how many threads torch computes with, which ultralytics changes."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
