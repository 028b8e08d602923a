"""Session files: what was accepted, and how, so that it can be computed again bit for bit.

A ``.mobilesam.json`` holds prompts, settings and decisions, no pixels: hashes tell whether the
image and the weights are the same when it is replayed.
"""

import hashlib
import warnings
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.core.drawn import DrawnPrompt
from napari_mobilesam.core.errors import FileFormatError, ImageError, SettingsError
from napari_mobilesam.core.field import FieldOfView
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.planes import select_channels
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.session.document import (
    AcceptedPart,
    ConditionsPart,
    Document,
    PlanePart,
    PromptsPart,
    pack_accepted,
    pack_conditions,
    unpack_batch,
    unpack_drawn,
    unpack_step,
)
from napari_mobilesam.session.planes import ArrayLabels, ArraySource, PlaneKey
from napari_mobilesam.session.records import Conditions, hashes_of
from napari_mobilesam.session.requests import FindAgain
from napari_mobilesam.session.session import Session
from napari_mobilesam.zoo.catalog import list_cards

MAX_BYTES = 256 * 1024**2

Wanted = tuple[str, InputSize, bool, str]
"""What tells loaded models apart: name, input size, whether embeddings are rounded, arithmetic."""


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
    now = Conditions.of(session.model, source, session.field)
    conditions = list(dict.fromkeys([*(accepted.conditions for accepted in session.log), now]))
    packed = [pack_conditions(each) for each in conditions]
    if any(part.channels for part in packed):  # alone, an image is the first of its channels
        packed = [part.model_copy(update={"channels": part.channels or (0,)}) for part in packed]
    content = Document(
        channels=packed[conditions.index(now)].channels,
        conditions=packed,
        current=conditions.index(now),
        planes=[PlanePart(key=key, sha256=_hash(source.plane(key))) for key in keys],
        accepted=[
            pack_accepted(accepted, conditions.index(accepted.conditions))
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
        The image that was annotated; where several layers were looked at together, they are its
        channels, along a last axis, in the order in which they were chosen.
    model : MobileSAM, optional
        Model to use for all, even if its weights are others; those of the zoo that the file names
        if not given. A checkpoint that it names is not opened.
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
    models: dict[Wanted, MobileSAM] = {}
    stages = [
        (
            model or _load(conditions, models, Path(path)),
            _source(conditions, content, image),
            conditions.field,
        )
        for conditions in content.conditions
    ]
    _check_planes(content, stages[content.current][1], Path(path))
    now = model, source, _ = stages[content.current]
    session = Session(model, source, labels or ArrayLabels(source.label_shape))
    for accepted in content.accepted:
        _enter(session, *stages[accepted.conditions])
        _accept_again(session, accepted)
    _enter(session, *now)
    return session


def read_prompts(path: str | PathLike[str]) -> list[tuple[PlaneKey, tuple[DrawnPrompt, ...]]]:
    """Read what was drawn for each accept, and on which plane; everything mode draws nothing.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    """
    return [
        (accepted.key, tuple(map(unpack_drawn, accepted.origin.steps[-1].drawn)))
        for accepted in _read(Path(path)).accepted
        if isinstance(accepted.origin, PromptsPart)
    ]


def _load(conditions: ConditionsPart, loaded: dict[Wanted, MobileSAM], path: Path) -> MobileSAM:
    """Load the model that something was accepted with, once; no file that the session names."""
    if conditions.model not in {card.name for card in list_cards()}:
        raise FileFormatError(
            f"{path.name} was made with a model that the zoo does not hold",
            got=repr(conditions.model),
            remedy="Load that model yourself, and pass it as model=.",
        )
    size, rounded = conditions.input_size, conditions.rounded
    wanted = conditions.model, size, rounded, conditions.arithmetic
    if wanted not in loaded:
        load = partial(load_model, conditions.model, input_size=size, cache=rounded)
        loaded[wanted] = _compute_as_then(load, conditions.arithmetic, path)
    _check_weights(conditions, loaded[wanted], path)
    return loaded[wanted]


def _compute_as_then(load: Callable[..., MobileSAM], arithmetic: str, path: Path) -> MobileSAM:
    """Load a model to compute as it did then, or else as suits this machine, with a warning."""
    if not arithmetic:
        return load()
    try:
        engine, precision, device = arithmetic.split(" ")
        return load(engine=engine, precision=precision, device=device)
    except (SettingsError, ValueError):
        model = load()
        warnings.warn(
            f"{path.name} was made with {arithmetic}, which is not to be had here; with "
            f"{model.arithmetic} masks may differ in single pixels",
            RuntimeWarning,
            stacklevel=5,
        )
        return model


def _source(conditions: ConditionsPart, content: Document, image: ArrayLike) -> ArraySource:
    """Make the image be as it was shown when something was accepted."""
    channels = conditions.channels or content.channels
    return ArraySource(image, limits=conditions.limits, channels=channels, gamma=conditions.gamma)


def _enter(session: Session, model: MobileSAM, source: ArraySource, field: FieldOfView) -> None:
    session.use_field(field)
    if model is not session.model:
        session.use_model(model)
    if source is not session.source:
        session.use_source(source)


def _accept_again(session: Session, accepted: AcceptedPart) -> None:
    session.go_to(accepted.key)
    session.embed()
    origin = accepted.origin
    if isinstance(origin, PromptsPart):
        session.repeat([unpack_step(step) for step in origin.steps], origin.mode)
        accept = session.accept
    else:
        batches = tuple(None if b is None else unpack_batch(b) for b in origin.batches)
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


def _read(path: Path) -> Document:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(
                f"{path.name} is too large for a session file", expected=f"{MAX_BYTES} bytes"
            )
        return Document.model_validate_json(path.read_bytes())
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


def _check_weights(conditions: ConditionsPart, model: MobileSAM, path: Path) -> None:
    today = list(hashes_of(model))
    if conditions.weights != today:
        raise FileFormatError(
            f"{path.name} was made with other weights of {conditions.model}",
            expected=str(dict(conditions.weights)),
            got=str(dict(today)),
            remedy="Pass model= to replay it with the weights of today all the same.",
        )


def _check_planes(content: Document, source: ArraySource, path: Path) -> None:
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
    has_two = pixels.ndim == 3 and pixels.shape[-1] == 2
    plane = select_channels(pixels, (0, 1) if has_two else None)
    digest = hashlib.sha256(f"{plane.shape} {plane.dtype.str}".encode())
    digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()
