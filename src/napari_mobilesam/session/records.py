"""What was accepted, and how it came about."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.drawn import DrawnPrompt, Mode
from napari_mobilesam.core.edits import Taken, Target
from napari_mobilesam.core.field import FieldOfView
from napari_mobilesam.core.geometry import InputSize, Window
from napari_mobilesam.core.settings import EverythingSettings, Limits
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.session.planes import PlaneKey, PlaneSource
from napari_mobilesam.session.requests import Step

FEATURES = ("index", "model", "source", "score", "prompts")

STEPS_KEPT = 100
"""Accepts that can be taken back, as many as napari's own history keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class FromPrompts:
    """Masks that came from what was drawn; the last step is what was accepted."""

    steps: tuple[Step, ...]
    mode: Mode

    @property
    def drawn(self) -> tuple[DrawnPrompt, ...]:
        """What was drawn when the masks were accepted."""
        return self.steps[-1].drawn


@dataclass(frozen=True, slots=True, eq=False)
class FromEverything:
    """Masks that came from everything mode; see :class:`~.requests.Found`."""

    settings: EverythingSettings
    batches: tuple[Proposals | None, ...]
    kept: tuple[int, ...]
    region: Window | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """With what masks were made: the model, and how it was shown the image.

    Parameters
    ----------
    model : str
        Name of the model.
    input_size : InputSize
        Side of its square input, in pixels, or the least and the greatest.
    weights : tuple of (str, str or None)
        Files of its weights, and their hashes.
    limits, gamma, channels
        As for :class:`~napari_mobilesam.session.planes.PlaneSource`.
    rounded : bool
        Whether embeddings were rounded to float16, as a cache keeps them.
    field : int, "auto" or "plane"
        How much of the plane was seen for prompts; :data:`~.field.FieldOfView`.
    arithmetic : str
        As of :class:`~napari_mobilesam.api.MobileSAM`; empty in files that do not say.
    """

    model: str
    input_size: InputSize
    weights: tuple[tuple[str, str | None], ...]
    limits: Limits
    gamma: float
    channels: tuple[int, ...] | None
    rounded: bool
    field: FieldOfView
    arithmetic: str

    @classmethod
    def of(cls, model: MobileSAM, source: PlaneSource, field: FieldOfView) -> "Conditions":
        """Describe a model, the image it is shown, and how much of it for prompts."""
        limits = source.limits
        if not isinstance(limits, str):
            limits = float(limits[0]), float(limits[1])
        gamma = float(source.gamma)
        return cls(
            model=model.card.name,
            input_size=model.input_size,
            weights=hashes_of(model),
            limits=limits,
            gamma=gamma,
            channels=source.channels,
            rounded=model.rounded,
            field=field,
            arithmetic=model.arithmetic,
        )


def hashes_of(model: MobileSAM) -> tuple[tuple[str, str | None], ...]:
    """Files of a model's weights, and their hashes."""
    return tuple((file.name, file.sha256 or file.xxh128) for file in model.card.files)


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """One accept: where the masks came from, how they were written, what labels they got.

    Parameters
    ----------
    key : PlaneKey
        Plane that was labelled.
    origin : FromPrompts or FromEverything
        How to compute the masks again.
    target, selected, taken, next_label
        As for :func:`~napari_mobilesam.core.edits.plan_accept`.
    labels : tuple of int
        The label of each mask.
    scores : tuple of float
        Predicted IoU of each mask.
    conditions : Conditions
        With what the masks were made.
    measured : pandas.DataFrame, optional
        What everything mode has measured, one row a mask.
    """

    key: PlaneKey
    origin: FromPrompts | FromEverything
    target: Target
    selected: int
    taken: Taken
    next_label: int
    labels: tuple[int, ...]
    scores: tuple[float, ...]
    conditions: Conditions
    measured: pd.DataFrame | None = None

    def drawn_for(self, label: int) -> tuple[DrawnPrompt, ...]:
        """Prompts that a label came from; none for everything mode."""
        if isinstance(self.origin, FromEverything):
            return ()
        drawn = self.origin.drawn
        if self.origin.mode == "one":
            return drawn
        objects = [prompt for prompt in drawn if getattr(prompt, "positive", True)]
        others = [prompt for prompt in drawn if not getattr(prompt, "positive", True)]
        own = [drawn for drawn, name in zip(objects, self.labels, strict=True) if name == label]
        return (*own, *others)


def latest(log: Sequence[Accepted]) -> dict[int, Accepted]:
    """Find the accept that each label was last written by."""
    return {label: accepted for accepted in log for label in accepted.labels}


def features(log: Sequence[Accepted]) -> pd.DataFrame:
    """Table of the accepted objects for ``Labels.features``, one row a label.

    Objects from everything mode have its measurements as well.
    """
    rows = [
        _row(label, accepted, accepted.labels.index(label))
        for label, accepted in sorted(latest(log).items())
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(FEATURES))
    return table.astype({"index": int, "score": float})


def _row(label: int, accepted: Accepted, number: int) -> dict[str, object]:
    row: dict[str, object] = {
        "index": label,
        "model": accepted.conditions.model,
        "source": "prompts" if isinstance(accepted.origin, FromPrompts) else "everything",
        "score": accepted.scores[number],
        "prompts": len(accepted.drawn_for(label)),
    }
    if accepted.measured is None:
        return row
    measured = accepted.measured.iloc[number].drop(["label", "score"])
    return row | {str(name): value for name, value in measured.items()}
