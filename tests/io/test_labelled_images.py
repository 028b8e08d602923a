import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.labelled_images import LabelledImages

SHAPE = (9, 12)


def labels(number):
    plane = np.zeros(SHAPE, np.uint16)
    plane[1:4, 2:5], plane[5:8, 7:] = number + 1, 300
    return plane


@pytest.fixture
def folder(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for i in range(3):
        Image.fromarray(labels(i) * 2).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(labels(i)).save(tmp_path / "labels" / f"{i}.png")
    (tmp_path / "images" / "unlabelled.png").write_bytes(b"")
    return tmp_path


@pytest.fixture(params=["folder", "zip"])
def images(request, folder, tmp_path_factory):
    if request.param == "folder":
        return LabelledImages(folder)
    path = tmp_path_factory.mktemp("zip") / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return LabelledImages(path)


def test_folder_and_zip_give_the_same_images(images):
    assert images.names == ("0.png", "1.png", "2.png")
    assert len(images) == 3
    for i, scene in enumerate(images):
        np.testing.assert_array_equal(scene.image, labels(i) * 2)
        np.testing.assert_array_equal(scene.labels, labels(i))
        assert scene.labels.dtype == np.int32
        assert not scene.inner.any()


def test_they_can_be_sent_to_another_process(images):
    sent = pickle.loads(pickle.dumps(images))
    assert sent.names == images.names
    np.testing.assert_array_equal(sent[1].labels, images[1].labels)


def test_a_zip_whose_folder_is_a_file_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", b"no folder")
    with pytest.raises(FileFormatError, match="holds no labelled images"):
        LabelledImages(path)


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no labelled images"):
        LabelledImages(tmp_path)
