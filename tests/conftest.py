"""What holds for all tests: no network but this machine's own, and no cache but a fresh one."""

import ipaddress
import socket

import pytest

import napari_mobilesam as mobilesam
from napari_mobilesam.inference import engine


@pytest.fixture(scope="session", autouse=True)
def float32_by_default():
    """Let "auto" mean the same on every processor; bfloat16 has tests of its own.

    Gives what tells otherwise, for tests in which other processes compute as well.
    """
    as_it_is = engine._has_bfloat16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_has_bfloat16", lambda: False)
        yield as_it_is


@pytest.fixture(scope="session")
def micro():
    """The bundled model, at its own input size."""
    return mobilesam.load_model("micro", device="cpu")


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path_factory, monkeypatch):
    """An empty folder for downloaded weights."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MOBILESAM_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def connect_locally(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise OSError(f"tests are offline; something wanted {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


def _is_loopback(host):
    return host == "localhost" or ipaddress.ip_address(host.split("%")[0]).is_loopback
