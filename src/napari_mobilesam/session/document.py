"""What a session file says: its schema, to and from what a session knows."""

import base64
import zlib
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from napari_mobilesam.core.drawn import (
    BoxPrompt,
    DrawnPrompt,
    MaskPrompt,
    Mode,
    PointPrompt,
    PolygonPrompt,
    ScribblePrompt,
)
from napari_mobilesam.core.edits import Taken, Target
from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.field import FieldOfView
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import EverythingSettings, Limits
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.session.planes import PlaneKey
from napari_mobilesam.session.records import Accepted, Conditions, FromEverything, FromPrompts
from napari_mobilesam.session.requests import Step

MAX_MASK_PIXELS = 2**28
MAX_AXES = 32
MAX_COORDINATE = 2**31

Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Pair = tuple[Coordinate, Coordinate]
Quad = tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class Part(BaseModel):
    """A part of a document; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PointPart(Part):
    """A point prompt."""

    kind: Literal["point"] = "point"
    yx: Pair
    positive: bool


class BoxPart(Part):
    """A box prompt."""

    kind: Literal["box"] = "box"
    yxyx: Quad


class PolygonPart(Part):
    """An outline."""

    kind: Literal["polygon"] = "polygon"
    vertices: list[Pair]


class ScribblePart(Part):
    """A scribble."""

    kind: Literal["scribble"] = "scribble"
    vertices: list[Pair]
    positive: bool


class MaskPart(Part):
    """A mask: its place, and its pixels as packed, deflated bits in base64."""

    kind: Literal["mask"] = "mask"
    y0: int = Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)
    x0: int = Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)
    shape: tuple[int, int]
    bits: str


DrawnPart = Annotated[
    PointPart | BoxPart | PolygonPart | ScribblePart | MaskPart, Field(discriminator="kind")
]


class StepPart(Part):
    """What was drawn, the candidate that was chosen, and the window of a closer look."""

    drawn: list[DrawnPart]
    chosen: int = Field(ge=0, le=2)
    closer: tuple[int, int, int, int] | None = None


class PromptsPart(Part):
    """Masks from prompts."""

    kind: Literal["prompts"] = "prompts"
    mode: Mode
    steps: list[StepPart] = Field(min_length=1)


class BatchPart(Part):
    """Proposals that were decoded together."""

    boxes: list[Quad]
    confidence: list[float]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.boxes) != len(self.confidence):
            raise ValueError("each box needs a confidence")
        return self


class EverythingPart(Part):
    """Masks from everything mode."""

    kind: Literal["everything"] = "everything"
    settings: EverythingSettings
    batches: list[BatchPart | None]
    kept: list[int]
    region: tuple[int, int, int, int] | None


class ConditionsPart(Part):
    """With what masks were made."""

    model: str
    input_size: InputSize
    weights: list[tuple[str, str | None]]
    limits: Limits
    gamma: float
    channels: tuple[int, ...] | None = None
    rounded: bool = False
    field: FieldOfView = "plane"
    arithmetic: str = ""


def _check_key(key: PlaneKey) -> PlaneKey:
    if key.count(-1) > 2 or not all(-1 <= number <= MAX_COORDINATE for number in key):
        raise ValueError("there is no such plane")
    return key


Key = Annotated[tuple[int, ...], Field(max_length=MAX_AXES), AfterValidator(_check_key)]


class AcceptedPart(Part):
    """One accept; ``conditions`` is a number in the list of the document."""

    key: Key
    conditions: int
    origin: Annotated[PromptsPart | EverythingPart, Field(discriminator="kind")]
    target: Target
    selected: int
    taken: Taken
    next_label: int
    labels: list[int]


class PlanePart(Part):
    """A plane, and a hash of its pixels."""

    key: Key
    sha256: str


class Document(Part):
    """A whole session file."""

    format: Literal["napari-mobilesam session"] = "napari-mobilesam session"
    version: Literal[1] = 1
    channels: tuple[int, ...] | None
    conditions: list[ConditionsPart]
    current: int
    planes: list[PlanePart]
    accepted: list[AcceptedPart]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        planes = {plane.key for plane in self.planes}
        if not {accepted.key for accepted in self.accepted} <= planes:
            raise ValueError("a plane that was annotated is not listed")
        used = {self.current, *(accepted.conditions for accepted in self.accepted)}
        if not used <= set(range(len(self.conditions))):
            raise ValueError("conditions that were worked under are not listed")
        return self


def pack_conditions(conditions: Conditions) -> ConditionsPart:
    """Describe conditions."""
    return ConditionsPart(
        model=conditions.model,
        input_size=conditions.input_size,
        weights=list(conditions.weights),
        limits=conditions.limits,
        gamma=conditions.gamma,
        channels=conditions.channels,
        rounded=conditions.rounded,
        field=conditions.field,
        arithmetic=conditions.arithmetic,
    )


def pack_accepted(accepted: Accepted, conditions: int) -> AcceptedPart:
    """Describe an accept; ``conditions`` numbers its conditions."""
    return AcceptedPart(
        key=accepted.key,
        conditions=conditions,
        origin=_pack_origin(accepted.origin),
        target=accepted.target,
        selected=accepted.selected,
        taken=accepted.taken,
        next_label=accepted.next_label,
        labels=list(accepted.labels),
    )


def _pack_origin(origin: FromPrompts | FromEverything) -> PromptsPart | EverythingPart:
    if isinstance(origin, FromPrompts):
        return PromptsPart(mode=origin.mode, steps=[_pack_step(step) for step in origin.steps])
    batches = [None if batch is None else _pack_batch(batch) for batch in origin.batches]
    return EverythingPart(
        settings=origin.settings, batches=batches, kept=list(origin.kept), region=origin.region
    )


def _pack_step(step: Step) -> StepPart:
    drawn = [_pack_drawn(prompt) for prompt in step.drawn]
    return StepPart(drawn=drawn, chosen=step.chosen, closer=step.closer)


def unpack_step(step: StepPart) -> Step:
    """Return a step as it was taken; errors are those of :func:`unpack_drawn`."""
    return Step(tuple(map(unpack_drawn, step.drawn)), step.chosen, step.closer)


def _pack_batch(batch: Proposals) -> BatchPart:
    return BatchPart(boxes=batch.boxes_yxyx.tolist(), confidence=batch.confidence.tolist())


def unpack_batch(batch: BatchPart) -> Proposals:
    """Return the proposals of a batch."""
    boxes = np.array(batch.boxes, dtype=np.float64).reshape(-1, 4)
    return Proposals(boxes, np.array(batch.confidence, dtype=np.float32))


def _pack_drawn(prompt: DrawnPrompt) -> DrawnPart:
    match prompt:
        case PointPrompt(yx, positive):
            return PointPart(yx=yx, positive=positive)
        case BoxPrompt(yxyx):
            return BoxPart(yxyx=yxyx)
        case PolygonPrompt(vertices):
            return PolygonPart(vertices=np.asarray(vertices).tolist())
        case ScribblePrompt(vertices, positive):
            return ScribblePart(vertices=np.asarray(vertices).tolist(), positive=positive)
        case MaskPrompt(mask):
            bits = base64.b64encode(zlib.compress(np.packbits(mask.pixels).tobytes()))
            shape = (mask.pixels.shape[0], mask.pixels.shape[1])
            return MaskPart(y0=mask.y0, x0=mask.x0, shape=shape, bits=bits.decode())


def unpack_drawn(drawn: DrawnPart) -> DrawnPrompt:
    """Return a prompt as it was drawn.

    Raises
    ------
    FileFormatError
        If a mask is damaged, or larger than any image.
    """
    match drawn:
        case PointPart():
            return PointPrompt(drawn.yx, drawn.positive)
        case BoxPart():
            return BoxPrompt(drawn.yxyx)
        case PolygonPart():
            return PolygonPrompt(np.array(drawn.vertices, dtype=np.float64).reshape(-1, 2))
        case ScribblePart():
            vertices = np.array(drawn.vertices, dtype=np.float64).reshape(-1, 2)
            return ScribblePrompt(vertices, drawn.positive)
        case MaskPart():
            return MaskPrompt(CroppedMask(drawn.y0, drawn.x0, _unpack_bits(drawn)))


def _unpack_bits(drawn: MaskPart) -> NDArray[np.bool_]:
    """Unpack no more than the shape promises, whatever the file holds."""
    height, width = drawn.shape
    count = height * width
    if min(height, width) < 0 or count > MAX_MASK_PIXELS:
        raise FileFormatError("a mask of this session is too large", got=f"{height} x {width}")
    try:
        packed = zlib.decompressobj().decompress(base64.b64decode(drawn.bits), -(-count // 8) or 1)
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
        return bits.reshape(height, width).astype(bool)
    except (ValueError, zlib.error) as error:
        raise FileFormatError("a mask of this session is damaged", got=str(error)) from error


def unpack_accepted(
    accepted: AcceptedPart,
    conditions: ConditionsPart,
    scores: Sequence[float],
    measured: pd.DataFrame | None,
) -> Accepted:
    """Return an accept as it was, with what a session file leaves out."""
    weights = tuple(conditions.weights)
    return Accepted(
        accepted.key,
        _unpack_origin(accepted.origin),
        accepted.target,
        accepted.selected,
        accepted.taken,
        accepted.next_label,
        tuple(accepted.labels),
        tuple(scores),
        Conditions(**(dict(conditions) | {"weights": weights})),
        measured,
    )


def _unpack_origin(origin: PromptsPart | EverythingPart) -> FromPrompts | FromEverything:
    if isinstance(origin, PromptsPart):
        return FromPrompts(tuple(map(unpack_step, origin.steps)), origin.mode)
    batches = tuple(None if batch is None else unpack_batch(batch) for batch in origin.batches)
    return FromEverything(origin.settings, batches, tuple(origin.kept), origin.region)
