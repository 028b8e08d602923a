"""Journals that were left unfinished, and how a session gets their work back."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_mobilesam.core.errors import FileFormatError, ImageError
from napari_mobilesam.session.journal import Journal, image_hash
from napari_mobilesam.session.journal_files import abandoned, label_shape, set_aside
from napari_mobilesam.session.journal_lines import Contents, read
from napari_mobilesam.session.planes import PlaneSource
from napari_mobilesam.session.state import SessionState


@dataclass(frozen=True, slots=True, eq=False)
class Unfinished:
    """Work on an image that was neither saved nor discarded.

    Parameters
    ----------
    path : Path
        Its journal.
    contents : Contents
        All that is in it.
    changed : datetime
        When it was last written.
    """

    path: Path
    contents: Contents
    changed: datetime

    @property
    def objects(self) -> int:
        """How many objects were accepted."""
        return self.contents.objects

    def discard(self) -> None:
        """Offer it no more; the file is kept for as long as any journal."""
        set_aside(self.path)

    def claim(self) -> tuple[Journal, Contents]:
        """Make the journal ours, to go on with it, and read it once more.

        Raises
        ------
        FileFormatError
            If it is gone, or another process has taken it.
        """
        journal = Journal(self.path)
        journal.open()
        try:
            contents = read(self.path)
        except FileFormatError:
            journal.close()
            raise
        journal.go_on_from(contents)
        return journal, contents


def find_unfinished(
    source: PlaneSource, shape: tuple[int, ...], folder: Path | None = None
) -> list[Unfinished]:
    """Look for unfinished work on an image, the newest first.

    Parameters
    ----------
    source : PlaneSource
        The image; each plane that was annotated is compared by its pixels.
    shape : tuple of int
        Shape of its labels.
    folder : Path, optional
        Where journals lie; the user's if not given.
    """
    found = []
    for path in abandoned(folder):
        if label_shape(path) != shape:
            continue
        try:
            contents = read(path)
            changed = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
        except (OSError, FileFormatError):
            continue  # gone by now, or damaged from its first line on
        if contents.done and contents.unsaved and _is_of(contents, source):
            found.append(Unfinished(path, contents, changed))
    return sorted(found, key=lambda unfinished: unfinished.changed, reverse=True)


def give_back(session: SessionState, unfinished: Unfinished) -> None:
    """Give a session unfinished work back: labels, features, prompts and undo.

    Parameters
    ----------
    session : SessionState
        On the image that was annotated; it writes into a new place from now on.
    unfinished : Unfinished
        What :func:`find_unfinished` has found; the session goes on with its journal.

    Raises
    ------
    FileFormatError
        If another process has taken it meanwhile.
    """
    journal, contents = unfinished.claim()
    place = session.labels.put_back(contents.begun.name, contents.dtype, contents.planes)
    session.take_back(contents.done, place, journal)


def _is_of(contents: Contents, source: PlaneSource) -> bool:
    """Whether every plane that was annotated has the pixels it had then."""
    try:
        return bool(contents.images) and all(
            image_hash(source, key) in known for key, known in contents.images.items()
        )
    except (OSError, IndexError, ImageError):
        return False
