import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mobilesam.cli.main import app
from napari_mobilesam.inference.cache import EmbeddingCache
from napari_mobilesam.io.images import read_image

BOX = ("--boxes", "14,14,46,46", "--input-size", "256", "-f", "tiff", "--overwrite")


@pytest.fixture
def cache(fresh_cache):
    return EmbeddingCache(fresh_cache / "embeddings")


@pytest.fixture
def filled(cache):
    """The cache with two embeddings of 131,072 bytes."""
    for key in ("0" * 32, "1" * 32):
        cache.put(key, np.zeros((256, 16, 16), np.float16))
    return cache


def test_info_of_no_cache(run, cache):
    code, text = run("cache", "info")
    assert code == 0
    assert str(cache.folder) in text.replace(" ", "")
    assert text.endswith("embeddings 0 size 0 bytes")


def test_info(run, filled):
    code, text = run("cache", "info")
    assert code == 0
    assert str(filled.folder) in text.replace(" ", "")
    assert "embeddings 2 size 262.1 kB least recently used 2" in text


def test_clear_asks_first(filled):
    refused = CliRunner().invoke(app, ["cache", "clear"], input="n\n")
    assert refused.exit_code == 1
    assert "Remove 2 embeddings (262.1 kB)" in refused.output
    assert len(filled.entries()) == 2
    agreed = CliRunner().invoke(app, ["cache", "clear"], input="y\n")
    assert agreed.exit_code == 0
    assert filled.entries() == []


def test_clear_without_asking(run, filled):
    assert run("cache", "clear", "--yes") == (0, "Removed 2 embeddings (262.1 kB).")
    assert filled.entries() == []
    assert run("cache", "clear", "--yes") == (0, "There are no embeddings to remove.")


def test_segment_keeps_embeddings_only_if_asked(run, cells, cache, tmp_path):
    assert run("segment", cells, "-o", tmp_path, *BOX)[0] == 0
    assert cache.entries() == []
    labels = []
    for _ in range(2):
        assert run("segment", cells, "-o", tmp_path, *BOX, "--cache-gigabytes", "1")[0] == 0
        labels.append(read_image(tmp_path / "cells.labels.tif").pixels)
        assert len(cache.entries()) == 1
    np.testing.assert_array_equal(*labels)
