"""Train the image encoder of a model and nothing else of it, whatever teaches it."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from safetensors.torch import save_file
from torch import nn

from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.models.sam import ImageEncoder, Sam
from napari_mobilesam.training.fit import Batch, Losses, Progress, StepData, fit, in_half_precision
from napari_mobilesam.training.settings import FitSettings

Validate = Callable[[Sam], dict[str, float]]
"""Scores a model; its value for "score" decides which encoder is kept as the best."""

RESULT = "encoder"
"""Name of the averaged weights in the folder of a run."""


def fit_encoder(
    sam: Sam,
    data: StepData[Batch],
    losses: Losses[Batch],
    settings: FitSettings,
    folder: Path,
    *,
    validate: Validate | None = None,
    progress: Progress | None = None,
    workers: int = 0,
) -> None:
    """Train the encoder of a model; see :func:`~.fit.fit` for what is left in the folder.

    Batch normalisation keeps its statistics, so that a step of one large image is as good as one
    of many small images.

    Parameters
    ----------
    sam : Sam
        The model; at the end its encoder holds the averaged weights.
    data, losses, settings, folder, progress, workers
        As for :func:`~.fit.fit`.
    validate : callable, optional
        Scores the model with the averaged encoder now and then.
    """
    sam.eval().requires_grad_(False)
    encoder = sam.image_encoder.requires_grad_(True)

    def score(average: nn.Module) -> dict[str, float]:
        sam.image_encoder = cast(ImageEncoder, average)
        try:
            return {} if validate is None else validate(sam)
        finally:
            sam.image_encoder = encoder

    fit(
        encoder,
        data,
        losses,
        settings,
        folder,
        write=save_encoder,
        name=RESULT,
        score=None if validate is None else score,
        progress=progress,
        workers=workers,
    )


def save_encoder(encoder: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write an encoder in half precision, under MobileSAM's parameter names.

    Parameters
    ----------
    encoder : Module
        An image encoder.
    path : Path
        The safetensors file, replaced as a whole.
    metadata : dict of str
        Origin, licence and the like, for the file's header.
    """
    with replacing(path) as draft:
        save_file(in_half_precision(encoder, "image_encoder."), draft, metadata)
