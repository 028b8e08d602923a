import pandas as pd
import tifffile
from PIL import Image


def test_demo_finds_three_glands_and_many_nuclei_offline(run, tmp_path):
    code, text = run("demo", "-o", tmp_path)
    assert code == 0
    assert "everything, in the nuclear stain" in text
    glands = tifffile.imread(tmp_path / "tissue.labels.tif")
    assert len({glands[150, 100], glands[400, 318], glands[111, 424]} - {0}) == 3
    nuclei = tifffile.imread(tmp_path / "nuclei.labels.tif")
    assert nuclei.max() > 100
    assert len(pd.read_csv(tmp_path / "nuclei.labels.csv")) == nuclei.max()
    assert f"{nuclei.max()} nuclei" in text
    with Image.open(tmp_path / "overlay.png") as overlay:
        assert overlay.width > 2 * overlay.height * 0.9
