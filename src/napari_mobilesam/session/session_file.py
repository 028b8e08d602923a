"""Session files: what was accepted, and how, so that it can be computed again bit for bit.

A ``.mobilesam.json`` holds prompts, settings and decisions, no pixels: hashes tell whether the
image and the weights are the same when it is replayed.
"""

import base64
import hashlib
import zlib
from os import PathLike
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_mobilesam.api import MobileSAM, load_model
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
from napari_mobilesam.core.errors import FileFormatError, ImageError
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.planes import select_channels
from napari_mobilesam.core.settings import EverythingSettings, Limits
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.session.planes import ArrayLabels, ArraySource, PlaneKey
from napari_mobilesam.session.records import (
    Accepted,
    Conditions,
    FromEverything,
    FromPrompts,
    hashes_of,
)
from napari_mobilesam.session.requests import FindAgain
from napari_mobilesam.session.session import Session

MAX_BYTES = 256 * 1024**2
MAX_MASK_PIXELS = 2**28

Pair = tuple[float, float]
Quad = tuple[float, float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Point(_Part):
    kind: Literal["point"] = "point"
    yx: Pair
    positive: bool


class _Box(_Part):
    kind: Literal["box"] = "box"
    yxyx: Quad


class _Polygon(_Part):
    kind: Literal["polygon"] = "polygon"
    vertices: list[Pair]


class _Scribble(_Part):
    kind: Literal["scribble"] = "scribble"
    vertices: list[Pair]
    positive: bool


class _Mask(_Part):
    kind: Literal["mask"] = "mask"
    y0: int
    x0: int
    shape: tuple[int, int]
    bits: str


_Drawn = Annotated[_Point | _Box | _Polygon | _Scribble | _Mask, Field(discriminator="kind")]


class _Step(_Part):
    drawn: list[_Drawn]
    chosen: int = Field(ge=0, le=2)


class _FromPrompts(_Part):
    kind: Literal["prompts"] = "prompts"
    mode: Mode
    steps: list[_Step] = Field(min_length=1)


class _Batch(_Part):
    boxes: list[Quad]
    confidence: list[float]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.boxes) != len(self.confidence):
            raise ValueError("each box needs a confidence")
        return self


class _FromEverything(_Part):
    kind: Literal["everything"] = "everything"
    settings: EverythingSettings
    batches: list[_Batch | None]
    kept: list[int]
    region: tuple[int, int, int, int] | None


class _Conditions(_Part):
    model: str
    input_size: int
    weights: list[tuple[str, str | None]]
    limits: Limits
    gamma: float


class _Accepted(_Part):
    key: tuple[int, ...]
    conditions: int
    origin: Annotated[_FromPrompts | _FromEverything, Field(discriminator="kind")]
    target: Target
    selected: int
    taken: Taken
    next_label: int
    labels: list[int]


class _Plane(_Part):
    key: tuple[int, ...]
    sha256: str


class _File(_Part):
    format: Literal["napari-mobilesam session"] = "napari-mobilesam session"
    version: Literal[1] = 1
    channels: tuple[int, ...] | None
    conditions: list[_Conditions]
    current: int
    planes: list[_Plane]
    accepted: list[_Accepted]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        planes = {plane.key for plane in self.planes}
        if not {accepted.key for accepted in self.accepted} <= planes:
            raise ValueError("a plane that was annotated is not listed")
        used = {self.current, *(accepted.conditions for accepted in self.accepted)}
        if not used <= set(range(len(self.conditions))):
            raise ValueError("conditions that were worked under are not listed")
        return self


def save(session: Session, path: str | PathLike[str]) -> None:
    """Write what was accepted in a session; an existing file is replaced once this one is whole.

    Parameters
    ----------
    session : Session
        What is saved is its log; what was undone, or not accepted, is not.
    path : path-like
        Usually ends in ``.mobilesam.json``.
    """
    source = session.source
    keys = sorted({accepted.key for accepted in session.log})
    now = Conditions.of(session.model, source)
    conditions = list(dict.fromkeys([*(accepted.conditions for accepted in session.log), now]))
    content = _File(
        channels=source.channels if isinstance(source, ArraySource) else None,
        conditions=[_pack_conditions(each) for each in conditions],
        current=conditions.index(now),
        planes=[_Plane(key=key, sha256=_hash(source.plane(key))) for key in keys],
        accepted=[
            _pack_accepted(accepted, conditions.index(accepted.conditions))
            for accepted in session.log
        ],
    )
    with replacing(Path(path)) as part:
        part.write_text(content.model_dump_json(indent=1), encoding="utf-8")


def replay(
    path: str | PathLike[str],
    image: ArrayLike,
    *,
    model: MobileSAM | None = None,
    labels: ArrayLabels | None = None,
) -> Session:
    """Do again all that a session file says, on the same image.

    Parameters
    ----------
    path : path-like
        What :func:`save` wrote.
    image : array
        The image that was annotated.
    model : MobileSAM, optional
        Model to use for all, even if its weights are others; those that the file names if not
        given.
    labels : ArrayLabels, optional
        Labels to go on from, if there were some before the session.

    Returns
    -------
    Session
        With the labels in ``session.labels.array``, equal to those of the saved session.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or belongs to another image or to other weights.
    """
    content = _read(Path(path))
    models: dict[tuple[str, int], MobileSAM] = {}
    stages = [
        (model or _load(conditions, models, Path(path)), _source(conditions, content, image))
        for conditions in content.conditions
    ]
    _check_planes(content, stages[content.current][1], Path(path))
    model, source = stages[content.current]
    session = Session(model, source, labels or ArrayLabels(source.label_shape))
    for accepted in content.accepted:
        _enter(session, *stages[accepted.conditions])
        _accept_again(session, accepted)
    _enter(session, model, source)
    return session


def read_prompts(path: str | PathLike[str]) -> list[tuple[PlaneKey, tuple[DrawnPrompt, ...]]]:
    """Read what was drawn for each accept, and on which plane; everything mode draws nothing.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    """
    return [
        (accepted.key, tuple(map(_unpack_drawn, accepted.origin.steps[-1].drawn)))
        for accepted in _read(Path(path)).accepted
        if isinstance(accepted.origin, _FromPrompts)
    ]


def _load(
    conditions: _Conditions, loaded: dict[tuple[str, int], MobileSAM], path: Path
) -> MobileSAM:
    """Load the model that something was accepted with, once."""
    name = conditions.model, conditions.input_size
    if name not in loaded:
        loaded[name] = load_model(conditions.model, input_size=conditions.input_size)
    _check_weights(conditions, loaded[name], path)
    return loaded[name]


def _source(conditions: _Conditions, content: _File, image: ArrayLike) -> ArraySource:
    """Make the image be as it was shown when something was accepted."""
    limits, gamma = conditions.limits, conditions.gamma
    return ArraySource(image, limits=limits, channels=content.channels, gamma=gamma)


def _enter(session: Session, model: MobileSAM, source: ArraySource) -> None:
    if model is not session.model:
        session.use_model(model)
    if source is not session.source:
        session.use_source(source)


def _accept_again(session: Session, accepted: _Accepted) -> None:
    session.go_to(accepted.key)
    session.embed()
    origin = accepted.origin
    if isinstance(origin, _FromPrompts):
        for step in origin.steps:
            session.set_prompts([_unpack_drawn(drawn) for drawn in step.drawn], origin.mode)
            session.step_candidate(step.chosen)
        accept = session.accept
    else:
        batches = tuple(None if b is None else _unpack_batch(b) for b in origin.batches)
        request = FindAgain(
            session.ticket("everything"),
            session.model,
            session.source,
            session.embedding,
            origin.settings,
            batches,
            tuple(origin.kept),
            origin.region,
        )
        session.apply(request.run(lambda _done, _total: None))
        accept = session.accept_everything
    accept(
        target=accepted.target,
        selected=accepted.selected,
        taken=accepted.taken,
        next_label=accepted.next_label,
    )


def _read(path: Path) -> _File:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(
                f"{path.name} is too large for a session file", expected=f"{MAX_BYTES} bytes"
            )
        return _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read", got=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"])
        raise FileFormatError(
            f"{path.name} is no session file of this version",
            got=f"{first['msg']} at {where or 'its start'}",
            remedy="Choose a .mobilesam.json that napari-mobilesam wrote.",
        ) from error


def _check_weights(conditions: _Conditions, model: MobileSAM, path: Path) -> None:
    today = list(hashes_of(model))
    if conditions.weights != today:
        raise FileFormatError(
            f"{path.name} was made with other weights of {conditions.model}",
            expected=str(dict(conditions.weights)),
            got=str(dict(today)),
            remedy="Pass model= to replay it with the weights of today all the same.",
        )


def _check_planes(content: _File, source: ArraySource, path: Path) -> None:
    for plane in content.planes:
        try:
            found = _hash(source.plane(plane.key))
        except (IndexError, ImageError) as error:
            raise _other_image(path, f"no plane {plane.key}") from error
        if found != plane.sha256:
            raise _other_image(path, f"other pixels in plane {plane.key}")


def _other_image(path: Path, got: str) -> FileFormatError:
    return FileFormatError(
        f"{path.name} belongs to another image", got=got, remedy="Open the image it was made on."
    )


def _hash(pixels: NDArray[np.generic]) -> str:
    plane = select_channels(pixels)
    digest = hashlib.sha256(f"{plane.shape} {plane.dtype.str}".encode())
    digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def _pack_conditions(conditions: Conditions) -> _Conditions:
    return _Conditions(
        model=conditions.model,
        input_size=conditions.input_size,
        weights=list(conditions.weights),
        limits=conditions.limits,
        gamma=conditions.gamma,
    )


def _pack_accepted(accepted: Accepted, conditions: int) -> _Accepted:
    return _Accepted(
        key=accepted.key,
        conditions=conditions,
        origin=_pack_origin(accepted.origin),
        target=accepted.target,
        selected=accepted.selected,
        taken=accepted.taken,
        next_label=accepted.next_label,
        labels=list(accepted.labels),
    )


def _pack_origin(origin: FromPrompts | FromEverything) -> _FromPrompts | _FromEverything:
    if isinstance(origin, FromPrompts):
        steps = [
            _Step(drawn=[_pack_drawn(prompt) for prompt in step.drawn], chosen=step.chosen)
            for step in origin.steps
        ]
        return _FromPrompts(mode=origin.mode, steps=steps)
    batches = [None if batch is None else _pack_batch(batch) for batch in origin.batches]
    return _FromEverything(
        settings=origin.settings, batches=batches, kept=list(origin.kept), region=origin.region
    )


def _pack_batch(batch: Proposals) -> _Batch:
    return _Batch(boxes=batch.boxes_yxyx.tolist(), confidence=batch.confidence.tolist())


def _unpack_batch(batch: _Batch) -> Proposals:
    boxes = np.array(batch.boxes, dtype=np.float64).reshape(-1, 4)
    return Proposals(boxes, np.array(batch.confidence, dtype=np.float32))


def _pack_drawn(prompt: DrawnPrompt) -> _Drawn:
    match prompt:
        case PointPrompt(yx, positive):
            return _Point(yx=yx, positive=positive)
        case BoxPrompt(yxyx):
            return _Box(yxyx=yxyx)
        case PolygonPrompt(vertices):
            return _Polygon(vertices=np.asarray(vertices).tolist())
        case ScribblePrompt(vertices, positive):
            return _Scribble(vertices=np.asarray(vertices).tolist(), positive=positive)
        case MaskPrompt(mask):
            bits = base64.b64encode(zlib.compress(np.packbits(mask.pixels).tobytes()))
            shape = (mask.pixels.shape[0], mask.pixels.shape[1])
            return _Mask(y0=mask.y0, x0=mask.x0, shape=shape, bits=bits.decode())


def _unpack_drawn(drawn: _Drawn) -> DrawnPrompt:
    match drawn:
        case _Point():
            return PointPrompt(drawn.yx, drawn.positive)
        case _Box():
            return BoxPrompt(drawn.yxyx)
        case _Polygon():
            return PolygonPrompt(np.array(drawn.vertices, dtype=np.float64).reshape(-1, 2))
        case _Scribble():
            vertices = np.array(drawn.vertices, dtype=np.float64).reshape(-1, 2)
            return ScribblePrompt(vertices, drawn.positive)
        case _Mask():
            return MaskPrompt(CroppedMask(drawn.y0, drawn.x0, _unpack_bits(drawn)))


def _unpack_bits(drawn: _Mask) -> NDArray[np.bool_]:
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
