"""Cut off and altered files of every format that is read: what they hold, or an error of ours."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
import tifffile
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import napari_mobilesam as mobilesam
from napari_mobilesam.bulk.journal import NAME, Journal
from napari_mobilesam.cli.prompts import read_prompts
from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.inference.cache import EmbeddingCache
from napari_mobilesam.io.annotations import FORMATS, read_annotations, write_annotations
from napari_mobilesam.io.images import read_image
from napari_mobilesam.io.labelled_images import LabelledImages
from napari_mobilesam.io.objects import MAX_LABEL
from napari_mobilesam.plugin.readers import read_session
from napari_mobilesam.session.session_file import replay
from napari_mobilesam.zoo.formats import read_tensors

from .profiles import attempt, cases

rng = np.random.default_rng(0)
GREY = rng.integers(0, 60_000, (23, 31)).astype(np.uint16)
BYTES = (GREY >> 8).astype(np.uint8)
COLOUR = rng.integers(0, 255, (23, 31, 3)).astype(np.uint8)
LABELS = np.zeros((23, 31), np.int32)
LABELS[1:9, 1:12] = 3
LABELS[3:5, 3:5] = 0
LABELS[12:20, 5:9] = 4
LABELS[12:20, 15:29] = 700


def saved(write, *arguments, **options):
    """What a function writes to a file."""
    stream = io.BytesIO()
    write(stream, *arguments, **options)
    return stream.getvalue()


IMAGES = {
    "plain.tif": saved(tifffile.imwrite, GREY),
    "zlib.tif": saved(tifffile.imwrite, GREY, compression="zlib"),
    "lzw.tif": saved(tifffile.imwrite, COLOUR, compression="lzw", photometric="rgb"),
    "tiled.tif": saved(tifffile.imwrite, GREY, tile=(16, 16), compression="packbits"),
    "ome.tif": saved(tifffile.imwrite, np.stack([GREY, GREY]), ome=True, metadata={"axes": "CYX"}),
    "imagej.tif": saved(tifffile.imwrite, GREY, imagej=True, metadata={"unit": "um"}),
    "grey.png": saved(lambda file: Image.fromarray(BYTES).save(file, "PNG")),
    "colour.png": saved(lambda file: Image.fromarray(COLOUR).save(file, "PNG")),
    "colour.jpg": saved(lambda file: Image.fromarray(COLOUR).save(file, "JPEG")),
    "colour.bmp": saved(lambda file: Image.fromarray(COLOUR).save(file, "BMP")),
    "grey.npy": saved(np.save, GREY),
    "colour.npy": saved(np.save, COLOUR),
}


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    """Files with labels, of every format that can be read."""
    folder = tmp_path_factory.mktemp("annotations")
    files = {}
    for name, known in FORMATS.items():
        if known.read and name != "ome-zarr":  # a folder
            path = folder / f"labels{known.extensions[0]}"
            write_annotations(path, LABELS, format=name)
            files[path.name] = path.read_bytes()
    with zipfile.ZipFile(folder / "labels.roi.zip") as archive:
        files["one.roi"] = archive.read(archive.namelist()[0])
    return files


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints of every kind."""
    folder = tmp_path_factory.mktemp("checkpoints")
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    save_file(state, folder / "x.safetensors")
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    torch.save({"model": module}, folder / "module.pt")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session with prompts of several kinds: its file, its image, its model and its labels."""
    model = mobilesam.load_model("micro", device="cpu", input_size=64)
    session = mobilesam.open_session(None, BYTES, model)
    session.add_points([(5, 5)])
    session.accept()
    session.add_box((11, 4, 21, 10))
    session.add_points([(2, 2)], [0])
    session.accept(taken="replace")
    session.everything(min_area=3, confidence=0.05, image_size=64)
    session.accept_everything()
    path = tmp_path_factory.mktemp("session") / "a.mobilesam.json"
    session.save(path)
    return path.read_bytes(), model, session.labels.array.copy()


places = st.integers(0, 2**31)
flips = st.lists(st.tuples(places, st.integers(0, 7)), min_size=1, max_size=6)
values = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)
numbers = st.sampled_from(["9" * 30, "-1", "1e999", "0.5"])
damages = st.one_of(
    st.tuples(st.just("cut"), places),
    st.tuples(st.just("flip"), flips),
    st.tuples(st.just("set"), values),
    st.tuples(st.just("drop"), st.tuples(places, st.integers(1, 40))),
    st.tuples(st.just("repeat"), st.tuples(places, st.integers(1, 40), st.integers(1, 50))),
    st.tuples(st.just("digit"), st.tuples(places, numbers)),
)
"""What happens to a file; a place is taken modulo the file's length."""


def damaged(content, damage):
    """The bytes of a file after something has happened to it."""
    kind, how = damage
    altered = bytearray(content)
    size = len(content)
    if kind == "cut":
        return bytes(altered[: how % size])
    if kind == "flip":
        for place, bit in how:
            altered[place % size] ^= 1 << bit
    if kind == "set":
        for place, value in how:
            altered[place % size] = value
    if kind == "drop":
        del altered[how[0] % size : how[0] % size + how[1]]
    if kind == "repeat":
        start = how[0] % size
        altered[start:start] = altered[start : start + how[1]] * how[2]
    if kind == "digit":
        digits = [at for at, byte in enumerate(content) if 48 <= byte < 58] or [0]
        at = digits[how[0] % len(digits)]
        altered[at : at + 1] = how[1].encode()
    return bytes(altered)


def write_damaged(folder, files, name, damage):
    path = folder / name
    path.write_bytes(damaged(files[name], damage))
    return path


@cases(120)
@given(st.sampled_from(sorted(IMAGES)), damages)
def test_images(tmp_path, name, damage):
    path = write_damaged(tmp_path, IMAGES, name, damage)
    image = attempt(lambda: read_image(path))
    if image is None:
        return
    assert image.pixels.ndim in (2, 3)
    assert image.pixels.size
    if damage[0] == "cut" and not name.endswith("jpg"):
        path.write_bytes(IMAGES[name])
        np.testing.assert_array_equal(image.pixels, read_image(path).pixels)


@cases(120)
@given(st.data(), damages)
def test_annotations(tmp_path, annotations, data, damage):
    name = data.draw(st.sampled_from(sorted(annotations)))
    path = write_damaged(tmp_path, annotations, name, damage)
    found = attempt(lambda: read_annotations(path, plane_shape=LABELS.shape))
    if found is None:
        return
    assert found.shape == LABELS.shape
    assert found.min() >= 0
    assert found.max() <= MAX_LABEL
    if damage[0] == "cut" and not name.endswith((".txt", ".roi")):
        np.testing.assert_array_equal(found, LABELS)


@pytest.mark.filterwarnings("ignore:Defining your `__torch_function__`")  # torch's own business
@cases(80)
@given(st.data(), damages)
def test_checkpoints(tmp_path, checkpoints, data, damage):
    name = data.draw(st.sampled_from(sorted(checkpoints)))
    path = write_damaged(tmp_path, checkpoints, name, damage)
    found = attempt(lambda: read_tensors(path))
    if found is None:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
    for tensor in found.values():
        tensor.clone()  # every byte is there
    if damage[0] == "cut":
        path.write_bytes(checkpoints[name])
        whole = read_tensors(path)
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[key], whole[key]) for key in whole)


@cases(15)
@given(damages)
def test_session_files(tmp_path, session, damage):
    content, model, labels = session
    path = tmp_path / "a.mobilesam.json"
    path.write_bytes(damaged(content, damage))
    layers = attempt(lambda: read_session(str(path)))
    again = attempt(lambda: replay(path, BYTES, model=model))
    assert layers is not None or again is None
    if damage[0] == "cut" and again is not None:
        np.testing.assert_array_equal(again.labels.array, labels)


@cases(60)
@given(damages)
def test_labelled_images_in_a_zip(tmp_path, damage):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, pixels in (("images", BYTES), ("labels", LABELS.astype(np.uint16))):
            png = saved(lambda file, pixels=pixels: Image.fromarray(pixels).save(file, "PNG"))
            archive.writestr(f"{folder}/0.png", png)
    path = tmp_path / "x.zip"
    path.write_bytes(damaged(stream.getvalue(), damage))
    scenes = attempt(lambda: list(LabelledImages(path)))
    if scenes:
        assert scenes[0].labels.shape == scenes[0].image.shape[:2]


@cases(40)
@given(damages)
def test_prompts_of_the_command_line(tmp_path, damage):
    content = {"a.tif": {"points": [[12, 8, 1], [6, 2, 0]], "boxes": [[1, 2, 8, 9]]}, "b.tif": {}}
    path = tmp_path / "prompts.json"
    path.write_bytes(damaged(json.dumps(content).encode(), damage))

    def read():
        try:
            return read_prompts(path)
        except typer.BadParameter as error:
            raise FileFormatError(str(error)) from error

    attempt(read)


@cases(40)
@given(damages)
def test_a_journal_is_believed_only_where_it_is_true(tmp_path, damage):
    image, output = tmp_path / "a.tif", tmp_path / "a.labels.tif"
    image.write_bytes(b"image")
    output.write_bytes(b"labels")
    (tmp_path / NAME).unlink(missing_ok=True)
    Journal(tmp_path, {"a": 1}).add(image, [output], 3)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(damaged(content, damage))
    entry = attempt(lambda: Journal(tmp_path, {"a": 1}).finished(image))
    assert entry is None or isinstance(entry.objects, int)


@cases(40)
@given(st.sampled_from(["zarr.json", "c.0.0.0"]), damages)
def test_an_embedding_is_what_was_written_or_nothing(tmp_path, name, damage):
    cache = EmbeddingCache(tmp_path / "cache")
    features = np.arange(256 * 4, dtype=np.float16).reshape(256, 2, 2)
    key = "1" * 32
    cache.put(key, features)
    path = cache.folder / key / name
    path.write_bytes(damaged(path.read_bytes(), damage))
    found = attempt(lambda: cache.get(key, features.shape))
    if found is not None:
        np.testing.assert_array_equal(found, features)
    shutil.rmtree(cache.folder)
