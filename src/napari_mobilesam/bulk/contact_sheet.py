"""What a batch found, to look through: an HTML page of thumbnails, the suspicious ones first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mobilesam.bulk.inputs import result_name
from napari_mobilesam.core.colours import colour_of
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.io.atomic import replacing

if TYPE_CHECKING:
    from napari_mobilesam.bulk.plane import Plane

SHEET, TABLE = "mobilesam-batch.html", "mobilesam-batch.csv"
"""Files in the output folder."""

THUMBNAILS = "mobilesam-thumbnails"
"""Folder beside them, of one JPEG an image."""

SIDE = 320
"""Longest side of a thumbnail, in pixels."""

UNUSUAL = 3.5
"""Robust standard deviations of the logarithm of a count from the median, from which it is odd
(Iglewicz and Hoaglin, 1993)."""

FEWEST = 5
"""Images that a median of counts needs."""

_QUALITY = 80
_COLOURS = 256
_TO_DEVIATION = 1.4826
_LEAST_SPREAD = 0.2
"""In logarithms; else one object more or less were odd among images that are much alike."""

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5rem; background: #12141a; color: #e8e8e8; }
header { display: flex; gap: .5rem; align-items: baseline; flex-wrap: wrap; }
h1 { font-size: 1.1rem; margin: 0 1rem 0 0; }
button { background: #262a33; color: inherit; border: 0; padding: .3rem .7rem; cursor: pointer; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 1rem; }
main { margin-top: 1rem; }
figure { margin: 0; padding: .5rem; background: #1b1e26; }
figure.odd { outline: 2px solid #ff8a70; }
img { width: 100%; display: block; image-rendering: auto; }
b { overflow-wrap: anywhere; }
em { color: #ff8a70; font-style: normal; }
"""

_SCRIPT = """
const main = document.querySelector("main"), cards = [...main.children];
const value = (card, key) => isNaN(card.dataset[key]) ? card.dataset[key] : +card.dataset[key];
for (const button of document.querySelectorAll("button")) button.onclick = () => {
  const key = button.dataset.key, compare = (a, b) => (a > b) - (a < b);
  main.append(...cards.sort((a, b) => compare(value(a, key), value(b, key))));
};
"""


def write_thumbnail(
    folder: Path,
    path: Path,
    pixels: Plane,
    labels: NDArray[np.integer[Any]],
    limits: Limits,
    channels: Sequence[int] | None,
) -> None:
    """Write a small picture of a plane with the outlines of its objects.

    Parameters
    ----------
    folder : Path
        The batch's output folder.
    path : Path
        The image's.
    pixels : (H, W) or (H, W, C) array
        The plane; it may be lazy, and is sampled.
    labels : (H, W) int array
        What was found.
    limits, channels
        As for :func:`~napari_mobilesam.core.planes.to_rgb8`.
    """
    step = max(1, max(labels.shape) // (2 * SIDE))
    rgb = to_rgb8(np.asarray(pixels[::step, ::step]), limits, channels)
    scale = min(1.0, SIDE / max(labels.shape))
    height, width = (max(1, round(side * scale)) for side in labels.shape)
    picture = np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(np.intp)
        for small, large in zip((height, width), labels.shape, strict=True)
    )
    shown = np.asarray(labels)[np.ix_(rows, columns)]
    edge = _inner_edges(shown)
    palette = np.array([colour_of(number) for number in range(_COLOURS)], dtype=np.uint8)
    picture[edge] = palette[shown[edge] % _COLOURS]
    target = thumbnail_path(folder, path)
    target.parent.mkdir(exist_ok=True)
    with replacing(target) as draft:
        Image.fromarray(picture).save(draft, format="JPEG", quality=_QUALITY)


def thumbnail_path(folder: Path, path: Path) -> Path:
    """Where the thumbnail of an image lies."""
    return folder / THUMBNAILS / f"{result_name(path)}.jpg"


def write_sheet(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write the table of a batch and the page that shows it.

    Parameters
    ----------
    folder : Path
        The batch's output folder.
    rows : sequence of mapping
        One an image, with ``image``, ``objects``, ``seconds`` and ``error``.

    Returns
    -------
    Path
        The page. It needs nothing but the folder of thumbnails beside it.

    Raises
    ------
    FileFormatError
        If it cannot be written.
    """
    import pandas as pd

    notes = remarks(rows)
    order = sorted(range(len(rows)), key=lambda i: (_rank(rows[i], notes[i]), i))
    cards = [_card(folder, rows[i], notes[i], place) for place, i in enumerate(order)]
    with replacing(folder / TABLE) as draft:
        pd.DataFrame(rows).assign(remark=notes).to_csv(draft, index=False)
    with replacing(folder / SHEET) as draft:
        draft.write_text(_page(rows, notes, cards), encoding="utf-8")
    return folder / SHEET


def remarks(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Say of each image what makes it suspicious; nothing if nothing does."""
    done = np.array([not row["error"] for row in rows], dtype=bool)
    counts = np.log1p([float(str(row["objects"])) for row in rows])
    known = counts[done & (counts > 0)]
    centre = float(np.median(known)) if known.size else 0.0
    spread = float(np.median(np.abs(known - centre))) if known.size else 0.0
    limit = UNUSUAL * max(_TO_DEVIATION * spread, _LEAST_SPREAD)
    usual = round(float(np.expm1(centre)))
    found = []
    for row, is_done, count in zip(rows, done, counts, strict=True):
        if not is_done:
            found.append(str(row["error"]))
        elif count == 0:
            found.append("no objects")
        elif known.size >= FEWEST and abs(count - centre) > limit:
            found.append(f"unusual number of objects; half of the images have {usual} or more")
        else:
            found.append("")
    return found


def _page(rows: Sequence[Mapping[str, object]], notes: Sequence[str], cards: Sequence[str]) -> str:
    objects = sum(int(str(row["objects"])) for row in rows)
    title = f"{len(rows)} images, {objects} objects, {sum(map(bool, notes))} to look at"
    orders = {"place": "suspicious first", "name": "by name", "objects": "by objects"}
    orders |= {"seconds": "by seconds"}
    buttons = "".join(f'<button data-key="{key}">{text}</button>' for key, text in orders.items())
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style>\n<header><h1>{title}</h1>{buttons}</header>\n<main>\n"
        + "\n".join(cards)
        + f"\n</main>\n<script>{_SCRIPT}</script></html>\n"
    )


def _rank(row: Mapping[str, object], note: str) -> int:
    if row["error"]:
        return 0
    if not row["objects"]:
        return 1
    return 2 if note else 3


def _card(folder: Path, row: Mapping[str, object], note: str, place: int) -> str:
    path = Path(str(row["image"]))
    name = result_name(path)
    thumbnail = thumbnail_path(folder, path)
    seconds = float(str(row["seconds"]))
    picture = ""
    if not row["error"] and thumbnail.is_file():
        source = quote(f"{THUMBNAILS}/{thumbnail.name}")
        picture = f'<img loading="lazy" src="{source}" alt="">'
    return (
        f'<figure class="{"odd" if note else ""}" data-place="{place}" data-name="{escape(name)}" '
        f'data-objects="{row["objects"]}" data-seconds="{seconds:.2f}" '
        f'title="{escape(str(path))}">{picture}<figcaption><b>{escape(name)}</b><br>'
        f"{row['objects']} objects, {seconds:.1f} s<br><em>{escape(note)}</em></figcaption>"
        "</figure>"
    )


def _inner_edges(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Pixels of labels that have a neighbour of another value."""
    padded = np.pad(labels, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.zeros(labels.shape, dtype=bool)
    for neighbour in neighbours:
        differs |= neighbour != inner
    return differs & (labels > 0)
