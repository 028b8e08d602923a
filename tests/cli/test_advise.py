import numpy as np
import tifffile
from PIL import Image


def test_the_tile_that_is_proposed_can_be_given_to_segment(run, cells, tmp_path):
    small = np.asarray(Image.open(cells).resize((48, 48)))
    tifffile.imwrite(tmp_path / "many.tif", np.tile(small, (16, 16)))
    code, text = run("advise", tmp_path / "many.tif")
    assert code == 0
    assert "pixels wide" in text
    tile = int(text.split(" --tile ")[1].split()[0])
    assert f"tiles of {tile} pixels" in text


def test_what_cannot_be_read_is_named(run, tmp_path):
    code, text = run("advise", tmp_path / "missing.tif")
    assert code == 1
    assert "no such file" in text
