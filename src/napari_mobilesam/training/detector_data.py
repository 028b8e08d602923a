"""What the detector learns from: labelled images and synthetic scenes, cut into tiles."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.training.fit import Progress, in_order
from napari_mobilesam.training.settings import DetectorDataSettings
from napari_mobilesam.training.synthetic import KINDS, generate
from napari_mobilesam.training.synthetic.scene import without_specks
from napari_mobilesam.training.validation import VALIDATION_SEED, validation_scenes
from napari_mobilesam.training.views import Tile, Tiles

LEAST_SCENE = 160
"""Least side of a synthetic scene in pixels, where tiles are not smaller."""


def gather_tiles(
    sources: Sequence[Sequence[Scene]],
    settings: DetectorDataSettings,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> Tiles:
    """Cut labelled images into tiles and draw synthetic scenes to go with them.

    Parameters
    ----------
    sources : sequence of sequences of Scene
        Labelled images to learn from; may be empty where there are synthetic scenes.
    settings : DetectorDataSettings
        Size of the tiles, and how many synthetic scenes join.
    workers : int
        Processes that draw scenes; 0 draws them in this one.
    progress : callable, optional
        Called with images done and images in all.

    Returns
    -------
    Tiles
        Those of the labelled images, then the synthetic ones; in the memory of the CPU.

    Raises
    ------
    SettingsError
        If there is nothing to learn from.
    """
    total = sum(map(len, sources)) + settings.scenes
    if not total:
        raise SettingsError(
            "there is nothing to learn from", expected="labelled images or synthetic scenes"
        )
    done = iter(range(1, total + 1))
    tiles: list[Tile] = []
    odds: list[float] = []

    def add(scenes: Iterable[Scene], colour_odds: float) -> int:
        before = len(tiles)
        for scene in scenes:
            tiles.extend(cut(scene, settings.tile))
            own = colour_odds if scene.image.ndim == 3 else 1.0
            odds.extend([own] * (len(tiles) - len(odds)))
            if progress is not None:
                progress(next(done), total)
        return len(tiles) - before

    real = sum(add(_all_of(source), settings.colour_odds) for source in sources)
    scenes = TrainingScenes(settings)
    synthetic = add(in_order(scenes, range(len(scenes)), workers), 1.0)
    if real and synthetic:
        share = settings.synthetic_share
        odds[real:] = [share / (1 - share) * sum(odds[:real]) / synthetic] * synthetic
    return Tiles.stack(tiles, odds, settings.tile)


class TrainingScenes(Sequence[Scene]):
    """The synthetic scenes: all kinds in turn, square, up to the size of a tile."""

    def __init__(self, settings: DetectorDataSettings) -> None:
        self._settings = settings

    def __len__(self) -> int:
        return self._settings.scenes

    def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
        """Draw a scene, always the same."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        kinds, tile = list(KINDS), self._settings.tile
        rng = np.random.default_rng([self._settings.data_seed, index])
        side = round(np.exp(rng.uniform(np.log(min(tile, LEAST_SCENE)), np.log(tile))))
        return generate(kinds[index % len(kinds)], int(rng.integers(VALIDATION_SEED)), (side, side))


def held_out_scenes(side: int) -> list[Scene]:
    """Draw a scene of each kind that no detector learns from."""
    return [scene for kind in KINDS for scene in validation_scenes(kind, 1, side)]


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


def _all_of(source: Sequence[Scene]) -> Iterator[Scene]:
    return (source[i] for i in range(len(source)))
