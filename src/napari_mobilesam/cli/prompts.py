"""Prompts as the command line takes them, and the objects that they name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from napari_mobilesam.cli.options import rows_of_numbers
from napari_mobilesam.core.errors import PromptError

FORM = '{"points": [[y, x, label], ...], "boxes": [[y0, x0, y1, x1], ...]}'
"""A file of prompts; labels are 1, on the object, or 0."""

_POINTS, _BOXES = ("--points", "y,x[,label];..."), ("--boxes", "y0,x0,y1,x1;...")

Point = tuple[float, float] | tuple[float, float, Literal[0, 1]]
Box = tuple[float, float, float, float]


class PromptSet(BaseModel):
    """Prompts of one image: points (y, x) or (y, x, label), and boxes (y0, x0, y1, x1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectPrompts:
    """Prompts of one object: points (N, 2) with their labels (N,), and a box or none."""

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    box: Box | None

    @property
    def proposal(self) -> NDArray[np.float64]:
        """The box, or the empty box at the first point."""
        return np.tile(self.points[0], 2) if self.box is None else np.array(self.box)

    @property
    def extent(self) -> Box:
        """Smallest box around all prompts."""
        corners = () if self.box is None else self.box
        places = np.concatenate([self.points.reshape(-1, 2), np.reshape(corners, (-1, 2))])
        (y0, x0), (y1, x1) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
        return y0, x0, y1, x1


def parse_prompts(points: str | None, boxes: str | None) -> PromptSet | None:
    """Read ``y,x[,label];...`` and ``y0,x0,y1,x1;...``; None if neither is given."""
    if points is None and boxes is None:
        return None
    rows = {
        "points": [] if points is None else rows_of_numbers(points, (2, 3), *_POINTS),
        "boxes": [] if boxes is None else rows_of_numbers(boxes, (4,), *_BOXES),
    }
    try:
        return PromptSet.model_validate(rows)
    except ValidationError as error:
        raise typer.BadParameter(
            "the label of a point is 1 (on the object) or 0", param_hint="--points"
        ) from error


def read_prompts(path: Path) -> dict[str, PromptSet] | PromptSet:
    """Read a JSON file of prompts: for all images, or by the images' file names.

    It is of the form ``FORM``, or has one such entry for each file name.
    """
    form: TypeAdapter[PromptSet | dict[str, PromptSet]] = TypeAdapter(
        PromptSet | dict[str, PromptSet]
    )
    try:
        return form.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"{path} cannot be read: expected {FORM} or one such entry for each file name, "
            f"got {_reason(error)}",
            param_hint="--prompts",
        ) from error


def split_objects(prompts: PromptSet, *, one_object: bool) -> list[ObjectPrompts]:
    """Tell the objects apart: one a positive point and one a box, or one from all prompts.

    Negative points count for every object.

    Raises
    ------
    PromptError
        If there is no object, or more than one box for one object.
    """
    rows = np.array([(*point[:2], *(point[2:] or (1,))) for point in prompts.points])
    points, labels = rows.reshape(-1, 3)[:, :2], rows.reshape(-1, 3)[:, 2].astype(np.int64)
    if one_object:
        if len(prompts.boxes) > 1:
            raise PromptError(
                "one object has one box", expected="at most one", got=str(len(prompts.boxes))
            )
        if not (labels == 1).any() and not prompts.boxes:
            raise PromptError("no prompt is on an object", expected="a point with label 1 or a box")
        return [ObjectPrompts(points, labels, next(iter(prompts.boxes), None))]
    beside = points[labels == 0]
    objects = [
        ObjectPrompts(np.vstack([point, beside]), np.repeat([1, 0], [1, len(beside)]), None)
        for point in points[labels == 1]
    ]
    objects += [ObjectPrompts(beside, np.zeros(len(beside), int), box) for box in prompts.boxes]
    if not objects:
        raise PromptError("no prompt is on an object", expected="a point with label 1 or a box")
    return objects


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{first['msg']} at {'/'.join(str(step) for step in first['loc'])}"
    return str(error)
