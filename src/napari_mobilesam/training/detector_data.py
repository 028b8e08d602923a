"""What the detector learns from: a folder of tiles in the layout that ultralytics reads.

``images/{train,val}/*.png`` and, of the same names, ``labels/{train,val}/*.txt`` with a polygon
for every object; of these, boxes and masks are made as they are needed.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.io.objects import split
from napari_mobilesam.io.outlines import Ring, join, outline, rings
from napari_mobilesam.training.settings import DetectorDataSettings
from napari_mobilesam.training.synthetic import KINDS, generate
from napari_mobilesam.training.synthetic.scene import without_specks

SUMMARY = "dataset.json"
"""Written last: says that the folder is complete, and what is in it."""

LEAST_SCENE = 128
"""Least side of a synthetic scene in pixels, where tiles are not smaller."""

VALIDATION_SEED = 2**31
"""Scenes to learn from have seeds below."""


def write_detector_dataset(
    sources: Sequence[Sequence[Scene]],
    validation: Sequence[Scene],
    folder: Path,
    settings: DetectorDataSettings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write labelled images and synthetic scenes as tiles, unless that has been done.

    Parameters
    ----------
    sources : sequence of sequences of Scene
        Labelled images to learn from; may be empty where there are synthetic scenes.
    validation : sequence of Scene
        Labelled images to choose the best detector by. One synthetic scene of each kind, which
        is not learned from, joins them.
    folder : Path
        Where to write; made if need be.
    settings : DetectorDataSettings
        Size of the tiles, and how many synthetic scenes join.
    progress : callable, optional
        Called with images done and images in all.

    Returns
    -------
    Path
        The summary ``dataset.json``: settings, number of images, tiles and objects, and the share
        of tiles that are synthetic.

    Raises
    ------
    SettingsError
        If there is nothing to learn from, or the folder holds a data set of other settings.
    """
    count = sum(map(len, sources))
    if count + settings.scenes == 0:
        raise SettingsError(
            "there is nothing to learn from", expected="labelled images or synthetic scenes"
        )
    contents: dict[str, object] = {
        "settings": settings.model_dump(),
        "images": {"train": count, "val": len(validation)},
    }
    summary = folder / SUMMARY
    if summary.exists():
        _check_same(folder, contents)
        return summary

    total = count + settings.scenes + len(validation) + len(KINDS)
    done = iter(range(1, total + 1))

    def written(scenes: Iterable[Scene], part: str, origin: str) -> dict[str, int]:
        tiles, objects = 0, 0
        for i, scene in enumerate(scenes):
            for j, (rgb, layers) in enumerate(cut(scene, settings.tile)):
                objects += _write_tile(folder, part, f"{origin}_{i:05}_{j:03}", rgb, layers)
                tiles += 1
            if progress is not None:
                progress(next(done), total)
        return {"tiles": tiles, "objects": objects}

    for part, real, synthetic in (
        ("train", chain.from_iterable(sources), training_scenes(settings)),
        ("val", validation, _held_out_scenes(settings)),
    ):
        counts = {
            "real": written(real, part, "real"),
            "synthetic": written(synthetic, part, "synthetic"),
        }
        tiles = [counts[origin]["tiles"] for origin in ("real", "synthetic")]
        contents[part] = counts | {"synthetic_share": tiles[1] / max(1, sum(tiles))}
    with replacing(summary) as draft:
        draft.write_text(json.dumps(contents, indent=2))
    return summary


def training_scenes(settings: DetectorDataSettings) -> Iterator[Scene]:
    """Draw the synthetic scenes: all kinds in turn, square, up to the size of a tile."""
    kinds = list(KINDS)
    least = np.log(min(settings.tile, LEAST_SCENE))
    for i in range(settings.scenes):
        rng = np.random.default_rng([settings.data_seed, i])
        side = round(np.exp(rng.uniform(least, np.log(settings.tile))))
        yield generate(kinds[i % len(kinds)], int(rng.integers(VALIDATION_SEED)), (side, side))


def cut(scene: Scene, limit: int) -> Iterator[tuple[NDArray[np.uint8], list[Labels]]]:
    """Cut a scene into tiles of at most ``limit`` pixels a side, as equal as can be.

    Yields the tile as 8-bit RGB, stretched as the whole image is, and both layers of its labels,
    without the specks that a cut leaves of objects.
    """
    rgb = to_rgb8(scene.image)
    height, width = scene.labels.shape
    for rows in _spans(height, limit):
        for cols in _spans(width, limit):
            layers = [without_specks(layer[rows, cols]) for layer in (scene.labels, scene.inner)]
            yield rgb[rows, cols], layers


def _spans(length: int, limit: int) -> list[slice]:
    edges = np.linspace(0, length, -(-length // limit) + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _held_out_scenes(settings: DetectorDataSettings) -> Iterator[Scene]:
    return (generate(kind, VALIDATION_SEED, (settings.tile, settings.tile)) for kind in KINDS)


def _write_tile(
    folder: Path, part: str, name: str, rgb: NDArray[np.uint8], layers: list[Labels]
) -> int:
    """Write one image and its objects; returns how many those are."""
    image = folder / "images" / part / f"{name}.png"
    labels = folder / "labels" / part / f"{name}.txt"
    for path in (image, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(image, compress_level=1)
    size = rgb.shape[1::-1]
    lines = [_line(polygon / size) for layer in layers for polygon in _polygons(layer)]
    labels.write_text("".join(lines), encoding="ascii")
    return len(lines)


def _polygons(labels: Labels) -> Iterator[Ring]:
    return (join(rings(outline(mask)))[:-1] for _, mask in split(labels.astype(np.int64)))


def _line(polygon: Ring) -> str:
    """State an object's class, of which there is one, and its polygon in fractions of the image."""
    return " ".join(["0", *(f"{value:.6g}" for value in polygon.ravel())]) + "\n"


def _check_same(folder: Path, contents: dict[str, object]) -> None:
    found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    if any(found.get(name) != value for name, value in contents.items()):
        raise SettingsError(
            f"{folder} holds another data set",
            expected=json.dumps(contents),
            got=json.dumps({name: found.get(name) for name in contents}),
            remedy="Choose an empty folder to start anew.",
        )
