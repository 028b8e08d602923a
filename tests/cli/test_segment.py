import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_mobilesam.cli.segment import Format
from napari_mobilesam.io.annotations import FORMATS, read_annotations

from .conftest import CENTRES


def test_every_format_can_be_chosen():
    assert list(Format) == list(FORMATS)


def test_everything_in_every_format(run, cells, tmp_path):
    formats = [part for name in FORMATS for part in ("-f", name)]
    code, text = run("segment", cells, "-o", tmp_path / "out", "--min-area", 100, *formats)
    assert code == 0
    assert "cells.png 3" in text
    labels = tifffile.imread(tmp_path / "out" / "cells.labels.tif")
    assert sorted(labels[centre] for centre in CENTRES) == [1, 2, 3]
    table = pd.read_csv(tmp_path / "out" / "cells.labels.csv")
    assert table["area"].tolist() == np.bincount(labels.ravel())[1:].tolist()
    for known in FORMATS.values():
        path = tmp_path / "out" / f"cells.labels{known.extensions[0]}"
        if known.read:
            np.testing.assert_array_equal(read_annotations(path, plane_shape=labels.shape), labels)


def test_engine_and_precision_are_chosen(run, cells, tmp_path):
    for name, options in {
        "torch": ("--precision", "float32"),
        "openvino": ("--engine", "openvino", "--precision", "float32"),
        "reduced": ("--precision", "bfloat16"),
    }.items():
        code, _ = run("segment", cells, "-o", tmp_path / name, *options)
        assert code == 0
    torch, openvino, reduced = (
        pd.read_csv(tmp_path / name / "cells.labels.csv")["score"].to_numpy()
        for name in ("torch", "openvino", "reduced")
    )
    np.testing.assert_allclose(openvino, torch, atol=1e-4)
    np.testing.assert_allclose(reduced, torch, atol=0.05)
    assert np.abs(reduced - torch).max() > 1e-4
    assert run("segment", cells, "-o", tmp_path, "--engine", "abacus")[0] == 2


def test_large_planes_are_labelled_in_tiles(run, cells, tmp_path):
    many = np.tile(np.asarray(Image.open(cells)), (3, 3))
    tifffile.imwrite(tmp_path / "many.tif", many)
    code, _ = run("segment", tmp_path / "many.tif", "-o", tmp_path, "--tile", 224)
    assert code == 0
    labels = tifffile.imread(tmp_path / "many.labels.tif")
    side = many.shape[0] // 3
    for row, column in np.ndindex(3, 3):
        for y, x in CENTRES:
            assert labels[row * side + y, column * side + x] > 0
    assert run("segment", cells, "-o", tmp_path, "--tile", 224, "--points", "30,30")[0] == 2


def test_the_same_command_again_goes_on(run, cells, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(cells.read_bytes())
    out = tmp_path / "out"
    assert run("segment", folder / "a.png", "-o", out)[0] == 0
    before = (out / "a.labels.tif").stat().st_mtime_ns
    code, text = run("segment", folder, "-o", out)
    assert code == 0
    assert text.count("done before") == 1
    assert (out / "a.labels.tif").stat().st_mtime_ns == before
    assert (out / "b.labels.tif").exists()
    code, text = run("segment", folder, "-o", out, "--min-area", 50)
    assert code == 1
    assert "--overwrite" in text


def test_several_images_give_a_contact_sheet_and_one_does_not(run, cells, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(cells.read_bytes())
    (folder / "b.png").write_bytes(b"no png")
    sheet = tmp_path / "out" / "mobilesam-batch.html"
    assert run("segment", folder / "a.png", "-o", tmp_path / "out")[0] == 0
    assert not sheet.exists()
    code, text = run("segment", folder, "-o", tmp_path / "out")
    assert code == 1
    assert "mobilesam-batch.html" in text
    page = sheet.read_text(encoding="utf-8")
    assert "2 images, 3 objects, 1 to look at" in page
    assert page.index("<b>b</b>") < page.index("<b>a</b>")


def test_failing_images_are_named_and_the_others_done(run, cells, tmp_path):
    tifffile.imwrite(tmp_path / "cut.tif", np.ones((200, 200), np.uint16))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:999])
    (tmp_path / "empty.tif").touch()
    np.save(tmp_path / "no_pixels.npy", np.ones((0, 5)))
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((7, 64, 64), np.uint8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "done.labels.csv").write_text("mine")
    Image.new("L", (64, 64)).save(tmp_path / "done.png")
    names = ("missing.tif", "cut.tif", "empty.tif", "no_pixels.npy", "stack.tif", "done.png")
    bad = [tmp_path / name for name in names]
    code, text = run("segment", *bad, cells, "-o", tmp_path / "out", "--points", "30,30")
    assert code == 1
    for path, reason, message in zip(
        bad,
        ("no such file", "cannot be read", "an empty file", "no pixels", "--plane", "--overwrite"),
        text.split("Error: ")[1:],
        strict=True,
    ):
        assert reason in message
        assert message.count(path.name) == 1
    assert "6 of 7 images failed" in text
    assert (tmp_path / "out" / "done.labels.csv").read_text() == "mine"
    assert (tmp_path / "out" / "cells.labels.tif").exists()


def test_points_boxes_and_files_of_prompts(run, cells, tmp_path):
    prompts = {"points": [[30, 30]], "boxes": [[14, 74, 46, 106], [74, 44, 106, 76]]}
    (tmp_path / "all.json").write_text(json.dumps(prompts))
    (tmp_path / "one.json").write_text(json.dumps({"cells.png": prompts}))
    given = (
        ("--points", "30,30", "--boxes", "14,74,46,106;74,44,106,76"),
        ("--prompts", tmp_path / "all.json"),
        ("--prompts", tmp_path / "one.json"),
    )
    for options in given:
        arguments = ("-o", tmp_path / "out", "--overwrite", *options)
        code, text = run("segment", cells, *arguments)
        assert code == 0
        assert "cells.png 3" in text
        labels = tifffile.imread(tmp_path / "out" / "cells.labels.tif")
        table = pd.read_csv(tmp_path / "out" / "cells.labels.csv").set_index("prompt")
        assert [labels[centre] for centre in CENTRES] == table["label"].loc[[1, 2, 3]].tolist()


def test_small_objects_are_looked_at_closer_or_not(run, cells, tmp_path):
    sheet = np.full((600, 600), 30, np.uint8)
    small = np.asarray(Image.open(cells).convert("L").resize((40, 40)))
    sheet[100:140, 100:140] = sheet[420:460, 420:460] = small
    path = tmp_path / "sheet.png"
    Image.fromarray(sheet).save(path)
    places = [(corner + y / 3, corner + x / 3) for corner in (100, 420) for y, x in CENTRES]
    points = ("--points", ";".join(f"{y},{x}" for y, x in places))
    labels = {}
    for option in ("--closer", "--no-closer"):
        assert run("segment", path, "-o", tmp_path / option, option, *points)[0] == 0
        labels[option] = tifffile.imread(tmp_path / option / "sheet.labels.tif")
    assert (labels["--closer"] != labels["--no-closer"]).any()
    code, text = run("segment", path, "-o", tmp_path / "--no-closer", "--closer", *points)
    assert code == 1
    assert "exists" in text


def test_plane_channels_and_limits(run, cells, tmp_path):
    plane = np.asarray(Image.open(cells)).astype(np.uint16) * 16
    stack = np.zeros((2, 4, 120, 120), np.uint16)
    stack[1, 3] = plane
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata={"axes": "ZCYX"})
    options = ("--plane", 1, "--channels", 3, "--limits", "0,4080", "--boxes", "14,14,46,46")
    code, _ = run("segment", tmp_path / "stack.ome.tif", "-o", tmp_path, *options)
    assert code == 0
    table = pd.read_csv(tmp_path / "stack.ome.labels.csv")
    assert table["area"].item() == pytest.approx(np.pi * 14**2, rel=0.3)
    assert table["mean_intensity"].item() > 2000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--everything", "--points", "1,2"), "choose one of"),
        (("--points", "1"), "--points: expected y,x[,label]"),
        (("--boxes", "1,2,3"), "--boxes: expected y0,x0,y1,x1"),
        (("--prompts", "missing.json"), "missing.json cannot be read"),
        (("--format", "svg"), "'tiff', 'coco'"),
        (("--model", "micros"), "there is no such model"),
        (("--plane", "a"), "--plane: expected whole numbers"),
        (("--limits", "high"), "--limits: expected percentile, dtype or LOW,HIGH"),
        (("--confidence", "2"), "'--confidence'"),
        (("--points", "1,2", "--sampler", "grid"), "there is no setting 'sampler'"),
        (("--no-closer",), "--closer and --no-closer are for prompts"),
        (("--input-size", "100"), "a multiple of 64"),
        (("--device", "abacus"), "this device cannot be used"),
    ],
)
def test_wrong_usage(run, cells, tmp_path, options, message):
    code, text = run("segment", cells, "-o", tmp_path / "out", *options)
    assert code == 2
    assert message in text


def test_two_images_for_one_result_are_refused(run, cells, tmp_path):
    code, text = run("segment", cells, "a/cells.tif", "-o", tmp_path / "out")
    assert code == 2
    assert "would have one name" in text


def test_a_file_is_no_output_folder(run, cells):
    code, text = run("segment", cells, "-o", cells)
    assert code == 2
    assert "cannot be made" in text


def test_a_box_outside_the_image_names_image_and_box(run, cells, tmp_path):
    code, text = run("segment", cells, "-o", tmp_path, "--boxes", "200,200,220,220")
    assert code == 1
    assert "cells.png: box 0 covers no pixel" in text
