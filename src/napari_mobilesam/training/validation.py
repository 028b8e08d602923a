"""How good an encoder is: mean IoU for a box and for one centre point."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr

from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.evaluation.metrics import mask_iou
from napari_mobilesam.inference.decode import decode_candidates, decode_objects
from napari_mobilesam.inference.encode import embed_plane
from napari_mobilesam.inference.engine import Engine
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.training.synthetic.scene import Scene


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean IoU over objects, and how honest the predicted IoU is.

    Parameters
    ----------
    box : float
        Mask from the object's box.
    point : float
        Mask from one point deep inside, of three candidates the one that the model scores best.
    best_point : float
        The same, of three candidates the best in truth.
    rank_correlation : float
        Spearman's, of predicted with true IoU over the candidates of all points; nan where it is
        not defined.
    objects : int
        How many objects were asked for.
    """

    box: float
    point: float
    best_point: float
    rank_correlation: float
    objects: int


def evaluate_prompts(
    engine: Engine, scenes: Iterable[Scene], input_size: int, objects_per_image: int = 12
) -> Scores:
    """Prompt objects of labelled images and compare the masks at full resolution.

    Parameters
    ----------
    engine : Engine
        Runs the model.
    scenes : iterable of Scene
        Labelled images.
    input_size : int
        Side of the encoder's input, in pixels.
    objects_per_image : int
        Most objects of an image, evenly spaced among its labels.
    """
    box: list[float] = []
    chosen: list[float] = []
    best: list[float] = []
    predicted: list[float] = []
    true: list[float] = []
    for scene in scenes:
        truth = list(_objects(scene, objects_per_image))
        embedding = embed_plane(engine, scene.image, model="", input_size=input_size)
        shape = embedding.plane_shape
        boxes = [Prompts.create(shape, box=_box(mask)) for mask in truth]
        points = [Prompts.create(shape, points=[centre_point(mask)]) for mask in truth]
        masks = decode_objects(engine, embedding, boxes)
        candidates = decode_candidates(engine, embedding, points)
        for i, mask in enumerate(truth):
            box.append(mask_iou(mask, masks.crop(i).to_array(shape)))
            three = [candidates.crop(k).to_array(shape) for k in range(3 * i, 3 * i + 3)]
            iou = [mask_iou(mask, candidate) for candidate in three]
            scores = candidates.scores[3 * i : 3 * i + 3]
            chosen.append(iou[int(np.argmax(scores))])
            best.append(max(iou))
            predicted += scores.tolist()
            true += iou
    correlation = float(spearmanr(predicted, true).statistic) if len(set(true)) > 1 else np.nan
    return Scores(_mean(box), _mean(chosen), _mean(best), correlation, len(box))


def validation_scenes(kind: str, count: int, side: int = 384) -> list[Scene]:
    """Synthetic scenes of a kind that training never draws: their seeds start at 2**31."""
    return [generate(kind, 2**31 + i, (side, side)) for i in range(count)]


def centre_point(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Pixel (row, column) of a mask that is farthest from its border."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), mask.shape)
    return int(row), int(column)


def _objects(scene: Scene, most: int) -> Iterator[NDArray[np.bool_]]:
    for layer in (scene.labels, scene.inner):
        numbers = np.unique(layer)
        numbers = numbers[numbers > 0]
        share = most if layer is scene.labels else -(-most // 3)
        for number in numbers[:: max(1, len(numbers) // share)][:share]:
            yield layer == number


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1
