"""OME-Zarr of every version, as ome-zarr-py writes and reads it."""

import json

import numpy as np
import pandas as pd
import pytest
import zarr
from ome_zarr.format import FormatV03, FormatV04, FormatV05
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Reader
from ome_zarr.writer import (
    write_labels,
    write_multiscale,
    write_plate_metadata,
    write_well_metadata,
)

from napari_mobilesam.core.errors import FileFormatError, SettingsError
from napari_mobilesam.io.annotations import read_annotations, write_annotations
from napari_mobilesam.io.images import open_image, read_image
from napari_mobilesam.io.ome_zarr import (
    find_fields,
    is_zarr,
    name_within_zarr,
    open_ome_zarr,
    signature,
)

FORMATS = {"0.3": FormatV03(), "0.4": FormatV04(), "0.5": FormatV05()}
RNG = np.random.default_rng(0)


def write(path, pixels, axes, version="0.5", scale=None, unit="micrometer"):
    """Write an image by ome-zarr-py, with two levels."""
    written = FORMATS[version]
    group = zarr.create_group(str(path), zarr_format=written.zarr_format)
    options = {}
    if version != "0.3":
        space = {"type": "space", "unit": unit} if scale else {"type": "space"}
        others = {"t": {"type": "time"}, "c": {"type": "channel"}}
        axes = [{"name": axis} | others.get(axis, space) for axis in axes]
    if scale:
        steps = [[*(1.0 for _ in axes[:-2]), *(s * 2**k for s in scale)] for k in range(2)]
        options["coordinate_transformations"] = [[{"type": "scale", "scale": s}] for s in steps]
    write_multiscale([pixels, pixels[..., ::2, ::2]], group, fmt=written, axes=axes, **options)
    return path


def labels_of(shape):
    labels = np.zeros(shape, np.int32)
    labels[2:12, 3:20] = 1
    labels[15:22, 10:30] = 7
    labels[0, 0] = 70_000
    return labels


def node_of(path):
    """The label image that ome-zarr-py finds at a path."""
    nodes = list(Reader(parse_url(path, mode="r"))())
    return next(node for node in nodes if any(isinstance(spec, Label) for spec in node.specs))


@pytest.mark.parametrize("version", FORMATS)
def test_an_image_of_every_version_is_read(tmp_path, version):
    pixels = RNG.integers(0, 4096, (2, 3, 4, 26, 34), dtype=np.uint16)
    path = write(tmp_path / "cells.zarr", pixels, "tczyx", version)
    image = read_image(path, plane=(1, 2))
    np.testing.assert_array_equal(image.pixels, np.moveaxis(pixels[1, :, 2], 0, -1))
    chosen = read_image(path, plane=(1, 2), channels=(2, 0)).pixels
    np.testing.assert_array_equal(chosen, np.moveaxis(pixels[1, [2, 0], 2], 0, -1))
    with pytest.raises(FileFormatError, match=r"a stack of 2 x 4 planes.*\(t, z\)"):
        read_image(path)
    with pytest.raises(SettingsError, match="from 0 to 2"):
        read_image(path, plane=(1, 2), channels=(3,))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_size_of_a_pixel_is_known_in_micrometres(tmp_path, version):
    pixels = np.zeros((10, 20), np.uint8)
    path = write(tmp_path / "a.zarr", pixels, "yx", version, (250.0, 500.0), "nanometer")
    assert read_image(path).pixel_size_um == pytest.approx((0.25, 0.5))


def test_only_what_is_cut_out_is_read(tmp_path):
    pixels = RNG.integers(0, 4096, (3, 200, 300), dtype=np.uint16)
    path = write(tmp_path / "a.zarr", pixels, "cyx")
    layout = {"shape": pixels.shape, "chunks": (1, 64, 64), "dtype": ">u2", "overwrite": True}
    zarr.create_array(path / "0", **layout)[:] = pixels
    for chunk in (path / "0" / "c").glob("*/*/*"):
        if chunk.relative_to(path / "0" / "c").parts not in (("1", "1", "0"), ("2", "1", "0")):
            chunk.write_bytes(b"damaged")
    lazy = open_image(path, channels=(2, 1)).pixels
    part = lazy[70:100, 10:20]
    np.testing.assert_array_equal(part, np.moveaxis(pixels[[2, 1], 70:100, 10:20], 0, -1))
    assert part.dtype == lazy.dtype == np.uint16
    assert (lazy.shape, lazy.ndim, lazy.size) == ((200, 300, 2), 3, 120_000)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_image(path, channels=(2, 1))


@pytest.mark.parametrize(
    "key", [3, (3,), (slice(2, 9), slice(None, None, 3)), (4, 5), (4, slice(1, 5), 1), (1, 2, 0)]
)
def test_lazy_pixels_are_cut_as_an_array_is(tmp_path, key):
    pixels = RNG.integers(0, 255, (2, 3, 26, 34), dtype=np.uint8)
    image = open_ome_zarr(write(tmp_path / "a.zarr", pixels, "tcyx"))
    plane, whole = image.plane((1,)).pixels, np.moveaxis(pixels, 1, -1)
    np.testing.assert_array_equal(plane[key], whole[1][key])
    keys = key if isinstance(key, tuple) else (key,)
    np.testing.assert_array_equal(image.pixels()[(1, *keys)], whole[1][key])
    np.testing.assert_array_equal(np.asarray(image.pixels()), whole)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_field_of_every_well_of_a_plate_is_an_image(tmp_path, version):
    plate = zarr.create_group(tmp_path / "p.zarr", zarr_format=FORMATS[version].zarr_format)
    write_plate_metadata(plate, ["A", "B"], ["1", "2"], ["A/1", "B/2"], fmt=FORMATS[version])
    for well in ("A/1", "B/2"):
        group = plate.create_group(well)
        write_well_metadata(group, ["0", "1"], fmt=FORMATS[version])
        for field in ("0", "1"):
            write(tmp_path / "p.zarr" / well / field, np.zeros((3, 9, 9), np.uint8), "cyx", version)
    fields = find_fields(tmp_path / "p.zarr")
    names = ["p_A_1_0", "p_A_1_1", "p_B_2_0", "p_B_2_1"]
    assert [name_within_zarr(field) for field in fields] == names
    assert find_fields(tmp_path / "p.zarr" / "B" / "2") == fields[2:]
    assert all(read_image(field).pixels.shape == (9, 9, 3) for field in fields)


def test_series_of_bioformats2raw_are_images(tmp_path):
    root = zarr.create_group(tmp_path / "s.zarr", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for series in ("0", "1", "10"):
        write(tmp_path / "s.zarr" / series, np.zeros((9, 9), np.uint8), "yx", "0.4")
    assert [path.name for path in find_fields(tmp_path / "s.zarr")] == ["0", "1", "10"]
    root.create_group("OME").attrs["series"] = ["1"]
    assert [path.name for path in find_fields(tmp_path / "s.zarr")] == ["1"]


def plate(path, attributes):
    zarr.create_group(path, zarr_format=2).attrs.update(attributes)
    return path


def test_what_is_no_image_is_named(tmp_path):
    pixels = np.zeros((9, 9), np.uint8)
    image = write(tmp_path / "a.zarr", pixels, "yx")
    cut = write(tmp_path / "cut.zarr", pixels, "yx")
    (cut / "zarr.json").write_text("{")
    gone = plate(tmp_path / "gone.zarr", {"multiscales": [{"datasets": [{"path": "0"}]}]})
    flat = plate(tmp_path / "flat.zarr", {"multiscales": [{"datasets": [], "axes": ["c", "x"]}]})
    (tmp_path / "empty").mkdir()
    (image / "s0").mkdir()
    for path, message in (
        (image / "s0", "no OME-Zarr"),
        (image / "0", "an array of shape"),
        (cut, "cannot be read"),
        (gone, "cannot be read"),
        (flat, "shows no plane"),
        (tmp_path / "empty", "no OME-Zarr"),
        (plate(tmp_path / "bare.zarr", {}), "no OME-Zarr image"),
    ):
        with pytest.raises(FileFormatError, match=message):
            read_image(path)
    outside = plate(tmp_path / "out.zarr", {"plate": {"wells": [{"path": "../a.zarr"}]}})
    with pytest.raises(FileFormatError, match=r"a part at '\.\./a\.zarr'"):
        find_fields(outside)
    with pytest.raises(FileFormatError, match="KeyError"):
        find_fields(plate(tmp_path / "bad.zarr", {"plate": {}}))


def test_a_plane_too_large_for_memory_is_opened_but_not_read(tmp_path):
    path = write(tmp_path / "a.zarr", np.zeros((4, 4), np.uint8), "yx")
    zarr.create_array(
        path / "0", shape=(200_000, 200_000), chunks=(1024, 1024), dtype="u1", overwrite=True
    )
    lazy = open_image(path).pixels
    assert lazy.shape == (200_000, 200_000)
    assert not lazy[150_000:150_010, 7:9].any()
    with pytest.raises(FileFormatError, match="too large"):
        read_image(path)


def test_a_changed_image_has_another_signature(tmp_path):
    path = write(tmp_path / "a.zarr", np.zeros((9, 9), np.uint8), "yx")
    before = signature(path)
    assert signature(path) == before
    zarr.open_array(path / "0")[:] = 3
    assert signature(path) != before


def write_within(path, labels, name="mobilesam", **more):
    target = path / "labels" / name
    write_annotations(target, labels, format="ome-zarr", within=path, **more)
    return target


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_in_their_image_as_ome_zarr_py_reads_them(tmp_path, version):
    pixels = np.zeros((3, 26, 34), np.uint16)
    path = write(tmp_path / "cells.zarr", pixels, "cyx", version, (0.25, 0.5))
    labels = labels_of((26, 34))
    table = pd.DataFrame({"label": [1, 7, 70_000], "score": [0.9, 0.8, np.nan]})
    target = write_within(path, labels, table=table)
    node = node_of(path)
    np.testing.assert_array_equal(node.data[0].compute(), labels)
    assert [level.shape for level in node.data] == [(26, 34), (13, 17)]
    assert set(node.metadata["color"]) == {1, 7, 70_000}
    assert node.metadata["properties"] == {1: {"score": 0.9}, 7: {"score": 0.8}, 70_000: {}}
    scales = [steps[0]["scale"] for steps in node.metadata["coordinateTransformations"]]
    assert scales == [[0.25, 0.5], [0.5, 1.0]]
    np.testing.assert_array_equal(read_annotations(target, format="ome-zarr"), labels)


@pytest.mark.parametrize("shape", [(26, 34), (1100, 700)])
def test_labels_of_their_own_as_ome_zarr_py_reads_them(tmp_path, shape):
    labels = labels_of(shape)
    path = tmp_path / "cells.labels.ome.zarr"
    write_annotations(path, labels, pixel_size_um=(0.25, 0.5), metadata={"model": "micro"})
    node = node_of(path)
    np.testing.assert_array_equal(node.data[0].compute(), labels)
    assert set(np.unique(node.data[-1].compute())) <= set(np.unique(labels))
    assert max(node.data[-1].shape) <= 256
    assert set(node.metadata["color"]) == {1, 7, 70_000}
    again = labels_of(shape)[::-1]
    write_annotations(path, again)
    np.testing.assert_array_equal(read_annotations(path, plane_shape=shape), again)
    assert [found.name for found in tmp_path.iterdir()] == ["cells.labels.ome.zarr"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_a_stack_are_written_plane_by_plane(tmp_path, version):
    path = write(tmp_path / "a.zarr", np.zeros((2, 3, 4, 26, 34), np.uint8), "tczyx", version)
    labels = labels_of((26, 34))
    write_within(path, labels + 1, plane=(0, 1))
    write_within(path, labels * 2, plane=(1, 3))
    write_within(path, labels, plane=(0, 1))
    node = node_of(path)
    stored = node.data[0].compute()
    assert stored.shape == (2, 4, 26, 34)
    np.testing.assert_array_equal(stored[0, 1], labels)
    np.testing.assert_array_equal(stored[1, 3], labels * 2)
    assert stored.any(axis=(2, 3)).sum() == 2
    assert {1, 2, 7, 14, 70_000, 140_000} <= set(node.metadata["color"])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_another_origin_are_never_replaced(tmp_path, version):
    path = write(tmp_path / "a.zarr", np.zeros((26, 34), np.uint8), "yx", version)
    labels = labels_of((26, 34))
    group = zarr.open_group(path, zarr_format=FORMATS[version].zarr_format)
    write_labels(labels * 3, group, name="theirs", axes="yx", fmt=FORMATS[version])
    with pytest.raises(FileFormatError, match="not of napari-mobilesam"):
        write_within(path, labels, "theirs")
    write_within(path, labels)
    nodes = [node for node in Reader(parse_url(path))() if "color" in node.metadata]
    stored = {node.metadata["name"]: node.data[0].compute() for node in nodes}
    np.testing.assert_array_equal(stored["theirs"], labels * 3)
    np.testing.assert_array_equal(stored["mobilesam"], labels)


def test_a_folder_of_another_origin_is_never_replaced(tmp_path):
    notes = tmp_path / "mine.zarr" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(FileFormatError, match="not of napari-mobilesam"):
        write_annotations(notes.parent, labels_of((26, 34)))
    assert notes.read_text() == "mine"


def test_labels_of_another_shape_are_refused(tmp_path):
    path = write(tmp_path / "a.zarr", np.zeros((26, 34), np.uint8), "yx")
    with pytest.raises(FileFormatError, match="belongs to another image"):
        write_within(path, np.ones((3, 4), int))


def test_the_same_labels_give_the_same_bytes(tmp_path):
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name / "cells.ome.zarr"
        folder.parent.mkdir()
        write_annotations(folder, labels_of((300, 40)))
        files = [path for path in folder.rglob("*") if path.is_file()]
        contents.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert is_zarr(folder)
    assert json.loads((folder / ".zattrs").read_text())["image-label"]["version"] == "0.4"
