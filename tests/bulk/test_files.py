import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import zarr
from safetensors.torch import load_file, save_file
from skimage.draw import disk

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.bulk.contact_sheet import SHEET, TABLE
from napari_mobilesam.bulk.files import batch, fingerprint
from napari_mobilesam.bulk.inputs import find_images
from napari_mobilesam.bulk.journal import NAME, Journal
from napari_mobilesam.core.errors import FileFormatError, SettingsError
from napari_mobilesam.io.annotations import read_annotations
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.download import cached_path

COUNT = 6


@pytest.fixture(scope="module")
def sam():
    return load_model("micro", input_size=128, precision="float32")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(COUNT):
        image = rng.normal(400, 20, (96, 96))
        for _ in range(3):
            image[disk(rng.integers(15, 80, 2), 9, shape=image.shape)] = 2000
        tifffile.imwrite(folder / f"field_{number}.tif", image.astype(np.uint16))
    return folder


def contents(output):
    timed = {output / name for name in (NAME, SHEET, TABLE)}
    files = {path for path in output.rglob("*") if path.is_file()} - timed
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


def test_every_image_is_labelled_and_a_second_run_passes_them_over(sam, folder, tmp_path):
    told = []
    output = tmp_path / "out"
    table = batch(folder, output, model=sam, progress=lambda *now: told.append(now))
    assert table["objects"].between(1, 6).all()
    assert not table["skipped"].any()
    assert told == [(n, COUNT) for n in range(COUNT + 1)]
    written = contents(output)
    assert len(written) == 3 * COUNT

    again = batch(folder, output, model=sam)
    assert again["skipped"].all()
    assert again["objects"].tolist() == table["objects"].tolist()
    assert contents(output) == written


def test_what_has_changed_is_done_again(sam, folder, tmp_path):
    output = tmp_path / "out"
    batch(folder, output, model=sam, formats=["tiff"])
    tifffile.imwrite(folder / "field_1.tif", np.zeros((50, 60), np.uint8))
    (output / "field_2.labels.tif").unlink()
    again = batch(folder, output, model=sam, formats=["tiff"])
    assert again["skipped"].tolist() == [True, False, False, True, True, True]
    assert tifffile.imread(output / "field_1.labels.tif").shape == (50, 60)
    assert tifffile.imread(output / "field_2.labels.tif").shape == (96, 96)
    other = batch(folder, output, model=sam, formats=["tiff"], min_area=20)
    assert not other["skipped"].any()


def test_what_was_corrected_by_hand_is_not_replaced(sam, folder, tmp_path):
    output = tmp_path / "out"
    batch(folder, output, model=sam, formats=["tiff"])
    corrected = output / "field_2.labels.tif"
    labels = np.arange(96 * 96, dtype=np.int32).reshape(96, 96)
    tifffile.imwrite(corrected, labels)
    for changes, are_skipped in (({}, True), ({"min_area": 20}, False)):
        table = batch(folder, output, model=sam, formats=["tiff"], **changes)
        others = [are_skipped] * 2, [are_skipped] * 3
        assert table["skipped"].tolist() == [*others[0], False, *others[1]]
        assert (table["error"] != "").tolist() == [False, False, True, False, False, False]
        assert "changed since it was written" in table["error"][2]
    np.testing.assert_array_equal(tifffile.imread(corrected), labels)
    corrected.unlink()
    assert not batch(folder, output, model=sam, formats=["tiff"], min_area=20)["error"].any()


def test_another_precision_or_detector_does_it_again(sam, folder, tmp_path):
    (bundled,) = (file for file in sam.card.files if file.role == "detector")
    detectors = [tmp_path / name / "detector.safetensors" for name in ("one", "two")]
    for number, path in enumerate(detectors):
        path.parent.mkdir()
        save_file(load_file(cached_path(bundled)), path, {"made": str(number)})
    models = [
        load_model("micro", input_size=128, precision=precision, detector=detector)
        for precision, detector in (
            ("float32", detectors[0]),
            ("bfloat16", detectors[0]),
            ("float32", detectors[1]),
        )
    ]
    for model in models:
        for is_done in (False, True):
            table = batch(folder, tmp_path / "out", model=model, formats=["tiff"])
            assert set(table["skipped"]) == {is_done}


def test_one_that_fails_is_named_and_the_others_are_done(sam, folder, tmp_path):
    (folder / "field_3.tif").write_bytes(b"no tiff")
    table = batch(folder, tmp_path / "out", model=sam)
    failed = table[table["error"] != ""]
    assert failed.index.tolist() == [3]
    assert "cannot be read" in failed["error"].iloc[0]
    assert (tmp_path / "out" / "field_4.labels.tif").exists()
    assert not (tmp_path / "out" / "field_3.labels.tif").exists()


KILLED = """
import sys
from napari_mobilesam.bulk.contact_sheet import SHEET, TABLE
from napari_mobilesam.bulk.files import batch
from napari_mobilesam.api import load_model
batch(sys.argv[1], sys.argv[2], model=load_model("micro", input_size=128, precision="float32"))
"""


def test_a_killed_run_ends_with_what_an_uninterrupted_one_gives(sam, folder, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    batch(folder, whole, model=sam)
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), str(cut)])
    while run.poll() is None and not (cut / NAME).exists():
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    run.wait()
    table = batch(folder, cut, model=sam)
    assert 1 <= table["skipped"].sum() < COUNT
    assert contents(cut) == contents(whole)


def test_a_journal_survives_half_a_line(folder):
    first, second, third = (folder / f"field_{number}.tif" for number in range(3))
    Journal(folder, {"a": 1}).add(first, [first], 3)
    with (folder / NAME).open("a") as file:
        file.write('[1]\n{"image": 3}\n{"image": "x", "task"')
    Journal(folder, {"a": 1}).add(second, [second], 4)
    journal = Journal(folder, {"a": 1})
    assert journal.finished(first).objects == 3
    assert journal.finished(second).objects == 4
    assert journal.finished(third) is None
    assert Journal(folder, {"a": 2}).finished(first) is None


def test_files_folders_and_patterns_are_found_once(folder):
    (folder / "notes.txt").touch()
    (folder / ".hidden.tif").touch()
    first = folder / "field_0.tif"
    found = find_images([first, folder, str(folder / "*_[01].tif"), folder / "missing.tif"])
    assert [path.name for path in found] == [
        *(f"field_{number}.tif" for number in range(COUNT)),
        "missing.tif",
    ]
    with pytest.raises(FileFormatError, match="no images"):
        find_images([str(folder / "*.png")])


def test_a_batch_begins_before_the_detector_is_downloaded(sam):
    card = get_card("mobile_sam_v2")
    assert any(file.sha256 is None for file in card.files)
    weights = fingerprint(MobileSAM(card, sam.engine, 128, device="cpu"))["weights"]
    assert [name for name, _ in weights] == [file.name for file in card.files]


def test_formats_are_checked_first(sam, folder, tmp_path):
    with pytest.raises(FileFormatError, match="no format 'png'"):
        batch(folder, tmp_path / "out", model=sam, formats=["tiff", "png"])
    assert not (tmp_path / "out").exists()
    batch(folder / "field_0.tif", tmp_path / "out", model=sam, formats="tiff")
    assert (tmp_path / "out" / "field_0.labels.tif").exists()


def test_clashes_and_settings_are_refused_first(sam, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / "field_0.tif", np.zeros((9, 9), np.uint8))
    with pytest.raises(FileFormatError, match="one name"):
        batch([folder, other], tmp_path / "out", model=sam)
    with pytest.raises(SettingsError):
        batch(folder, tmp_path / "out", model=sam, confidence=7)


def plate_of(path, images, version):
    """Write a plate of one well, with two channels of which the second is the image."""
    plate = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)

    def describe(group, known):
        group.attrs.update({"ome": {"version": "0.5"} | known} if version == "0.5" else known)

    describe(plate, {"plate": {"wells": [{"path": "B/3"}]}})
    well = plate.create_group("B/3")
    describe(well, {"well": {"images": [{"path": str(n)} for n in range(len(images))]}})
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    for number, image in enumerate(images):
        field = well.create_group(str(number))
        datasets = [{"path": "0", "coordinateTransformations": []}]
        describe(field, {"multiscales": [{"axes": axes, "datasets": datasets}]})
        pixels = np.stack([np.zeros_like(image), image])
        field.create_array("0", data=pixels, chunks=(1, *image.shape))
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_field_of_a_plate_is_labelled_in_place(sam, folder, tmp_path, version):
    images = [tifffile.imread(folder / f"field_{number}.tif") for number in range(2)]
    plate = plate_of(tmp_path / "p.zarr", images, version)
    options = {"model": sam, "formats": ["ome-zarr", "tiff"], "channels": (1,)}
    table = batch(plate, tmp_path / "out", **options)
    assert (table["error"] == "").all()
    plain = batch(folder, tmp_path / "plain", model=sam, formats=["tiff"])
    assert table["objects"].tolist() == plain["objects"][:2].tolist()
    for number in range(2):
        labels = tifffile.imread(tmp_path / "out" / f"p_B_3_{number}.labels.tif")
        field = plate / "B" / "3" / str(number)
        own = read_annotations(field / "labels" / "mobilesam", format="ome-zarr")
        np.testing.assert_array_equal(own, labels)
    assert batch(plate, tmp_path / "out", **options)["skipped"].all()
    zarr.open_array(field / "0")[1] = 0
    shutil.rmtree(plate / "B" / "3" / "0" / "labels")
    again = batch(plate, tmp_path / "out", **options)
    assert not again["skipped"].any()
    assert again["objects"].tolist() == [plain["objects"][0], 0]


def test_labels_of_other_images_are_omezarrs_of_their_own(sam, folder):
    options = {"model": sam, "formats": ["ome-zarr", "tiff"]}
    batch(folder, folder, **options)
    labels = tifffile.imread(folder / "field_4.labels.tif")
    own = read_annotations(folder / "field_4.labels.ome.zarr")
    np.testing.assert_array_equal(own, labels)
    assert batch(folder, folder, **options)["skipped"].tolist() == [True] * COUNT
