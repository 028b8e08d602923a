"""What users draw, and how it becomes prompts of one object or of many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.prompts import Prompts

SCRIBBLE_POINTS = 5
"""Point prompts that are taken from a scribble, evenly along it."""

DRAWN_LOGIT = 6.0
"""Logit of a drawn mask inside, and with a minus outside: a sigmoid of 0.998."""

FARTHEST = 2.0**31
"""Vertices may lie outside of the plane, but no farther than this, in pixels."""

Mode = Literal["one", "many"]
"""All prompts describe one object, or each an object of its own."""


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """A point (row, column) on the object, or beside it."""

    yx: tuple[float, float]
    positive: bool = True


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A half-open box (y0, x0, y1, x1) around an object."""

    yxyx: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class PolygonPrompt:
    """A closed outline, vertices (N, 2) as (row, column)."""

    vertices: NDArray[np.float64]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolygonPrompt) and np.array_equal(self.vertices, other.vertices)

    def __hash__(self) -> int:
        return hash(np.shape(self.vertices))


@dataclass(frozen=True, slots=True, eq=False)
class ScribblePrompt:
    """A line along vertices (N, 2), drawn on the object or beside it."""

    vertices: NDArray[np.float64]
    positive: bool = True

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ScribblePrompt)
            and self.positive == other.positive
            and np.array_equal(self.vertices, other.vertices)
        )

    def __hash__(self) -> int:
        return hash((np.shape(self.vertices), self.positive))


@dataclass(frozen=True, slots=True, eq=False)
class MaskPrompt:
    """A mask of the object that something else has made."""

    mask: CroppedMask

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, MaskPrompt)
            and self.mask.box == other.mask.box
            and np.array_equal(self.mask.pixels, other.mask.pixels)
        )

    def __hash__(self) -> int:
        return hash(self.mask.box)


DrawnPrompt = PointPrompt | BoxPrompt | PolygonPrompt | ScribblePrompt | MaskPrompt


def usable(
    drawn: Sequence[DrawnPrompt], plane_shape: tuple[int, int]
) -> tuple[tuple[DrawnPrompt, ...], tuple[str, ...]]:
    """Leave out what lies outside the plane or has no area; the reasons come second."""
    kept, skipped = [], []
    for prompt in drawn:
        try:
            _check_vertices(prompt)
            Prompts.create(plane_shape, points=_points(prompt), box=_box(prompt))
        except PromptError as error:
            skipped.append(str(error))
        else:
            kept.append(prompt)
    return tuple(kept), tuple(skipped)


def extent(drawn: Sequence[DrawnPrompt]) -> tuple[float, float, float, float]:
    """Smallest box (y0, x0, y1, x1) around usable prompts, of which there must be one."""
    points = [np.reshape(_points(prompt), (-1, 2)) for prompt in drawn]
    corners = [np.reshape(box, (2, 2)) for box in map(_box, drawn) if box is not None]
    places = np.concatenate([*points, *corners])
    (y0, x0), (y1, x1) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    return y0, x0, y1, x1


def combine(drawn: Sequence[DrawnPrompt], frame: InputFrame, mode: Mode) -> tuple[Prompts, ...]:
    """Turn what was drawn into prompts; what lies outside the plane or has no area is left out.

    Parameters
    ----------
    drawn : sequence of DrawnPrompt
        In plane coordinates.
    frame : InputFrame
        How the plane lies in the encoder's input.
    mode : "one" or "many"
        With "one", everything is about one object: boxes are joined, outlines and masks become
        its box and a mask input. With "many", every box, outline, mask, positive point and
        positive scribble is an object of its own, and what is negative counts for all.

    Returns
    -------
    tuple of Prompts
        One an object; none if nothing lies on one.
    """
    used, _ = usable(drawn, frame.plane_shape)
    negative = [prompt for prompt in used if _is_negative(prompt)]
    positive = [prompt for prompt in used if not _is_negative(prompt)]
    if not positive:
        return ()
    objects = [positive] if mode == "one" else [[prompt] for prompt in positive]
    return tuple(_join(parts, negative, frame) for parts in objects)


def _check_vertices(prompt: DrawnPrompt) -> None:
    if isinstance(prompt, PolygonPrompt | ScribblePrompt):
        shape = np.shape(prompt.vertices)
        if len(shape) != 2 or shape[1] != 2 or not shape[0]:
            raise PromptError("this shape has no vertices", expected="(N, 2)", got=f"shape {shape}")
        if not (np.abs(prompt.vertices) <= FARTHEST).all():
            raise PromptError("vertices must be numbers that lie near the plane")


def _is_negative(prompt: DrawnPrompt) -> bool:
    return isinstance(prompt, PointPrompt | ScribblePrompt) and not prompt.positive


def _join(
    positive: Sequence[DrawnPrompt], negative: Sequence[DrawnPrompt], frame: InputFrame
) -> Prompts:
    inside = [point for prompt in positive for point in _points(prompt)]
    outside = [point for prompt in negative for point in _points(prompt)]
    boxes = np.array([box for box in map(_box, positive) if box is not None]).reshape(-1, 4)
    logits = [mask for mask in (_logits(prompt, frame) for prompt in positive) if mask is not None]
    return Prompts.create(
        frame.plane_shape,
        points=inside + outside,
        point_labels=[1] * len(inside) + [0] * len(outside),
        box=(*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)) if len(boxes) else None,
        mask_input=np.max(logits, axis=0) if logits else None,
    )


def _points(prompt: DrawnPrompt) -> list[tuple[float, float]]:
    if isinstance(prompt, PointPrompt):
        return [prompt.yx]
    if isinstance(prompt, ScribblePrompt):
        return _along(prompt.vertices)
    return []


def _along(vertices: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Points at even distances along a line, its ends among them."""
    steps = np.hypot(*np.diff(vertices, axis=0).T)
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    if not travelled[-1]:
        return [(float(vertices[0, 0]), float(vertices[0, 1]))]
    stops = np.linspace(0, travelled[-1], SCRIBBLE_POINTS)
    rows, cols = (np.interp(stops, travelled, axis).tolist() for axis in vertices.T)
    return list(zip(rows, cols, strict=True))


def _box(prompt: DrawnPrompt) -> NDArray[np.float64] | None:
    match prompt:
        case BoxPrompt(yxyx):
            (y0, x0), (y1, x1) = np.sort(np.reshape(yxyx, (2, 2)), axis=0)
            return np.array([y0, x0, y1, x1])
        case PolygonPrompt(vertices):
            return np.concatenate([vertices.min(axis=0) + 0.5, vertices.max(axis=0) + 0.5])
        case MaskPrompt(mask):
            return np.array(mask.box, dtype=np.float64)
    return None


def _logits(prompt: DrawnPrompt, frame: InputFrame) -> NDArray[np.float32] | None:
    """Draw an outline or a mask as logits; None if it is too small to show at their resolution."""
    if isinstance(prompt, PolygonPrompt):
        xy = (frame.points_to_input(prompt.vertices) + 0.5) / frame.logits_stride - 0.5
        inside = polygon2mask((frame.logits_size, frame.logits_size), xy[:, ::-1])
    elif isinstance(prompt, MaskPrompt):
        inside = _sampled(prompt.mask, frame)
    else:
        return None
    if not inside.any():
        return None
    return np.where(inside, DRAWN_LOGIT, -DRAWN_LOGIT).astype(np.float32)


def _sampled(mask: CroppedMask, frame: InputFrame) -> NDArray[np.bool_]:
    """Look a mask up at the centres of the logits."""
    centres = (np.arange(frame.logits_size) + 0.5) * frame.logits_stride - 0.5
    inside = np.zeros((frame.logits_size, frame.logits_size), dtype=bool)
    rows, cols = (
        np.rint(centres / scale).astype(np.intp) + seen - first
        for scale, seen, first in zip(
            frame.scale_yx, frame.seen[:2], (mask.y0, mask.x0), strict=True
        )
    )
    height, width = mask.pixels.shape
    hit_rows = np.flatnonzero((rows >= 0) & (rows < height))
    hit_cols = np.flatnonzero((cols >= 0) & (cols < width))
    inside[np.ix_(hit_rows, hit_cols)] = mask.pixels[np.ix_(rows[hit_rows], cols[hit_cols])]
    return inside
