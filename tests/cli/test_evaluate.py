import json

import numpy as np
from PIL import Image


def test_figures_are_shown_and_written(run, cells, tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    grey = np.asarray(Image.open(cells))
    Image.fromarray(grey).save(tmp_path / "images" / "a.png")
    Image.fromarray((grey > grey.mean()).astype(np.uint16)).save(tmp_path / "labels" / "a.png")
    out = tmp_path / "out"
    code, text = run("evaluate", tmp_path, "--input-size", 256, "--baseline", "otsu", "-o", out)
    assert code == 0
    assert "AP at IoU 0.5" in text
    assert "Otsu and watershed" in text
    assert json.loads((out / "evaluation.json").read_text())["images"] == 1
    assert {path.suffix for path in out.iterdir()} == {".json", ".md", ".png"}


def test_what_cannot_be_evaluated_is_said(run, tmp_path):
    code, text = run("evaluate", tmp_path)
    assert code == 1
    assert "images/ID.png" in text
    assert run("evaluate", tmp_path, "--model", "no_such")[0] == 2
