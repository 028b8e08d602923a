"""Embeddings come back from disk as they were, or are made again; damage is never trusted."""

import json
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.inference.cache import (
    ABANDONED_S,
    CHUNK_NAME,
    METADATA_NAME,
    CachedEmbeddings,
    EmbeddingCache,
    embedding_key,
)
from napari_mobilesam.inference.encode import embed_plane
from napari_mobilesam.inference.engine import PromptArrays

SIZE = 256
SHAPE = (256, 16, 16)
N_BYTES = 2 * 256 * 16 * 16
KEY = "0" * 32


class CountingEngine:
    """The bundled network, and how often it was asked to embed."""

    def __init__(self, engine):
        self.engine, self.calls = engine, 0
        self.logits_stride, self.chunk_size = engine.logits_stride, engine.chunk_size
        self.decode = engine.decode

    def encode(self, rgb, input_size):
        self.calls += 1
        return self.engine.encode(rgb, input_size)


@pytest.fixture
def network(micro):
    return CountingEngine(micro._engine)


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "embeddings")


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float16)


@pytest.fixture
def entry(cache, features):
    """Folder of an embedding in the cache."""
    cache.put(KEY, features)
    return cache.folder / KEY


def plane(seed):
    return np.random.default_rng(seed).integers(0, 255, (200, 256, 3), dtype=np.uint8)


def embed(network, cache, seed):
    return embed_plane(
        network,
        plane(seed),
        model="micro",
        input_size=SIZE,
        limits="dtype",
        cached=None if cache is None else CachedEmbeddings(cache, "micro"),
    )


def test_the_second_embedding_of_a_stack_asks_no_network(network, cache):
    first = [embed(network, cache, z).features for z in range(5)]
    assert network.calls == 5
    second = [embed(network, cache, z).features for z in range(5)]
    assert network.calls == 5
    np.testing.assert_array_equal(second, first)
    assert second[0].dtype == np.float32
    np.testing.assert_allclose(second[0], embed(network, None, 0).features, atol=1e-3)


def test_a_stack_that_was_begun_is_finished(network, cache):
    for n_planes in (2, 4):
        for z in range(n_planes):
            embed(network, cache, z)
    assert network.calls == 4


def test_masks_are_those_of_the_network(network, cache):
    boxes = PromptArrays(boxes_xyxy=np.array([[20, 30, 150, 180]], np.float32))
    exact, rounded = (
        network.decode(embed(network, place, 0).features, boxes, multimask=False, input_size=SIZE)[
            0
        ]
        > 0
        for place in (None, cache)
    )
    assert exact.any()
    assert np.mean(exact == rounded) > 0.99


def test_an_embedding_of_another_resolution_is_kept(cache):
    frame = InputFrame((200, 256), SIZE, logits_stride=1)  # LiteMedSAM's
    computed = np.random.default_rng(0).normal(size=(256, 64, 64)).astype(np.float32)
    cached = CachedEmbeddings(cache, "lite_medsam")
    first = cached.read_or_compute(plane(0), frame, lambda: computed)
    second = cached.read_or_compute(plane(0), frame, lambda: pytest.fail("not in the cache"))
    np.testing.assert_array_equal(second, first)


def test_whatever_an_embedding_depends_on_is_in_its_key():
    rgb = plane(0)
    other = rgb.copy()
    other[-1, -1, -1] ^= 1
    keys = {
        embedding_key(rgb, "micro", 256),
        embedding_key(other, "micro", 256),
        embedding_key(rgb.reshape(256, 200, 3), "micro", 256),
        embedding_key(rgb, "vit_b", 256),
        embedding_key(rgb, "micro", 320),
    }
    assert len(keys) == 5
    view = np.concatenate([rgb, rgb], axis=1)[:, :256]
    assert embedding_key(view, "micro", 256) == embedding_key(rgb, "micro", 256)


def test_an_entry_is_zarr_v3_in_half_precision(entry, features):
    import zarr

    array = zarr.open_array(entry, mode="r", zarr_format=3)
    assert array.dtype == np.float16
    np.testing.assert_array_equal(array[:], features)
    assert sorted(path.name for path in entry.iterdir()) == [CHUNK_NAME, METADATA_NAME]


def test_an_embedding_of_zeros_is_kept(cache):
    cache.put(KEY, np.zeros(SHAPE, np.float16))
    assert not cache.get(KEY, SHAPE).any()


@pytest.mark.parametrize("name", [METADATA_NAME, CHUNK_NAME])
@pytest.mark.parametrize("where", [0, 0.3, 0.5, 0.9])
def test_a_flipped_byte_is_never_trusted(cache, entry, features, name, where):
    content = bytearray((entry / name).read_bytes())
    content[int(where * len(content))] ^= 0x10
    (entry / name).write_bytes(content)
    found = cache.get(KEY, SHAPE)
    if found is not None:  # white space of the metadata
        np.testing.assert_array_equal(found, features)
    else:
        assert not entry.exists()


def test_every_flipped_byte_of_the_metadata_is_harmless(cache, features):
    for position in range(0, 900, 41):
        cache.put(KEY, features)
        metadata = cache.folder / KEY / METADATA_NAME
        content = bytearray(metadata.read_bytes())
        content[position % len(content)] ^= 0x01
        metadata.write_bytes(content)
        found = cache.get(KEY, SHAPE)
        if found is not None:
            np.testing.assert_array_equal(found, features)
        cache.clear()


def absurd(**changes):
    def damage(entry):
        path = entry / METADATA_NAME
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def truncated(name, length):
    return lambda entry: os.truncate(entry / name, length)


DAMAGE = {
    "no chunk": lambda entry: (entry / CHUNK_NAME).unlink(),
    "no metadata": lambda entry: (entry / METADATA_NAME).unlink(),
    "short chunk": truncated(CHUNK_NAME, N_BYTES - 1),
    "long chunk": truncated(CHUNK_NAME, 1 << 40),
    "empty chunk": truncated(CHUNK_NAME, 0),
    "short metadata": truncated(METADATA_NAME, 100),
    "long metadata": truncated(METADATA_NAME, 1 << 40),
    "no json": lambda entry: (entry / METADATA_NAME).write_bytes(b"\xff" * 80),
    "nested json": lambda entry: (entry / METADATA_NAME).write_text("[" * 4000),
    "other shape": absurd(shape=[256, 8, 32]),
    "huge shape": absurd(shape=[256, 10**9, 10**9]),
    "negative shape": absurd(shape=[256, -16, 16]),
    "huge chunk shape": absurd(
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [256, 10**9, 10**9]}}
    ),
    "other type": absurd(data_type="bfloat16"),
    "integers": absurd(data_type="int16"),
    "zip bomb": absurd(codecs=[{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1}}]),
    "no checksum": absurd(attributes={}),
    "other checksum": absurd(attributes={"checksum": "0" * 32}),
    "list of a checksum": absurd(attributes=["checksum"]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_is_removed_and_made_again(cache, entry, features, damage, caplog):
    damage(entry)
    assert cache.get(KEY, SHAPE) is None
    assert not entry.exists()
    assert "a damaged embedding" in caplog.text
    cache.put(KEY, features)
    np.testing.assert_array_equal(cache.get(KEY, SHAPE), features)
    assert [path.name for path in cache.folder.iterdir()] == [KEY]


def test_an_entry_under_another_name_is_not_trusted(cache, entry):
    other = "1" * 32
    entry.rename(cache.folder / other)
    assert cache.get(other, SHAPE) is None


def test_an_entry_that_is_a_link_or_a_file_is_removed(cache, features, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    cache.folder.mkdir()
    for make in (lambda path: path.symlink_to(elsewhere), lambda path: path.write_text("?")):
        make(cache.folder / KEY)
        assert cache.get(KEY, SHAPE) is None
        cache.put(KEY, features)
        np.testing.assert_array_equal(cache.get(KEY, SHAPE), features)
        cache.clear()
    assert (elsewhere / "precious").exists()


def test_what_was_not_used_for_longest_gives_way(tmp_path, features):
    cache = EmbeddingCache(tmp_path, limit_bytes=3 * N_BYTES)
    keys = [f"{number:032x}" for number in range(5)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, features)
        os.utime(tmp_path / key / CHUNK_NAME, (1000 + age, 1000 + age))
    assert [entry.path.name for entry in cache.entries()] == keys[:3]
    assert cache.get(keys[0], SHAPE) is not None  # now the latest
    cache.put(keys[3], features)
    assert {entry.path.name for entry in cache.entries()} == {keys[0], keys[2], keys[3]}
    cache.put(keys[4], features)
    assert {entry.path.name for entry in cache.entries()} == {keys[0], keys[3], keys[4]}
    assert sum(entry.n_bytes for entry in cache.entries()) == cache.limit_bytes


def test_the_limit_is_kept_within_a_few(tmp_path, features):
    cache = EmbeddingCache(tmp_path, limit_bytes=5 * N_BYTES)
    for number in range(48):
        cache.put(f"{number % 16:x}{number:031x}", features)
        assert len(cache.entries()) <= 5 + 15


def test_a_limit_below_one_embedding_keeps_none(tmp_path, features):
    cache = EmbeddingCache(tmp_path, limit_bytes=N_BYTES - 1)
    cache.put(KEY, features)
    assert cache.entries() == []


@pytest.mark.usefixtures("entry")
def test_what_a_killed_process_left_is_cleared_away(cache, features):
    old, new = cache.folder / ("." + "a" * 32), cache.folder / ("." + "b" * 32)
    for draft in (old, new):
        draft.mkdir()
    os.utime(old, (0, new.stat().st_mtime - ABANDONED_S - 10))
    cache.put("01" * 16, features)
    assert (old.exists(), new.exists()) == (False, True)
    assert len(cache.entries()) == 2


@pytest.mark.usefixtures("entry")
def test_clear_removes_nothing_else(cache):
    (cache.folder / "notes.txt").touch()
    cache.clear()
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]
    EmbeddingCache(cache.folder / "nowhere").clear()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from napari_mobilesam.inference.cache import EmbeddingCache
cache = EmbeddingCache(Path(sys.argv[1]), limit_bytes=3 * 2 * 256 * 16 * 16)
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    value = number % 5
    key = f"{value:032x}"
    found = cache.get(key, (256, 16, 16))
    assert found is None or (found == value).all()
    cache.put(key, np.full((256, 16, 16), value, np.float16))
"""


def test_two_processes_share_a_cache(tmp_path):
    command = [sys.executable, "-W", "error", "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    cache = EmbeddingCache(tmp_path)
    assert 1 <= len(cache.entries()) <= 5
    for entry in cache.entries():
        assert cache.get(entry.path.name, SHAPE) is not None


def test_threads_share_a_cache(cache, features):
    def work():
        for number in range(10):
            key = f"{number % 3:032x}"
            cache.put(key, features)
            np.testing.assert_array_equal(cache.get(key, SHAPE), features)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(cache.entries()) == 3


def test_a_folder_that_cannot_be_written_is_named_and_the_embedding_returned(network, tmp_path):
    (tmp_path / "file").touch()
    cache = EmbeddingCache(tmp_path / "file" / "embeddings")
    with pytest.warns(RuntimeWarning, match="embeddings cannot be kept in .*Free some space"):
        found = embed(network, cache, 0).features
    np.testing.assert_allclose(found, embed(network, None, 0).features, atol=1e-3)
    assert cache.entries() == []


if sys.platform != "win32":  # which has no limit on the size of files

    def test_a_full_disk_is_named_and_leaves_nothing_behind(network, cache):
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (N_BYTES // 2, limits[1]))
        try:
            with pytest.warns(RuntimeWarning, match="embeddings cannot be kept"):
                found = embed(network, cache, 0).features
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert found.shape == SHAPE
        assert list(cache.folder.iterdir()) == []
