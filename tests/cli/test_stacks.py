import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.draw import disk

from napari_mobilesam.io.stacks import FileStack, write_label_stack

SMALL = "--input-size", 256, "--device", "cpu"


@pytest.fixture
def movie(tmp_path):
    """Two discs that move over four moments, as a TIFF."""
    frames = np.random.default_rng(0).normal(40, 4, (4, 120, 120))
    for t, frame in enumerate(frames):
        frame[disk((30, 30 + 5 * t), 14)] += 150
        frame[disk((85, 80 - 5 * t), 14)] += 150
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, frames.clip(0, 255).astype(np.uint8), ome=True, metadata={"axes": "TYX"})
    return path


def test_a_series_is_labelled_and_tracked(run, movie, tmp_path):
    code, text = run("segment", movie, "--stack", "-o", tmp_path / "out", *SMALL)
    assert (code, "movie.tif 2" in text) == (0, True)
    labels = tifffile.imread(tmp_path / "out" / "movie.labels.tif")
    assert labels.shape == (4, 120, 120)
    assert [labels[t, 30, 30 + 5 * t] for t in range(4)] == [labels[0, 30, 30]] * 4
    assert labels[0, 30, 30] > 0
    table = pd.read_csv(tmp_path / "out" / "movie.labels.csv")
    assert table["planes"].tolist() == [4, 4]
    tracks = pd.read_csv(tmp_path / "out" / "movie.tracks.csv")
    assert tracks.columns.tolist() == ["label", "plane", "y", "x"]
    assert len(tracks) == 8
    code, text = run("segment", movie, "--stack", "-o", tmp_path / "out", *SMALL)
    assert (code, "done before" in text) == (0, True)


def test_a_single_plane_is_no_stack(run, cells, tmp_path):
    code, text = run("segment", cells, "--stack", "-o", tmp_path / "out", *SMALL)
    assert code == 1
    assert "is no stack" in text


@pytest.mark.parametrize(
    "options", [("--stack", "--points", "1,1"), ("--stack", "--plane", "0"), ("--max-gap", "2")]
)
def test_what_does_not_go_together_is_refused(run, movie, tmp_path, options):
    assert run("segment", movie, "-o", tmp_path / "out", *options)[0] == 2


def test_label_stacks_come_back(tmp_path):
    labels = np.arange(2 * 3 * 4).reshape(2, 3, 4) * 5000
    write_label_stack(tmp_path / "labels.tif", labels, "T")
    stack = FileStack(tmp_path / "labels.tif")
    assert (stack.axis_name, len(stack), stack.plane_shape) == ("T", 2, (3, 4))
    np.testing.assert_array_equal(stack[1], labels[1])
