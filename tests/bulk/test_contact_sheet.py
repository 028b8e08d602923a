import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.draw import disk

from napari_mobilesam.bulk.contact_sheet import (
    SIDE,
    TABLE,
    remarks,
    thumbnail_path,
    write_sheet,
    write_thumbnail,
)


def row(name, objects=40, error="", seconds=1.5):
    return {"image": name, "objects": objects, "seconds": seconds, "error": error}


def cards(page):
    """Every figure of a page, as an element."""
    return [ET.fromstring(text) for text in re.findall(r"<figure.*?</figure>", page)]


def test_the_suspicious_ones_come_first_and_say_why(tmp_path):
    names = [f"plain_{number}.tif" for number in range(9)]
    rows = [row(name, 38 + number) for number, name in enumerate(names)]
    rows += [
        row("few.tif", 3),
        row("many.tif", 900),
        row("none.tif", 0),
        row("bad.tif", 0, "no tiff."),
    ]
    page = write_sheet(tmp_path, rows).read_text(encoding="utf-8")
    shown = cards(re.sub(r"(<img[^>]*)>", r"\1/>", page).replace("<br>", "<br/>"))
    order = [card.get("data-name") for card in shown]
    assert order == ["bad", "none", "few", "many", *(name.removesuffix(".tif") for name in names)]
    assert [card.get("class") for card in shown] == ["odd"] * 4 + [""] * 9
    notes = [card.find(".//em").text for card in shown[:4]]
    assert notes[:2] == ["no tiff.", "no objects"]
    assert all("half of the images have 42" in note for note in notes[2:])
    table = pd.read_csv(tmp_path / TABLE)
    assert table["remark"].notna().sum() == 4
    assert table["image"].tolist() == [entry["image"] for entry in rows]


@pytest.mark.parametrize("counts", [[], [0, 0], [7], [10, 10, 10, 10, 10, 11], [1, 2, 3, 2, 1]])
def test_usual_counts_are_not_remarked_on(counts):
    assert set(remarks([row("a", count) for count in counts])) <= {"", "no objects"}


def test_names_cannot_break_the_page(tmp_path):
    name = '<script>alert("&") ä#%.tif'
    labels = np.ones((9, 9), np.int32)
    write_thumbnail(tmp_path, tmp_path / name, np.zeros((9, 9), np.uint8), labels, "dtype", None)
    page = write_sheet(
        tmp_path, [row(str(tmp_path / name), error=""), row("b.tif", 0, "<b> & 'c'")]
    )
    text = page.read_text(encoding="utf-8")
    assert text.count("<script>") == 1
    assert "&lt;b&gt; &amp; &#x27;c&#x27;" in text
    assert "%23%25.jpg" in text


@pytest.mark.parametrize("shape", [(600, 900), (600, 900, 3), (40, 20), (1, 2000)])
def test_a_thumbnail_is_small_and_shows_outlines(tmp_path, shape):
    labels = np.zeros(shape[:2], np.int32)
    if min(labels.shape) > 100:
        labels[disk((300, 450), 200, shape=labels.shape)] = 1
    path = tmp_path / "cells.tif"
    write_thumbnail(tmp_path, path, np.full(shape, 128, np.uint8), labels, "dtype", None)
    with Image.open(thumbnail_path(tmp_path, path)) as image:
        assert max(image.size) == min(SIDE, max(shape[:2]))
        colour = np.ptp(np.asarray(image).astype(int), axis=-1) > 60
    assert colour.any() == labels.any()
    assert thumbnail_path(tmp_path, path).stat().st_size < 40_000


def test_three_thousand_images_make_a_page_of_bounded_size(tmp_path):
    rows = [row(f"/data/experiment/plate_{number:05d}.ome.tif", number) for number in range(3000)]
    assert write_sheet(tmp_path, rows).stat().st_size < 2_000_000
