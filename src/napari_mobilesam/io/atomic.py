"""Files that are either written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from napari_mobilesam.core.errors import FileFormatError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends well.

    Raises
    ------
    FileFormatError
        If the file cannot be written there.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be written", got=str(error)) from error
    finally:
        draft.unlink(missing_ok=True)
