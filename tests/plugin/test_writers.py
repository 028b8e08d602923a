import numpy as np
import pandas as pd
import pytest

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.annotations import FORMATS, read_annotations
from napari_mobilesam.plugin import writers


@pytest.fixture
def labels():
    plane = np.zeros((20, 30), np.int32)
    plane[2:8, 3:9] = 1
    plane[10:18, 12:25] = 4
    return plane


@pytest.fixture
def meta():
    features = pd.DataFrame({"index": [0, 1, 4], "score": [np.nan, 0.5, 0.75]})
    return {
        "name": "cells",
        "features": features,
        "scale": (1, 0.1, 200),
        "units": ("pixel", "micrometer", "nanometer"),
        "metadata": {},
    }


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_and_masks_come_back(tmp_path, labels, meta, name):
    path = str(tmp_path / f"labels{FORMATS[name].extensions[0]}")
    assert getattr(writers, f"write_{name.replace('-', '_')}")(path, labels, meta) == [path]
    if name == "csv":
        assert pd.read_csv(path)["score"].tolist() == [0.5, 0.75]
    else:
        found = read_annotations(path, format=name, plane_shape=labels.shape)
        assert np.array_equal(found > 0, labels > 0)


def test_a_stack_of_one_plane_is_a_plane(tmp_path, labels, meta):
    path = str(tmp_path / "labels.tif")
    writers.write_tiff(path, labels[np.newaxis], meta)
    assert np.array_equal(read_annotations(path), labels)


def test_a_stack_is_refused_with_a_remedy(tmp_path, labels, meta):
    with pytest.raises(FileFormatError, match="Annotate widget"):
        writers.write_coco(str(tmp_path / "a.coco.json"), np.stack([labels, labels]), meta)


def test_pixel_sizes_are_micrometres_or_unknown(meta):
    assert writers.pixel_size_um(meta["scale"], meta["units"]) == pytest.approx((0.1, 0.2))
    assert writers.pixel_size_um((1, 1), ("pixel", "pixel")) is None
