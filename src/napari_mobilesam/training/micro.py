"""The recipes of the bundled model, and the table that it is judged by."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch

from napari_mobilesam.api import load_model
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.evaluation.prompted import evaluate_prompts
from napari_mobilesam.inference.engine import TorchEngine, choose_device
from napari_mobilesam.io.labelled_images import LabelledImages
from napari_mobilesam.models.sam import Sam
from napari_mobilesam.training.datasets import DataSettings, Steps
from napari_mobilesam.training.decoder_guided import train
from napari_mobilesam.training.fit import Progress
from napari_mobilesam.training.settings import DecoderGuidedSettings, DetectorTrainingSettings
from napari_mobilesam.training.synthetic import KINDS
from napari_mobilesam.training.validation import validation_scenes
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam

DATA = DataSettings(objects_per_image=4)
TRAINING = DecoderGuidedSettings(steps=100_000, seconds=5400, corrective_share=0.25)

GPU_DATA = DataSettings(
    input_sizes=(384, 512, 768, 1024),
    size_weights=(0.07, 0.3, 0.35, 0.28),
    pixels_per_step=24 * 512**2,
    objects_per_image=16,
    whole_share=0.35,
)
GPU_TRAINING = DecoderGuidedSettings(
    steps=100_000,
    seconds=600,
    learning_rate=3e-4,
    average_decay=0.996,
    bfloat16=True,
    corrective_share=0.3,
    pixels_at_once=24 * 512**2,
    checkpoint_seconds=60,
)

DETECTOR_TRAINING = DetectorTrainingSettings()

GPU_DETECTOR_TRAINING = DetectorTrainingSettings(
    steps=100_000, seconds=600, image_size=512, batch_size=64, bfloat16=True, checkpoint_seconds=60
)


def recipe(device: torch.device) -> tuple[DataSettings, DecoderGuidedSettings]:
    """Tell what to learn from and how, on a device: a GPU takes many larger images at once."""
    return (GPU_DATA, GPU_TRAINING) if device.type == "cuda" else (DATA, TRAINING)


def detector_recipe(device: torch.device) -> DetectorTrainingSettings:
    """Tell how to train the detector on a device."""
    return GPU_DETECTOR_TRAINING if device.type == "cuda" else DETECTOR_TRAINING


def train_micro(
    images: Sequence[Path],
    validation: Path,
    folder: Path,
    *,
    start: str = "micro",
    data: DataSettings = DATA,
    settings: DecoderGuidedSettings = TRAINING,
    device: torch.device | str = "auto",
    progress: Progress | None = None,
    workers: int = 1,
) -> None:
    """Train an encoder on labelled images and synthetic scenes, half of each.

    Parameters
    ----------
    images : sequence of Path
        Labelled images to learn from, as
        :class:`~napari_mobilesam.io.labelled_images.LabelledImages` reads them.
    validation : Path
        Others to choose the best encoder by.
    folder : Path
        Where the run is kept, and gone on with; see :func:`~.fit.fit` for what is in it.
    start : str
        Name or path of the model to start from.
    data, settings
        What to learn from and how.
    device : torch.device or str
        Where to compute; also "auto".
    progress : callable, optional
        Called with steps done and steps in all.
    workers : int
        Processes that draw examples.
    """
    held_out = LabelledImages(validation)
    real = [held_out[i] for i in range(0, len(held_out), max(1, len(held_out) // 8))][:8]
    synthetic = [scene for kind in KINDS for scene in validation_scenes(kind, 1, 256)]
    torch_device = choose_device(str(device))

    def validate(sam: Sam) -> dict[str, float]:
        engine = TorchEngine(sam, torch_device)
        scores = {
            "real": evaluate_prompts(engine, real, 512, 5),
            "synthetic": evaluate_prompts(engine, synthetic, 512, 5),
        }
        means = {f"{name}_box": score.box for name, score in scores.items()}
        means |= {f"{name}_point": score.point for name, score in scores.items()}
        return means | {"score": sum(means.values()) / len(means)}

    train(
        load_sam(get_card(start)),
        Steps(tuple(LabelledImages(path) for path in images), data),
        settings,
        folder,
        validate=validate,
        progress=progress,
        device=torch_device,
        workers=workers,
    )


def score_table(
    model: str,
    validation: Path,
    *,
    input_size: InputSize | None = None,
    images: int | None = None,
    scenes_per_kind: int = 4,
    objects_per_image: int = 12,
    device: str = "auto",
    closer: bool | None = None,
) -> pd.DataFrame:
    """Score a model on held-out images and on synthetic scenes of every kind.

    Parameters
    ----------
    model : str
        Name or path of a model.
    validation : Path
        Labelled images that it did not learn from.
    input_size : InputSize, optional
        Side of the encoder's input, in pixels; the model's own by default.
    images : int, optional
        How many of the labelled images, evenly spaced; all of them by default.
    scenes_per_kind : int
        Synthetic scenes of each kind, 384 pixels wide.
    objects_per_image : int
        Most objects prompted in an image.
    device : str
        "auto", "cpu", "cuda" or "mps".
    closer : bool, optional
        Whether small objects are looked at again; the model's own way if not given.

    Returns
    -------
    DataFrame
        A row a kind, as :meth:`~napari_mobilesam.evaluation.prompted.Scores.as_row` gives it.
    """
    sam = load_model(model, device=device, input_size=input_size)
    look = sam.card.closer if closer is None else closer
    held_out = LabelledImages(validation)
    step = 1 if images is None else max(1, len(held_out) // images)

    def scenes() -> Iterator[tuple[str, list[Scene]]]:
        yield "real", [held_out[i] for i in range(0, len(held_out), step)][:images]
        for kind in KINDS:
            yield kind, validation_scenes(kind, scenes_per_kind)

    rows = {
        kind: evaluate_prompts(
            sam.engine, some, sam.input_size, objects_per_image, closer=look
        ).as_row()
        for kind, some in scenes()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
