"""What the lines of a journal say, and what they come to.

A line is a checksum, a space and JSON. Lines that do not match their checksum, as a killed process
or a full disk may leave one, count for nothing.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from xxhash import xxh3_64_hexdigest

from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.core.errors import FileFormatError, MobileSAMError
from napari_mobilesam.session.document import (
    AcceptedPart,
    ConditionsPart,
    Part,
    pack_accepted,
    pack_conditions,
    unpack_accepted,
)
from napari_mobilesam.session.planes import PlaneKey, plane_slices
from napari_mobilesam.session.records import STEPS_KEPT, Accepted

Runs = str
"""Pixels that change, row by row: (4, n) int64 of starts, lengths, old and new labels."""


class Column(Part):
    """A column of what everything mode has measured."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    name: str
    dtype: str
    values: list[float | int | str | bool]


class Begun(Part):
    """First line: the labels, and when it was begun (ISO 8601)."""

    kind: Literal["begun"] = "begun"
    format: Literal["napari-mobilesam journal"] = "napari-mobilesam journal"
    version: Literal[1] = 1
    started: datetime
    shape: tuple[int, ...]
    dtype: str
    name: str


class Did(Part):
    """An accept. ``plane`` is all of the plane, if it was not as the lines before had left it."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    kind: Literal["did"] = "did"
    number: int
    accepted: AcceptedPart
    conditions: ConditionsPart
    scores: list[float]
    measured: list[Column] | None
    edit: Runs | None
    plane: Runs | None
    image: str | None


class Moved(Part):
    """An accept that was taken back, or done again."""

    kind: Literal["undid", "redid"]
    number: int
    key: tuple[int, ...]
    edit: Runs | None
    plane: Runs | None


class Holds(Part):
    """A plane as all lines before have left it, and the hashes its image had."""

    kind: Literal["holds"] = "holds"
    key: tuple[int, ...]
    plane: Runs
    images: list[str]
    unsaved: bool


class Saved(Part):
    """The labels of some planes, or of all, were saved elsewhere."""

    kind: Literal["saved"] = "saved"
    keys: list[tuple[int, ...]] | None


Line = Annotated[Begun | Did | Moved | Holds | Saved, Field(discriminator="kind")]
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """An accept by its number in the journal, with the pixels it changed if it can be undone."""

    number: int
    accepted: Accepted
    edit: LabelEdit | None


@dataclass(slots=True, eq=False)
class Contents:
    """What all lines of a journal come to.

    Parameters
    ----------
    begun : Begun
        The first line.
    done, undone : list of Recorded
        Accepts that hold, and those that were taken back, the last one last.
    planes : dict
        Labels of each plane that was annotated.
    images : dict
        Hashes of the image's planes.
    unsaved : set
        Planes that have changed since they were saved.
    """

    begun: Begun
    done: list[Recorded] = field(default_factory=list)
    undone: list[Recorded] = field(default_factory=list)
    planes: dict[PlaneKey, NDArray[np.integer[Any]]] = field(default_factory=dict)
    images: dict[PlaneKey, set[str]] = field(default_factory=dict)
    unsaved: set[PlaneKey] = field(default_factory=set)
    _numbers: set[int] = field(default_factory=set)

    @property
    def objects(self) -> int:
        """How many labels the accepts that hold have written."""
        return len({label for step in self.done for label in step.accepted.labels})

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return np.dtype(self.begun.dtype)

    def take(self, line: Line) -> None:
        """Follow one more line.

        Raises
        ------
        MobileSAMError
            If it is not made for these labels.
        """
        if isinstance(line, Did):
            self._take_accept(line)
        elif isinstance(line, Moved):
            taken, given = self.done, self.undone
            if line.kind == "redid":
                taken, given = given, taken
            given += [step for step in taken if step.number == line.number]
            taken[:] = [step for step in taken if step.number != line.number]
            self._change(line.key, line.edit, line.plane)
        elif isinstance(line, Holds):
            self._change(line.key, None, line.plane)
            self.images.setdefault(line.key, set()).update(line.images)
            if not line.unsaved:
                self.unsaved.discard(line.key)
        elif isinstance(line, Saved):
            self.unsaved -= set(self.unsaved if line.keys is None else line.keys)

    def _take_accept(self, line: Did) -> None:
        key = line.accepted.key
        shape = self.plane_shape(key)
        edit = None if line.edit is None else unpack_edit(line.edit, shape, self.dtype)
        accepted = unpack_accepted(
            line.accepted, line.conditions, line.scores, _unpack_table(line.measured)
        )
        self._change(key, line.edit, line.plane)
        if line.number not in self._numbers:  # else written again after a full disk
            self._numbers.add(line.number)
            self.done.append(Recorded(line.number, accepted, edit))
            self.undone.clear()
        if line.image is not None:
            self.images.setdefault(key, set()).add(line.image)

    def _change(self, key: PlaneKey, edit: Runs | None, plane: Runs | None) -> None:
        shape = self.plane_shape(key)
        now = self.planes.get(key)
        if now is None or plane is not None:
            now = np.zeros(shape, self.dtype)
        changes = edit if plane is None else plane
        if changes is not None:
            unpack_edit(changes, shape, self.dtype).apply_to(now)
        self.planes[key] = now
        self.unsaved.add(key)

    def plane_shape(self, key: PlaneKey) -> tuple[int, int]:
        """Shape of a plane of the labels.

        Raises
        ------
        FileFormatError
            If they have no such plane.
        """
        try:
            height, width = np.broadcast_to(0, self.begun.shape)[plane_slices(key)].shape
        except (IndexError, ValueError) as error:
            raise FileFormatError("a journal names a plane that is not there") from error
        return height, width

    def lines(self) -> Iterator[Line]:
        """Say the same in as few lines as can be."""
        yield self.begun
        for step in self.done[:-STEPS_KEPT]:
            yield pack_step(replace(step, edit=None), self.plane_shape(step.accepted.key))
        for step in (*self.done[-STEPS_KEPT:], *reversed(self.undone)):
            yield pack_step(step, self.plane_shape(step.accepted.key))
        for step in self.undone:
            yield Moved(
                kind="undid", number=step.number, key=step.accepted.key, edit=None, plane=None
            )
        for key, plane in self.planes.items():
            images, unsaved = sorted(self.images.get(key, ())), key in self.unsaved
            yield Holds(key=key, plane=pack_plane(plane), images=images, unsaved=unsaved)


def read(path: Path) -> Contents:
    """Read a journal, whatever became of its end.

    Raises
    ------
    FileFormatError
        If it has no first line, or cannot be read.
    """
    try:
        lines = read_lines(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read", got=str(error)) from error
    begun = next(lines, None)
    if not isinstance(begun, Begun):
        raise FileFormatError(f"{path.name} is no journal")
    contents = Contents(begun)
    for line in lines:
        try:
            contents.take(line)
        except MobileSAMError:
            continue  # of other labels, or from another version
    return contents


def read_lines(content: bytes) -> Iterator[Line]:
    """Read all lines that are whole."""
    for raw in content.split(b"\n"):
        checksum, _, text = raw.partition(b" ")
        if text and checksum == _checksum(text):
            try:
                yield _LINE.validate_json(text)
            except ValidationError:
                continue


def write_lines(lines: Iterable[Line]) -> bytes:
    """Turn lines into bytes; each begins on a line of its own after one that was cut off."""
    texts = [line.model_dump_json().encode() for line in lines]
    return b"".join(b"\n%b %b\n" % (_checksum(text), text) for text in texts)


def _checksum(text: bytes) -> bytes:
    return xxh3_64_hexdigest(text).encode()


def pack_step(
    step: Recorded,
    plane_shape: tuple[int, int],
    plane: Runs | None = None,
    image: str | None = None,
) -> Did:
    """Make the line of an accept."""
    accepted = step.accepted
    return Did(
        number=step.number,
        accepted=pack_accepted(accepted, 0),
        conditions=pack_conditions(accepted.conditions),
        scores=list(accepted.scores),
        measured=_pack_table(accepted.measured),
        edit=None if step.edit is None else pack_edit(step.edit, plane_shape),
        plane=plane,
        image=image,
    )


def pack_plane(plane: NDArray[np.integer[Any]]) -> Runs:
    """Pack a plane as its change from nothing."""
    rows, columns = np.nonzero(plane)
    after = plane[rows, columns]
    return pack_edit(LabelEdit((rows, columns), np.zeros_like(after), after), plane.shape)


def pack_edit(edit: LabelEdit, plane_shape: tuple[int, ...]) -> Runs:
    """Pack the pixels of an edit, which are in the order of rows, then columns."""
    rows, columns = edit.indices
    pixels = rows * plane_shape[1] + columns
    begins = np.ones(len(pixels), dtype=bool)
    begins[1:] = (
        (np.diff(pixels) != 1)
        | (edit.before[1:] != edit.before[:-1])
        | (edit.after[1:] != edit.after[:-1])
    )
    (first,) = np.nonzero(begins)
    lengths = np.diff(first, append=len(pixels))
    parts = (pixels[first], lengths, edit.before[first], edit.after[first])
    runs = np.stack([part.astype("<i8") for part in parts])
    return base64.b64encode(zlib.compress(runs.tobytes(), 1)).decode()


def unpack_edit(runs: Runs, plane_shape: tuple[int, int], dtype: DTypeLike) -> LabelEdit:
    """Unpack the pixels of an edit.

    Raises
    ------
    FileFormatError
        If they are not those of a plane of this shape.
    """
    count = plane_shape[0] * plane_shape[1]
    try:
        packed = zlib.decompressobj().decompress(base64.b64decode(runs), 32 * count or 1)
        starts, lengths, before, after = np.frombuffer(packed, "<i8").reshape(4, -1)
    except (ValueError, zlib.error) as error:
        raise FileFormatError("pixels of a journal are damaged", got=str(error)) from error
    stops = starts + lengths
    if (lengths < 1).any() or (starts < 0).any() or (stops > count).any() or lengths.sum() > count:
        raise FileFormatError("a journal names pixels that are not there")
    gaps = starts - np.cumsum(lengths) + lengths
    pixels = np.repeat(gaps, lengths) + np.arange(lengths.sum())
    rows, columns = np.divmod(pixels, max(plane_shape[1], 1))
    old, new = (np.repeat(labels, lengths).astype(dtype) for labels in (before, after))
    return LabelEdit((rows.astype(np.intp), columns.astype(np.intp)), old, new)


def _pack_table(table: pd.DataFrame | None) -> list[Column] | None:
    if table is None:
        return None
    return [
        Column(name=str(name), dtype=str(column.dtype), values=column.tolist())
        for name, column in table.items()
    ]


def _unpack_table(columns: list[Column] | None) -> pd.DataFrame | None:
    if columns is None:
        return None
    return pd.DataFrame(
        {column.name: pd.Series(column.values, dtype=column.dtype) for column in columns}
    )
