"""Files that somebody sends: none runs a command, leaves its folder, or fills the memory."""

import json
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image

import napari_mobilesam as mobilesam
from napari_mobilesam.core.errors import (
    CheckpointError,
    FileFormatError,
    HashMismatchError,
    ImageError,
    MobileSAMError,
)
from napari_mobilesam.io.annotations import read_annotations
from napari_mobilesam.io.images import read_image
from napari_mobilesam.io.labelled_images import LabelledImages
from napari_mobilesam.plugin.readers import read_session
from napari_mobilesam.training.detector import train_detector
from napari_mobilesam.training.settings import DetectorTrainingSettings, ViewSettings
from napari_mobilesam.training.views import Tiles
from napari_mobilesam.zoo.card import Download, WeightFile
from napari_mobilesam.zoo.download import cached_path, fetch
from napari_mobilesam.zoo.formats import read_tensors

MILLION = 10**6


class Command:
    """Pickles as a command that leaves a file behind."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.fixture
def marker(tmp_path):
    """What is there once the command of a hostile file has run."""
    return tmp_path / "it_ran"


@pytest.fixture(params=["state dictionary", "module", "legacy", "bare pickle"])
def hostile(request, tmp_path, marker):
    """A checkpoint that runs a command when it is unpickled."""
    path = tmp_path / "hostile.pt"
    content = {"model": {"weight": torch.zeros(2), "more": Command(marker)}}
    if request.param == "module":
        content = {"model": torch.nn.Linear(2, 2)}
        content["model"].hook = Command(marker)
    if request.param == "bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=request.param != "legacy")
    return path


def test_the_command_would_have_run(hostile, marker, request):
    if "bare" in request.node.name:
        pickle.loads(hostile.read_bytes())
    else:
        torch.load(hostile, weights_only=False)
    assert marker.exists()


def test_no_checkpoint_runs_a_command(hostile, marker):
    with pytest.raises(CheckpointError):
        mobilesam.load_model(str(hostile))
    sam = mobilesam.load_model(detector=hostile, device="cpu", input_size=64)
    with pytest.raises(CheckpointError):
        sam.everything(np.zeros((9, 9), np.uint8))
    with pytest.raises(CheckpointError):
        read_tensors(hostile)
    assert not marker.exists()


def test_a_checkpoint_by_another_name_runs_no_command(hostile, marker, tmp_path):
    for name in ("x.safetensors", "x.tif", "x.png", "x.npy", "x.json", "x.roi.zip", "x.csv"):
        renamed = tmp_path / name
        renamed.write_bytes(hostile.read_bytes())
        for read in (read_tensors, read_image, LabelledImages, read_annotations, read_session):
            with pytest.raises(MobileSAMError):
                read(renamed)
    assert not marker.exists()


def test_weights_that_were_exchanged_in_the_cache_are_not_parsed(hostile, marker):
    file = WeightFile("sam", "x.pt", Download(("https://127.0.0.1:1/x.pt",)), sha256="0" * 64)
    cached_path(file).write_bytes(hostile.read_bytes())
    with pytest.raises(HashMismatchError):
        fetch(file)
    assert not marker.exists()


def test_a_run_that_somebody_sends_is_not_gone_on_with(tmp_path, marker):
    (tmp_path / "boxes").mkdir()
    torch.save({"network": {}, "more": Command(marker)}, tmp_path / "boxes" / "checkpoint.pt")
    blank = np.zeros((64, 64), np.int32)
    tiles = Tiles.stack([(np.zeros((64, 64, 3), np.uint8), [blank, blank])], [1], 64)
    with pytest.raises(CheckpointError, match="UnpicklingError"):
        train_detector(tiles, [], tmp_path, DetectorTrainingSettings(), ViewSettings())
    assert not marker.exists()


@pytest.mark.parametrize("pin", ["", "{", "[]", "{}", '{"hash": null}', '{"hash": "md5:0"}'])
def test_a_damaged_pin_is_named(pin):
    file = WeightFile("sam", "x.pt", Download(("https://127.0.0.1:1/x.pt",)))
    cached_path(file).write_bytes(b"weights")
    pinned = cached_path(file).with_name("x.pt.json")
    pinned.write_text(pin)
    with pytest.raises(HashMismatchError, match=r"the hash of x\.pt cannot be read"):
        fetch(file)


def test_modules_and_dictionaries_that_never_end_are_refused(tmp_path):
    module, entries = torch.nn.Module(), {"x": torch.zeros(1)}
    for _ in range(40):
        module = torch.nn.Sequential(module, module)
        entries = {"a": entries, "b": entries}
    torch.save(module, tmp_path / "module.pt")
    torch.save(entries, tmp_path / "entries.pt")
    for name in ("module.pt", "entries.pt"):
        with pytest.raises(CheckpointError, match="without end"):
            read_tensors(tmp_path / name)


def test_a_pickle_cannot_ask_for_memory_by_numbering_objects(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"cos\nx\n.")
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path / "x.pt")


@pytest.fixture
def session_file(micro, tmp_path):
    """A session of one point, and what its file says."""
    image = np.random.default_rng(0).integers(0, 99, (40, 50)).astype(np.uint8)
    session = mobilesam.open_session(None, image, micro)
    session.add_points([(20, 20)])
    session.accept()
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    return path, json.loads(path.read_text()), image


@pytest.mark.parametrize("where", ["../hostile.pt", "/etc/passwd", "\\\\server\\share\\x.pt", ""])
def test_a_session_file_opens_no_other_file(session_file, where):
    path, content, image = session_file
    content["conditions"][0]["model"] = where
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match="a model that the zoo does not hold"):
        mobilesam.replay_session(path, image)


def test_a_session_made_with_a_checkpoint_is_replayed_with_it(session_file, micro):
    path, content, image = session_file
    expected = mobilesam.replay_session(path, image)
    content["conditions"][0]["model"] = "/home/somebody/their.pt"
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(mobilesam.replay_session(path, image, model=micro), expected)


@pytest.mark.parametrize(
    "key", [[-1, -1, -1], [-2], [0] * 33, [2**40], [1e400], ["a"], "a", None], ids=str
)
def test_planes_that_cannot_be_are_refused(session_file, key):
    path, content, _ = session_file
    content["accepted"][0]["key"] = content["planes"][0]["key"] = key
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError):
        read_session(str(path))


@pytest.mark.parametrize("root", ["/tmp/", "../../", "C:\\"])
def test_a_zip_writes_nothing_and_is_read_by_its_own_names(tmp_path, root):
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("images/0.png", "labels/0.png"):
            archive.write(tmp_path / "x.png", root + name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileFormatError, match="no labelled images"):
        LabelledImages(tmp_path / "x.zip")
    assert sorted(tmp_path.rglob("*")) == before


def test_no_zip_and_damaged_pictures_are_named(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(FileFormatError, match=r"x\.zip cannot be read"):
        LabelledImages(tmp_path / "x.zip")
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.write(tmp_path / "x.png", "images/0.png")
        archive.writestr("labels/0.png", png_of(MILLION))
        archive.write(tmp_path / "x.png", "images/1.png")
        archive.writestr("labels/1.png", (tmp_path / "x.png").read_bytes()[:-30])
        archive.write(tmp_path / "x.png", "images/2.png")
        Image.new("L", (5, 4)).save(tmp_path / "z.png")
        archive.write(tmp_path / "z.png", "labels/2.png")
    images = LabelledImages(tmp_path / "y.zip")
    for index, message in enumerate(["too large", "cannot be read", "does not belong"]):
        with pytest.raises(FileFormatError, match=message):
            images[index]


def test_a_roi_set_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../1.roi", bytes(2**20))
    content = (tmp_path / "x.zip").read_bytes()
    size = struct.pack("<I", 2**20)
    (tmp_path / "x.zip").write_bytes(content.replace(size, struct.pack("<I", 2**31)))
    with pytest.raises(FileFormatError, match="too large for a ROI set"):
        read_annotations(tmp_path / "x.zip", plane_shape=(9, 9))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def png_of(side):
    def chunk(content):
        return (
            struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR" + header) + chunk(b"IDAT") + chunk(b"IEND")


def bmp_of(side):
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def jpeg_of(side):
    frame = struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff\xd9"


def write_tiff(path, side, channels=1):
    shape = (4, 4) if channels == 1 else (4, 4, channels)
    planar = {} if channels == 1 else {"planarconfig": "contig"}
    tifffile.imwrite(path, np.zeros(shape, np.uint8), metadata=None, **planar)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages[0].tags[tag].overwrite(side)


def write_npy(path, side):
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (side, side)}
        np.lib.format.write_array_header_1_0(file, header)


CLAIMS = {
    "a.png": lambda path: path.write_bytes(png_of(MILLION)),
    "a.bmp": lambda path: path.write_bytes(bmp_of(MILLION)),
    "a.jpg": lambda path: path.write_bytes(jpeg_of(65_000)),
    "a.tif": lambda path: write_tiff(path, MILLION),
    "channels.tif": lambda path: write_tiff(path, 13_000, 60),
    "a.npy": lambda path: write_npy(path, MILLION),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_an_image_that_claims_too_much_is_refused(tmp_path, name):
    CLAIMS[name](tmp_path / name)
    with pytest.raises(FileFormatError):
        read_image(tmp_path / name)


def test_coco_that_claims_too_much_is_refused_unless_the_image_is_that_large(tmp_path):
    path = tmp_path / "a.coco.json"
    image = {"id": 1, "height": 20_000, "width": 20_000}
    path.write_text(json.dumps({"images": [image], "annotations": []}))
    with pytest.raises(FileFormatError, match="too large"):
        read_annotations(path)
    image["height"] = MILLION
    image["width"] = MILLION
    path.write_text(json.dumps({"images": [image], "annotations": []}))
    with pytest.raises(FileFormatError, match="another image"):
        read_annotations(path, plane_shape=(20_000, 20_000))


def test_coco_counts_without_end_are_refused(tmp_path):
    path = tmp_path / "a.coco.json"
    mask = {"id": 1, "segmentation": {"counts": "o" * 2_000_000}}
    content = {"images": [{"id": 1, "height": 9, "width": 9}], "annotations": [mask]}
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match="larger than any image"):
        read_annotations(path)


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.npy"])
def test_the_limit_is_lifted_on_purpose(tmp_path, name):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = tmp_path / name
    if name.endswith("png"):
        Image.fromarray(pixels).save(path)
    elif name.endswith("tif"):
        tifffile.imwrite(path, pixels)
    else:
        np.save(path, pixels)
    with pytest.raises(FileFormatError, match=r"at most 11 pixels.*raise max_pixels"):
        read_image(path, max_pixels=11)
    for allowed in (12, None):
        np.testing.assert_array_equal(read_image(path, max_pixels=allowed).pixels, pixels)


def test_one_plane_of_a_stack_without_pages_is_read_from_the_disk(tmp_path):
    stack = np.arange(60, dtype=np.uint16).reshape(5, 3, 4)
    tifffile.imwrite(
        tmp_path / "x.tif", stack, imagej=True, metadata={"axes": "ZYX"}, truncate=True
    )
    found = read_image(tmp_path / "x.tif", plane=(3,), max_pixels=12)
    np.testing.assert_array_equal(found.pixels, stack[3])


@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ((10**8, 10**7), (1000, 1000), "larger than any image"),
        ((10**6, 10**5), (10**6, 10**5), "chunks that fill the memory"),
    ],
)
def test_a_zarr_that_claims_a_petabyte_is_refused(tmp_path, shape, chunks, message):
    path = str(tmp_path / "x.zarr")
    array = zarr.create_array(path, shape=shape, chunks=chunks, dtype="uint8")
    with pytest.raises(ImageError, match=message):
        mobilesam.segment_large(array)
