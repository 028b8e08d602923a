import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import roifile
import shapely
import tifffile
from pycocotools import mask as coco_mask
from shapely.geometry import shape as geometry_of
from skimage.draw import polygon2mask

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.instances import measure
from napari_mobilesam.io.annotations import (
    FORMATS,
    find_format,
    read_annotations,
    write_annotations,
)

READABLE = [name for name, known in FORMATS.items() if known.read]


def ugly_labels():
    """Holes, parts, single pixels, corners that touch, the border, missing numbers."""
    labels = np.zeros((40, 60), dtype=np.int32)
    labels[0:9, 0:12] = 3
    labels[2:6, 3:8] = 0
    labels[3, 4] = 3
    labels[20, 20] = 7
    labels[39, 59] = 8
    labels[30:34, 5:9] = labels[34:38, 9:13] = 20
    labels[10:20, 40:60] = 700
    labels[12:14, 45:50] = 20
    return labels


def table_of(labels):
    table = measure(labels)
    table.insert(1, "score", np.linspace(0.9, 0.5, len(table)))
    return table


def write(tmp_path, name, labels, **more):
    path = tmp_path / f"labels{FORMATS[name].extensions[0]}"
    write_annotations(path, labels, format=name, **more)
    return path


def renumbered(labels):
    return np.searchsorted(np.unique(labels), labels)


@pytest.mark.parametrize("name", READABLE)
def test_round_trip_is_exact(tmp_path, name):
    labels = ugly_labels()
    path = write(tmp_path, name, labels, table=table_of(labels), image_name="cells.tif")
    back = read_annotations(path, plane_shape=labels.shape)
    np.testing.assert_array_equal(back, renumbered(labels) if name == "yolo" else labels)


@pytest.mark.parametrize("name", READABLE)
def test_empty_label_image(tmp_path, name):
    path = write(tmp_path, name, np.zeros((5, 7), dtype=np.uint8))
    back = read_annotations(path, plane_shape=(5, 7))
    np.testing.assert_array_equal(back, np.zeros((5, 7)))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_found_by_its_extensions(name):
    for extension in FORMATS[name].extensions:
        assert find_format(f"Labels{extension.upper()}").name == name


@pytest.mark.parametrize(("top", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_label_tiff_is_as_small_as_it_can_be(tmp_path, top, dtype):
    labels = ugly_labels()
    labels[20, 20] = top
    path = write(tmp_path, "tiff", labels, metadata={"model": "micro"}, pixel_size_um=(0.5, 0.25))
    with tifffile.TiffFile(path) as tif:
        stored = tif.asarray()
        assert tif.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert tif.is_ome
        ome = tifffile.xml2dict(tif.ome_metadata)["OME"]
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, labels)
    pixels = ome["Image"]["Pixels"]
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == (0.5, 0.25)
    assert ome["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]["value"] == "micro"


def test_coco_as_pycocotools_reads_it(tmp_path):
    labels = ugly_labels()
    path = write(tmp_path, "coco", labels, table=table_of(labels), image_name="cells.tif")
    document = json.loads(path.read_text())
    assert document["images"] == [{"id": 1, "file_name": "cells.tif", "height": 40, "width": 60}]
    assert [a["id"] for a in document["annotations"]] == [3, 7, 8, 20, 700]
    assert document["annotations"][0]["score"] == pytest.approx(0.9)
    for annotation in document["annotations"]:
        mask = labels == annotation["id"]
        encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        segmentation = annotation["segmentation"]
        assert segmentation["counts"] == encoded["counts"].decode()
        assert segmentation["size"] == encoded["size"]
        assert annotation["area"] == mask.sum()


def test_coco_polygons_and_plain_counts_are_read(tmp_path):
    document = {
        "images": [{"id": 5, "height": 10, "width": 20}],
        "annotations": [
            {"id": 1, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6], [10, 2, 12, 2, 12, 4, 10, 4]]},
            {"id": 2, "segmentation": {"size": [10, 20], "counts": [195, 5]}},
        ],
    }
    (tmp_path / "other.json").write_text(json.dumps(document))
    labels = read_annotations(tmp_path / "other.json")
    assert np.unique(labels, return_counts=True)[1].tolist() == [175, 20, 5]
    assert (labels[5:, 19] == 2).all()


def test_geojson_as_shapely_reads_it(tmp_path):
    labels = ugly_labels()
    path = write(tmp_path, "geojson", labels, table=table_of(labels))
    features = json.loads(path.read_text())["features"]
    assert [f["properties"]["name"] for f in features] == ["3", "7", "8", "20", "700"]
    assert features[0]["properties"]["measurements"]["score"] == pytest.approx(0.9)
    rows, columns = np.indices(labels.shape) + 0.5
    for feature in features:
        geometry = geometry_of(feature["geometry"])
        assert geometry.is_valid
        inside = shapely.contains_xy(geometry, columns, rows)
        np.testing.assert_array_equal(inside, labels == int(feature["properties"]["name"]))


def test_measurements_that_are_not_finite_are_left_out(tmp_path):
    labels = np.ones((2, 2), dtype=np.int32)
    table = pd.DataFrame({"label": [1], "score": [np.nan], "area": [4]})
    path = write(tmp_path, "geojson", labels, table=table)
    properties = json.loads(path.read_text())["features"][0]["properties"]
    assert properties["measurements"] == {"area": 4.0}


def test_roi_set_as_roifile_reads_it(tmp_path):
    labels = ugly_labels()
    rois = {roi.name: roi for roi in roifile.roiread(write(tmp_path, "roi", labels))}
    assert {name: roi.composite for name, roi in rois.items()} == {
        "3": True,
        "7": False,
        "8": False,
        "20": True,
        "700": True,
    }
    for name, roi in rois.items():
        inside = np.zeros(labels.shape, dtype=bool)
        for ring in roi.coordinates(multi=True):
            inside ^= polygon2mask(labels.shape, ring[:, ::-1] - 0.5)
        np.testing.assert_array_equal(inside, labels == int(name))


def test_ovals_and_rectangles_drawn_in_imagej_are_read(tmp_path):
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=2, top=2, right=12, bottom=12)
    rectangle = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=20, top=0, right=25, bottom=4)
    oval.name, rectangle.name = "nucleus", "background"
    roifile.roiwrite(tmp_path / "drawn.zip", [oval, rectangle])
    labels = read_annotations(tmp_path / "drawn.zip", plane_shape=(20, 30))
    assert np.count_nonzero(labels == 1) == pytest.approx(np.pi * 25, rel=0.1)
    np.testing.assert_array_equal(labels[:4, 20:25], np.full((4, 5), 2))
    assert np.count_nonzero(labels == 2) == 20


def test_points_are_no_masks(tmp_path):
    point = roifile.ImagejRoi.frompoints(np.array([[3, 4]]), name="7")
    point.roitype = roifile.ROI_TYPE.POINT
    roifile.roiwrite(tmp_path / "points.zip", [point])
    with pytest.raises(FileFormatError, match=r"holds more than areas.*'7', a point"):
        read_annotations(tmp_path / "points.zip", plane_shape=(20, 30))


def test_roi_set_refuses_what_imagej_cannot_hold(tmp_path):
    with pytest.raises(FileFormatError, match="32767"):
        write(tmp_path, "roi", np.ones((1, 40_000), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_yolo_lines(tmp_path):
    labels = np.zeros((10, 20), dtype=np.int32)
    labels[5:10, 10:20] = 4
    fields = write(tmp_path, "yolo", labels).read_text().split()
    corners = np.array(fields[1:], dtype=float).reshape(-1, 2)
    assert fields[0] == "0"
    assert {tuple(c) for c in corners} == {(0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)}


def test_csv_is_the_table(tmp_path):
    labels = ugly_labels()
    table = table_of(labels)
    back = pd.read_csv(write(tmp_path, "csv", labels, table=table))
    pd.testing.assert_frame_equal(back, table, check_exact=False, check_like=True)
    measured = pd.read_csv(write(tmp_path, "csv", labels))
    assert measured["area"].tolist() == table["area"].tolist()


def test_csv_has_a_row_for_every_label_whatever_the_table_knows(tmp_path):
    labels = ugly_labels()
    known = pd.DataFrame({"label": [labels.max(), 12_345], "score": [0.5, 0.9]})
    back = pd.read_csv(write(tmp_path, "csv", labels, table=known)).set_index("label")
    assert sorted(back.index) == sorted(np.unique(labels[labels > 0]))
    assert back.loc[labels.max(), "score"] == 0.5
    assert back["score"].notna().sum() == 1
    assert back["area"].gt(0).all()


def test_csv_holds_no_masks(tmp_path):
    path = write(tmp_path, "csv", ugly_labels())
    with pytest.raises(FileFormatError, match="holds no masks"):
        read_annotations(path)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros(5, dtype=int),
        np.zeros((2, 5, 5), dtype=int),
        np.zeros((0, 5), dtype=int),
        np.zeros((5, 5)),
        np.full((5, 5), -1),
        np.full((5, 5), 2**32),
    ],
)
def test_what_is_no_label_image(tmp_path, labels):
    with pytest.raises(FileFormatError, match="no label image"):
        write_annotations(tmp_path / "labels.tif", labels)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write(tmp_path, "roi", np.ones((4, 4), dtype=np.uint8))
    before = path.read_bytes()
    with pytest.raises(FileFormatError):
        write(tmp_path, "roi", np.ones((1, 40_000), dtype=np.uint8))
    assert [path] == list(tmp_path.iterdir())
    assert path.read_bytes() == before


def test_a_rewritten_roi_set_holds_the_new_rois_only(tmp_path):
    write(tmp_path, "roi", np.ones((4, 4), dtype=np.uint8))
    path = write(tmp_path, "roi", np.full((4, 4), 9))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["9.roi"]


def test_missing_folder_is_named(tmp_path):
    path = tmp_path / "no" / "labels.tif"
    with pytest.raises(FileFormatError, match=r"labels\.tif cannot be written"):
        write_annotations(path, np.ones((2, 2), dtype=int))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.coco.json", '{"images": ['),
        ("other.coco.json", '{"a": 1}'),
        ("two.coco.json", '{"images": [{}, {}], "annotations": []}'),
        ("point.geojson", '[{"geometry": {"type": "Point", "coordinates": [1, 2]}}]'),
        ("line.yolo.txt", "0 0.1 0.1 0.2\n"),
        ("words.yolo.txt", "a b c d e f g\n"),
        ("nan.yolo.txt", "0 nan 0 0 0 1 1\n"),
        ("text.roi.zip", "no zip"),
        ("text.tif", "no TIFF"),
        ("missing.geojson", None),
        ("unknown.xyz", ""),
    ],
)
def test_damaged_file_is_named(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(FileFormatError, match=name):
        read_annotations(tmp_path / name, plane_shape=(5, 5))


@pytest.mark.parametrize("name", ["coco", "tiff"])
def test_labels_of_another_image_are_refused(tmp_path, name):
    path = write(tmp_path, name, np.ones((4, 5), dtype=int))
    with pytest.raises(FileFormatError, match="another image: expected one of 9 x 9"):
        read_annotations(path, plane_shape=(9, 9))


@pytest.mark.parametrize("name", ["geojson", "roi", "yolo"])
def test_formats_that_do_not_tell_the_shape_ask_for_it(tmp_path, name):
    path = write(tmp_path, name, np.ones((4, 5), dtype=int))
    with pytest.raises(FileFormatError, match="plane_shape"):
        read_annotations(path)


def test_unknown_format(tmp_path):
    with pytest.raises(FileFormatError, match="there is no format 'svg'"):
        write_annotations(tmp_path / "a.svg", np.ones((2, 2), dtype=int), format="svg")
