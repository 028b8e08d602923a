"""What other programs' own loaders make of the files: the same masks."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from skimage.draw import disk, polygon2mask

from napari_mobilesam.io.annotations import write_annotations
from napari_mobilesam.models.detector import import_ultralytics

SHAPE = (120, 160)
LEAST_IOU = 0.85
"""Of the masks that ultralytics fills; it fills the pixels that an outline touches, too."""


@pytest.fixture
def labels():
    """Discs, one with a hole and one of two parts."""
    labels = np.zeros(SHAPE, np.int32)
    for number, (row, column) in enumerate([(25, 30), (25, 110), (80, 40), (85, 120)], start=1):
        labels[disk((row, column), 12 + number)] = number
    labels[disk((25, 30), 4)] = 0
    labels[80:100, 70:80] = 3
    return labels


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_coco_as_its_own_loader_reads_it(tmp_path, labels):
    write_annotations(tmp_path / "cells.coco.json", labels, image_name="cells.png")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "cells.coco.json")
    assert coco.loadImgs(coco.getImgIds())[0]["file_name"] == "cells.png"
    annotations = coco.loadAnns(coco.getAnnIds())
    assert [annotation["id"] for annotation in annotations] == [1, 2, 3, 4]
    for annotation in annotations:
        np.testing.assert_array_equal(coco.annToMask(annotation) > 0, labels == annotation["id"])


def test_yolo_as_the_dataset_of_ultralytics_reads_it(tmp_path, labels):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.fromarray((labels * 40).astype(np.uint8)).save(tmp_path / "images" / "cells.png")
    write_annotations(tmp_path / "labels" / "cells.txt", labels, format="yolo")
    import_ultralytics()
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import polygon2mask as filled_by_ultralytics

    names = {"names": {0: "object"}, "channels": 3}
    dataset = YOLODataset(tmp_path / "images", data=names, task="segment", augment=False, imgsz=160)
    read = dataset.get_labels()[0]
    assert read["cls"].ravel().tolist() == [0] * labels.max()
    for number, fractions in enumerate(read["segments"], start=1):
        mask, corners = labels == number, fractions * SHAPE[::-1]
        np.testing.assert_array_equal(polygon2mask(SHAPE, corners[:, ::-1] - 0.5), mask)
        filled = filled_by_ultralytics(SHAPE, [corners.ravel()]) > 0
        assert (mask & filled).sum() / (mask | filled).sum() > LEAST_IOU
