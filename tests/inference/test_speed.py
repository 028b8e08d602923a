"""The hot paths under pytest-benchmark: it records their times, and nothing is asserted of them."""

import numpy as np
import pytest

from napari_mobilesam.core.instances import resolve
from napari_mobilesam.inference.detect import Proposals

ROUNDS = {"rounds": 3, "iterations": 1, "warmup_rounds": 1}
SIZE = 256


@pytest.fixture(scope="module")
def sam():
    import napari_mobilesam as mobilesam

    return mobilesam.load_model("micro", device="cpu", input_size=SIZE)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def embedding(sam, image):
    return sam.embed(image)


def test_encoder(benchmark, sam, image):
    embedding = benchmark.pedantic(sam.embed, (image,), **ROUNDS)
    assert embedding.features.shape == (256, 16, 16)


def test_one_box(benchmark, sam, embedding):
    masks = benchmark.pedantic(
        lambda: sam.predict(embedding, box=(60, 60, 120, 140)).to_array(), **ROUNDS
    )
    assert masks.shape == (3, SIZE, SIZE)


def test_boxes_to_labels(benchmark, sam, embedding):
    corner = np.random.default_rng(1).uniform(0, SIZE - 40, (32, 2))
    proposals = Proposals(np.concatenate([corner, corner + 30], axis=1), np.ones(32, np.float32))
    found = benchmark.pedantic(lambda: resolve(sam.decode_boxes(embedding, proposals)), **ROUNDS)
    assert found.labels.shape == (SIZE, SIZE)
