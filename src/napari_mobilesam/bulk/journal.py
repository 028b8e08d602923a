"""What a batch has done, so that a second run goes on where the first was cut off."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import xxhash
from pydantic import TypeAdapter

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.ome_zarr import signature

NAME = "mobilesam-batch.jsonl"
"""File in the output folder, a line an image that was finished."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image that was finished.

    Parameters
    ----------
    task : str
        Hash of how it was done.
    size, modified_ns : int
        The image's, to notice another one of the same name.
    outputs : dict
        Sizes of the files and folders that were written, by their names, or by their paths if
        they lie elsewhere.
    objects : int
        How many were found.
    seconds : float
        How long that took.
    """

    task: str
    size: int
    modified_ns: int
    outputs: dict[str, int]
    objects: int
    seconds: float = 0.0


_ENTRY = TypeAdapter(Entry)


class Journal:
    """Remembers finished images in a file beside their results.

    A line is written after the results are whole, and a line that is not whole, as a killed run
    may leave one, counts for nothing.

    Parameters
    ----------
    folder : Path
        Where results are written.
    task : mapping
        Everything that the results depend on but the image; anything json can write as text.
    """

    def __init__(self, folder: Path, task: Mapping[str, object]) -> None:
        self._path = folder / NAME
        self._task = xxhash.xxh3_64_hexdigest(
            json.dumps(task, sort_keys=True, default=str).encode()
        )
        self._entries = _read(self._path)

    def finished(self, image: Path) -> Entry | None:
        """Tell what is known of an image that needs not be done again."""
        entry = self._entries.get(_key(image))
        if entry is None or entry.task != self._task or not image.exists():
            return None
        folder = self._path.parent
        whole = all(_size(folder / name) == size for name, size in entry.outputs.items())
        same = _state(image) == (entry.size, entry.modified_ns)
        return entry if same and whole else None

    def refuse_changed(self, image: Path, outputs: Iterable[Path]) -> None:
        """Raise a FileFormatError if a result was changed since it was written: by hand, then."""
        entry = self._entries.get(_key(image))
        sizes = {} if entry is None else entry.outputs
        for path in outputs:
            size = sizes.get(self._name(path))
            if size is not None and _size(path) not in (size, None):
                raise FileFormatError(
                    f"{path.name} was changed since it was written",
                    remedy="Move it elsewhere, or delete it to have it made again.",
                )

    def _name(self, output: Path) -> str:
        return output.name if output.parent == self._path.parent else str(output.resolve())

    def add(self, image: Path, outputs: Iterable[Path], objects: int, seconds: float = 0.0) -> None:
        """Remember that an image is finished.

        Raises
        ------
        FileFormatError
            If the journal cannot be written.
        """
        sizes = {self._name(path): _size(path) or 0 for path in outputs}
        entry = Entry(self._task, *_state(image), sizes, objects, round(seconds, 2))
        self._entries[_key(image)] = entry
        line = json.dumps({"image": _key(image)} | {n: getattr(entry, n) for n in Entry.__slots__})
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")  # on a line of its own after one that was cut off
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileFormatError(f"{self._path} cannot be written", got=str(error)) from error


def _state(image: Path) -> tuple[int, int]:
    if image.is_dir():
        return signature(image)
    stat = image.stat()
    return stat.st_size, stat.st_mtime_ns


def _size(path: Path) -> int | None:
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return path.stat().st_size if path.is_file() else None
    except OSError:  # a name that no file can have
        return None


def _key(image: Path) -> str:
    return str(image.resolve())


def _read(path: Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    if not path.is_file():
        return entries
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            fields = json.loads(line)
            image = str(fields.pop("image"))
            entries[image] = _ENTRY.validate_python(fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # cut off in the middle, or not ours
    return entries
