"""Files and folders that are either written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from napari_mobilesam.core.errors import FileFormatError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends well.

    What was at ``path`` before stays until the new file is whole and on the disk.

    Raises
    ------
    FileFormatError
        If the file or folder cannot be written there.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield draft
        if draft.is_dir() and path.is_dir():
            old = path.with_name(f"{draft.name}.old")
            path.rename(old)
            draft.rename(path)
            shutil.rmtree(old)
        else:
            if not draft.is_dir():
                _flush(draft)
            draft.replace(path)
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be written",
            got=str(error),
            remedy="Nothing is lost: free some space or choose another folder, and save again.",
        ) from error
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            with suppress(OSError):  # a folder that has vanished, or may only be read
                draft.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
