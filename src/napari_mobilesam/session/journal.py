"""Journals of a session: every accept is on the disk before anything else happens.

A journal is a file of lines, one an accept or an undo, with the record of a session file and the
pixels that changed. Restoring needs neither the networks nor the image.
"""

import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.session.journal_files import (
    DRAFT,
    KEEP_DAYS,
    lock_of,
    new_path,
    remove,
    sweep,
)
from napari_mobilesam.session.journal_lines import (
    Begun,
    Contents,
    Line,
    Moved,
    Recorded,
    Saved,
    pack_edit,
    pack_plane,
    pack_step,
    read,
    write_lines,
)
from napari_mobilesam.session.planes import LabelPlace, PlaneKey, PlaneSource
from napari_mobilesam.session.records import Accepted

COMPACT_BYTES = 16 * 1024**2
"""Size from which a journal that has grown to twice its shortest form is written anew."""

Event = Literal["did", "undid", "redid"]


class Journal:
    """One file, about labels in one place; no other process can write it meanwhile.

    Parameters
    ----------
    path : Path
        Where it lies, or will.
    begun : Begun
        Its first line, if it is new.
    """

    def __init__(self, path: Path, begun: Begun | None = None) -> None:
        self.path = path
        self.unsaved: set[PlaneKey] = set()
        self._known: dict[PlaneKey, str] = {}
        self._waiting: list[Line] = [] if begun is None else [begun]
        self._compacted_bytes = 0
        self._lock = lock_of(path)

    def open(self) -> None:
        """Keep others from writing it.

        Raises
        ------
        FileFormatError
            If another process writes it.
        OSError
            If its folder cannot be written to.
        """
        if self._lock.is_locked:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise FileFormatError(
                f"{self.path.name} is in use", remedy="Another window or process goes on with it."
            ) from error

    def go_on_from(self, contents: Contents) -> None:
        """Know what it holds already."""
        self.unsaved = set(contents.unsaved)
        self._known = {key: _hash(plane) for key, plane in contents.planes.items()}

    def record(
        self,
        event: Event,
        number: int,
        accepted: Accepted,
        edit: LabelEdit | None,
        plane: NDArray[np.integer[Any]],
        image: str | None,
    ) -> None:
        """Add a line, with all of the plane if others than this journal have changed it.

        Raises
        ------
        OSError
            If it cannot be written; it is written with the next line, then.
        """
        key, before = accepted.key, plane.copy()
        if edit is not None:
            edit.inverted().apply_to(before)
        known = self._known.get(key)
        is_known = not before.any() if known is None else known == _hash(before)
        whole = None if is_known else pack_plane(plane)
        shape = plane.shape[0], plane.shape[1]
        self._known[key] = _hash(plane)
        self.unsaved.add(key)
        if event == "did":
            self.write(pack_step(Recorded(number, accepted, edit), shape, whole, image))
        else:
            packed = None if edit is None else pack_edit(edit, shape)
            self.write(Moved(kind=event, number=number, key=key, edit=packed, plane=whole))

    def saved(self, keys: Iterable[PlaneKey] | None = None) -> None:
        """Note that planes, or all, were saved elsewhere.

        Raises
        ------
        OSError
            If that cannot be written.
        """
        listed = None if keys is None else list(keys)
        self.unsaved -= set(self.unsaved if listed is None else listed)
        self.write(Saved(keys=listed))

    def write(self, *lines: Line) -> None:
        """Add lines after those that could not be written before, and wait for the disk.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        self._waiting += lines
        self.open()
        _append(self.path, write_lines(self._waiting))
        self._waiting.clear()
        size = self.path.stat().st_size
        if size > max(COMPACT_BYTES, 2 * self._compacted_bytes):
            self.compact()

    def compact(self) -> None:
        """Write the journal anew in as few lines as can be; the old one stays until that is done.

        Raises
        ------
        OSError
            If there is no room for it.
        """
        draft = Path(f"{self.path}{DRAFT}")
        try:
            draft.unlink(missing_ok=True)
            _append(draft, write_lines(read(self.path).lines()))
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
        self._compacted_bytes = self.path.stat().st_size

    def close(self) -> None:
        """Let go of the file; it goes away if all that it holds was saved."""
        if self._lock.is_locked:
            self._lock.release()
            if not self.unsaved:
                remove(self.path)


class Journals:
    """The journals of one session: one for each place that labels are written to.

    Nothing here stops an annotation: where a journal cannot be written, the user is told once, the
    work goes on in memory, and what is missing is written as soon as that is possible.

    Parameters
    ----------
    folder : Path, optional
        Where they lie; the user's if not given.
    keep_days : int
        Age at which journals that nobody has restored are removed.
    on_trouble : callable, optional
        Told what went wrong; a warning if not given.
    """

    def __init__(
        self,
        folder: Path | None = None,
        keep_days: int = KEEP_DAYS,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = folder
        self._keep_days = keep_days
        self._on_trouble = on_trouble or _warn
        self._is_told = False
        self._source: PlaneSource | None = None
        self._hashed: set[tuple[int, PlaneKey]] = set()
        self._places: list[tuple[object, Journal]] = []

    def watch(self, source: PlaneSource) -> None:
        """Tell by its pixels, from now on, which image is annotated."""
        self._source = source
        self._hashed.clear()

    def adopt(self, place: LabelPlace, journal: Journal) -> None:
        """Go on with a journal that was restored into a place."""
        self._places.append((place.owner, journal))

    def record(
        self,
        event: Event,
        number: int,
        accepted: Accepted,
        edit: LabelEdit | None,
        place: LabelPlace,
    ) -> None:
        """Write down an accept, or that it was taken back or done again."""
        try:
            journal = self._journal_of(place)
            image = self._image_hash(journal, accepted.key) if event == "did" else None
            journal.record(event, number, accepted, edit, place.read(accepted.key), image)
        except OSError as error:
            self._tell(error)
        else:
            self._is_told = False

    def saved(self, keys: Iterable[PlaneKey] | None = None) -> None:
        """Note that the labels of planes, or of all, were saved elsewhere."""
        listed = None if keys is None else list(keys)
        for _, journal in self._places:
            try:
                journal.saved(listed)
            except OSError as error:
                self._tell(error)

    def close(self) -> None:
        """Let go of all files; those whose work was saved go away."""
        for _, journal in self._places:
            journal.close()
        self._places.clear()

    def _journal_of(self, place: LabelPlace) -> Journal:
        for owner, journal in self._places:
            if owner is place.owner:
                return journal
        with suppress(OSError):
            sweep(self._keep_days, self._folder)
        begun = Begun(
            started=datetime.now().astimezone(),
            shape=place.shape,
            dtype=place.dtype.str,
            name=place.name,
        )
        journal = Journal(new_path(self._folder), begun)
        self._places.append((place.owner, journal))
        return journal

    def _image_hash(self, journal: Journal, key: PlaneKey) -> str | None:
        """Hash a plane of the image at its first accept."""
        if self._source is None or (id(journal), key) in self._hashed:
            return None
        try:
            found = image_hash(self._source, key)
        except OSError:
            return None  # a drive that has vanished, while its labels are still here
        self._hashed.add((id(journal), key))
        return found

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            self._on_trouble(
                f"Accepted objects cannot be journaled ({error.strerror or error}). They are in "
                "memory only: free some space or make the folder writable, and save your work."
            )


def image_hash(source: PlaneSource, key: PlaneKey) -> str:
    """Tell a plane of an image by its pixels."""
    return _hash(source.plane(key))


def _hash(pixels: NDArray[np.generic]) -> str:
    content = np.ascontiguousarray(pixels)
    return f"{content.shape} {content.dtype.str} {xxh3_128_hexdigest(content)}"


def _append(path: Path, content: bytes) -> None:
    """Write at the end of a file, and wait until it is on the disk."""
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        if file.write(content) != len(content):
            raise OSError("the disk is full")
        os.fsync(file.fileno())
    if is_new and os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _warn(trouble: str) -> None:
    warnings.warn(trouble, RuntimeWarning, stacklevel=2)
