import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from napari_mobilesam import load_model
from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.errors import MobileSAMError, OutOfMemoryError
from napari_mobilesam.inference.memory import is_out_of_memory

CPU = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
ERRORS = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "CPU": RuntimeError(f"{CPU}you tried to allocate 8589934592 bytes."),
    "Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
    "oneDNN": RuntimeError("could not create a primitive"),
    "numpy": MemoryError("Unable to allocate 8.00 GiB for an array"),
}


class SmallMemory:
    """An engine whose memory suffices for a few objects at a time."""

    chunk_size = 16

    def __init__(self, engine, most, error):
        self._engine, self._most, self._error = engine, most, error
        self.tried = []

    def encode(self, rgb, input_size):
        return self._engine.encode(rgb, input_size)

    @property
    def logits_stride(self):
        return self._engine.logits_stride

    def decode(self, features, prompts, **options):
        self.tried.append(len(prompts.boxes_xyxy))
        if self.tried[-1] > self._most:
            raise self._error
        return self._engine.decode(features, prompts, **options)


@pytest.fixture(scope="module")
def model():
    return load_model("micro", device="cpu", input_size=64)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (60, 60)).astype(np.uint8)


BOXES = [(y, x, y + 15, x + 15) for y in range(0, 40, 8) for x in range(0, 40, 8)]


def limited(model, most, error):
    engine = SmallMemory(model.engine, most, error)
    return engine, MobileSAM(model.card, engine, model.input_size, device="cpu")


@pytest.mark.parametrize("kind", ERRORS)
def test_the_portion_is_halved_until_it_fits(model, image, kind):
    engine, sam = limited(model, 5, ERRORS[kind])
    embedding = sam.embed(image)
    with pytest.warns(RuntimeWarning, match="going on with") as warned:
        found = sam.predict_boxes(embedding, BOXES)
    assert [str(each.message).split(";")[1].split(",")[0] for each in warned] == [
        " going on with 8",
        " going on with 4",
    ]
    assert engine.tried == [16, 8, 4, 4, 4, 4, 4, 4, 1]
    expected = model.predict_boxes(embedding, BOXES)
    np.testing.assert_array_equal(found.to_array(), expected.to_array())


def test_what_was_learned_is_remembered(model, image):
    engine, sam = limited(model, 8, ERRORS["CPU"])
    embedding = sam.embed(image)
    with pytest.warns(RuntimeWarning, match="going on with 8"):
        sam.predict_boxes(embedding, BOXES)
    engine.tried.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sam.predict_boxes(embedding, BOXES)
    assert engine.tried == [8, 8, 8, 1]


def test_everything_goes_on_too(model, image):
    _, sam = limited(model, 3, ERRORS["CUDA"])
    settings = {"confidence": 0.0, "image_size": 64, "max_objects": 20}
    with pytest.warns(RuntimeWarning, match="memory ran out"):
        found = sam.everything(image, **settings)
    np.testing.assert_array_equal(found.labels, model.everything(image, **settings).labels)


def test_too_little_for_one_says_what_to_do(model, image):
    _, sam = limited(model, 0, ERRORS["CPU"])
    embedding = sam.embed(image)
    with (
        pytest.warns(RuntimeWarning, match="memory ran out"),
        pytest.raises(OutOfMemoryError, match=r"a single object.*lower input_size"),
    ):
        sam.predict_boxes(embedding, BOXES)
    assert issubclass(OutOfMemoryError, MobileSAMError)


def test_other_errors_are_not_taken_for_it(model, image):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    engine, sam = limited(model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        sam.predict_boxes(sam.embed(image), BOXES)
    assert engine.tried == [16]


UNDER_A_LIMIT = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
from napari_mobilesam.inference import engine
engine.CPU_CHUNK = 256
import napari_mobilesam as mobilesam

sam = mobilesam.load_model("micro", device="cpu", input_size=256)
image = np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)
embedding = sam.embed(image)
boxes = [(y, x, y + 30, x + 30) for y in range(0, 160, 10) for x in range(0, 160, 10)]
expected = sam.predict_boxes(embedding, boxes[:4])
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 150 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    found = sam.predict_boxes(embedding, boxes)
assert any("memory ran out" in str(each.message) for each in warned), warned
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert len(found) == 256
assert np.abs(found.scores[:4] - expected.scores).max() < 1e-3
"""


def test_a_process_that_may_not_have_more_memory_goes_on():
    code = UNDER_A_LIMIT if sys.platform == "linux" else "import napari_mobilesam"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
