"""Where journals lie, which of them nobody writes any more, and how long they are kept."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from napari_mobilesam.zoo.download import journals_dir

KEEP_DAYS = 30
"""How long a journal waits to be restored."""

FIRST_LINE_BYTES = 1 << 16
ENDING = ".journal.jsonl"
SET_ASIDE = ".discarded"
DRAFT = ".draft"


def new_path(folder: Path | None = None) -> Path:
    """Name a journal that is to be; its name sorts by time."""
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}{ENDING}"
    return (folder or journals_dir()) / name


def lock_of(path: Path) -> FileLock:
    """Lock that the writer of a journal holds for as long as its process lives."""
    return FileLock(f"{path}.lock", thread_local=False)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a journal for a moment; tell whether nobody else does."""
    lock = lock_of(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def abandoned(folder: Path | None = None) -> list[Path]:
    """Journals that no living process writes, the newest first."""
    found = []
    for path in sorted((folder or journals_dir()).glob(f"*{ENDING}"), reverse=True):
        with suppress(OSError), claimed(path) as is_free:
            if is_free and path.is_file():
                found.append(path)
    return found


def label_shape(path: Path) -> tuple[int, ...] | None:
    """Shape of the labels that a journal is about; None if it does not tell."""
    try:
        with path.open("rb") as file:
            first = file.read(FIRST_LINE_BYTES).strip().split(b"\n")[0]
        return tuple(json.loads(first.partition(b" ")[2])["shape"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(path: Path) -> None:
    """Remove a journal and its lock, unless another process holds it."""
    with suppress(OSError), claimed(path) as is_free:
        if is_free:
            for ending in (DRAFT, "", ".lock"):
                Path(f"{path}{ending}").unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Rename a journal so that it is found no more, unless another process holds it."""
    with suppress(OSError), claimed(path) as is_free:
        if is_free:
            path.replace(f"{path}{SET_ASIDE}")
            Path(f"{path}.lock").unlink(missing_ok=True)


def sweep(keep_days: int = KEEP_DAYS, folder: Path | None = None) -> None:
    """Remove journals that have waited too long, and what a killed process left unfinished."""
    oldest = time.time() - keep_days * 24 * 3600
    chosen = folder or journals_dir()
    endings = (ENDING, ENDING + SET_ASIDE, ENDING + DRAFT)
    for path in [path for ending in endings for path in chosen.glob(f"*{ending}")]:
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                remove(path)
    for lock in chosen.glob(f"*{ENDING}.lock"):
        if not lock.with_suffix("").exists():
            with suppress(OSError), claimed(lock.with_suffix("")) as is_free:
                if is_free and not lock.with_suffix("").exists():
                    lock.unlink(missing_ok=True)
