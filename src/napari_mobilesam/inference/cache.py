"""Embeddings on disk: what a model has embedded once is read the next time.

An entry is a folder with a zarr v3 array of one float16 chunk, about 2 MB at an input of 1024
pixels. It is not compressed: embeddings look like noise, shrink by a tenth and take up
to twice as long to read.
"""

import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray
from xxhash import xxh3_128

from napari_mobilesam.core.geometry import InputFrame

DEFAULT_LIMIT_BYTES = 10 * 10**9

EMBEDDING_CHANNELS = 256
LOGITS_PER_POSITION = 4

METADATA_NAME, CHUNK_NAME = "zarr.json", "c.0.0.0"
MAX_METADATA_BYTES = 4096

LOOKS_AROUND = "0"
"""First digit of the keys whose entries make room for others.

A look at a full cache may take as long as an encoder, so one put in sixteen does it.
"""

ABANDONED_S = 3600
"""Age at which a draft belongs to no process that still writes it."""

_ENTRY = re.compile(r"[0-9a-f]{32}")
_DRAFT = re.compile(r"\.[0-9a-f]{32}")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One embedding in the cache.

    Parameters
    ----------
    path : Path
        Its folder.
    n_bytes : int
        Size of its chunk; 0 if that is missing.
    last_used : float
        When it was written or last read, in seconds since the epoch.
    """

    path: Path
    n_bytes: int
    last_used: float


@dataclass(frozen=True, slots=True)
class EmbeddingCache:
    """A folder of embeddings; those that were not used for longest give way to new ones.

    Any number of processes may share it: an entry appears in it whole or not at all. An entry
    that is not exactly what was written is removed and made again.

    Parameters
    ----------
    folder : Path
        Where it lies; made when the first embedding comes.
    limit_bytes : int
        What all embeddings may take, give or take a few.
    """

    folder: Path
    limit_bytes: int = DEFAULT_LIMIT_BYTES

    def get(self, key: str, shape: tuple[int, int, int]) -> NDArray[np.float16] | None:
        """Read an embedding.

        Parameters
        ----------
        key : str
            What :func:`embedding_key` returned.
        shape : (C, h, w)
            What its shape must be; nothing larger is ever read.

        Returns
        -------
        (C, h, w) float16 array or None
            None if it is not there or damaged.
        """
        entry = self.folder / key
        if not os.path.lexists(entry):
            return None
        try:
            features = _read(entry, shape)
        except Exception as error:  # zarr raises whatever damaged bytes lead it to
            _logger.warning("a damaged embedding in %s is made again (%s)", self.folder, error)
            _remove(entry)
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(entry / CHUNK_NAME)
        return features

    def put(self, key: str, features: NDArray[np.float16]) -> None:
        """Keep an embedding (C, h, w), in place of those that were not used for longest.

        Where it cannot be written, on a full disk or in a folder that may only be read, a
        warning says so.
        """
        draft = self.folder / f".{uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(draft, key, features)
            _publish(draft, self.folder / key)
            if key.startswith(LOOKS_AROUND):
                self._make_room()
        except OSError as error:
            warnings.warn(
                f"embeddings cannot be kept in {self.folder}: {error.strerror or error}. "
                "Free some space, choose another folder, or switch the cache off.",
                RuntimeWarning,
                stacklevel=2,
            )
        finally:
            _remove(draft)

    def entries(self) -> list[CacheEntry]:
        """All embeddings, those that were not used for longest first."""
        found = [_describe(path) for path in self._paths(_ENTRY)]
        return sorted(found, key=lambda entry: entry.last_used)

    def clear(self) -> None:
        """Remove all embeddings, and no other file that the folder may hold."""
        for path in (*self._paths(_ENTRY), *self._paths(_DRAFT)):
            _remove(path)

    def _make_room(self) -> None:
        entries = self.entries()
        excess = sum(entry.n_bytes for entry in entries) - self.limit_bytes
        for entry in entries:
            if excess <= 0:
                break
            _remove(entry.path)
            excess -= entry.n_bytes
        for draft in self._paths(_DRAFT):
            with suppress(FileNotFoundError):  # it is whole by now
                if time.time() - draft.lstat().st_mtime > ABANDONED_S:
                    _remove(draft)

    def _paths(self, name: re.Pattern[str]) -> Iterator[Path]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as found:
            yield from (Path(item.path) for item in found if name.fullmatch(item.name))


@dataclass(frozen=True, slots=True)
class CachedEmbeddings:
    """The embeddings of one model in a cache.

    All of them are rounded to float16, those that were just computed like those from the disk:
    the first run and later ones are equal bit for bit.

    Parameters
    ----------
    cache : EmbeddingCache
        Where they are kept.
    model_key : str
        Tells apart all that embeds differently: weights, normalisation, precision.
    """

    cache: EmbeddingCache
    model_key: str

    def read_or_compute(
        self,
        rgb: NDArray[np.uint8],
        frame: InputFrame,
        compute: Callable[[], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Read what came of an RGB plane (H, W, 3) earlier, or else compute and keep it."""
        side = frame.logits_size // LOGITS_PER_POSITION
        key = embedding_key(rgb, self.model_key, frame.input_size)
        features = self.cache.get(key, (EMBEDDING_CHANNELS, side, side))
        if features is None:
            features = compute().astype(np.float16)
            self.cache.put(key, features)
        return features.astype(np.float32)


def embedding_key(rgb: NDArray[np.uint8], model_key: str, input_size: int) -> str:
    """Name an embedding by all that it depends on.

    Parameters
    ----------
    rgb : (h, w, 3) uint8 array
        The plane that is embedded.
    model_key : str
        See :class:`CachedEmbeddings`.
    input_size : int
        Side of the encoder's square input.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = xxh3_128(f"{model_key} {input_size} {rgb.shape}".encode())
    digest.update(np.ascontiguousarray(rgb))
    return digest.hexdigest()


def _write(entry: Path, key: str, features: NDArray[np.float16]) -> None:
    array = zarr.create_array(
        entry, **_layout(features.shape), attributes={"checksum": _checksum(key, features)}
    )
    array[:] = features


def _publish(draft: Path, entry: Path) -> None:
    try:
        draft.rename(entry)
    except OSError:
        if not entry.exists():  # else another process has just written the same
            raise


def _read(entry: Path, shape: tuple[int, int, int]) -> NDArray[np.float16]:
    """Read an entry after everything that it says about itself has been checked."""
    metadata, chunk = entry / METADATA_NAME, entry / CHUNK_NAME
    if not (metadata.is_file() and chunk.is_file()):
        raise ValueError("a file is missing")
    if metadata.stat().st_size > MAX_METADATA_BYTES:
        raise ValueError("its metadata is too long")
    if chunk.stat().st_size != np.prod(shape) * np.dtype(np.float16).itemsize:
        raise ValueError("its chunk is of another size")
    array = zarr.open_array(entry, mode="r", zarr_format=3)
    if _description(array) != _expected(shape):
        raise ValueError("its metadata is of another array")
    features: NDArray[np.float16] = np.asarray(array[:])
    if _checksum(entry.name, features) != array.attrs["checksum"]:
        raise ValueError("its checksum is another")
    return features


def _layout(shape: Sequence[int]) -> dict[str, Any]:
    return {
        "shape": tuple(shape),
        "chunks": tuple(shape),
        "dtype": "float16",
        "compressors": None,
        "chunk_key_encoding": {"name": "default", "separator": "."},
        "config": {"write_empty_chunks": True},  # else zarr leaves out a chunk of zeros
        "zarr_format": 3,
    }


@lru_cache(maxsize=8)
def _expected(shape: tuple[int, int, int]) -> dict[str, Any]:
    return _description(zarr.create_array({}, **_layout(shape)))


def _description(array: "zarr.Array[Any]") -> dict[str, Any]:
    """Take from the metadata how bytes become an array."""
    return {name: value for name, value in array.metadata.to_dict().items() if name != "attributes"}


def _checksum(key: str, features: NDArray[np.float16]) -> str:
    digest = xxh3_128(key.encode())
    digest.update(np.ascontiguousarray(features))
    return digest.hexdigest()


def _describe(path: Path) -> CacheEntry:
    try:
        chunk = (path / CHUNK_NAME).stat()
    except OSError:
        return CacheEntry(path, 0, 0.0)
    return CacheEntry(path, chunk.st_size, chunk.st_mtime)


def _remove(path: Path) -> None:
    """Take an entry away at once for other processes, whatever it is, then delete it."""
    doomed = path.with_name(f".{uuid4().hex}")
    with suppress(OSError):
        path.rename(doomed)
        if doomed.is_symlink() or doomed.is_file():
            doomed.unlink()
        else:
            shutil.rmtree(doomed)
