"""How good masks are that were asked for: mean IoU for a box and for one centre point."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr

from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crop_iou
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.evaluation.sizes import SIZES
from napari_mobilesam.inference.closer import Answer, decode_closer, decode_each
from napari_mobilesam.inference.encode import embed_plane
from napari_mobilesam.inference.engine import Engine


@dataclass(frozen=True, slots=True)
class MeanIou:
    """Mean IoU for a box and for one point; nan where there was nothing to ask for.

    Parameters
    ----------
    box, point, best_point : float
        As in :class:`Scores`.
    count : int
        How many values each mean is taken over.
    """

    box: float
    point: float
    best_point: float
    count: int


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
    by_image : MeanIou
        Means over images of the means over their objects, so that crowded images weigh no more.
    by_size : dict of str to MeanIou
        Means over the objects of each size, by the names of :data:`~.sizes.SIZES`.
    """

    box: float
    point: float
    best_point: float
    rank_correlation: float
    objects: int
    by_image: MeanIou
    by_size: dict[str, MeanIou]

    def as_row(self) -> dict[str, float]:
        """Figures over all objects, as the row of a table."""
        names = ("box", "point", "best_point", "rank_correlation", "objects")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """IoU of the masks of some objects: (N,), and (N, 3) where there are three candidates."""

    areas: NDArray[np.int64]
    box: NDArray[np.float64]
    points: NDArray[np.float64]
    predicted: NDArray[np.float32]

    @property
    def values(self) -> NDArray[np.float64]:
        """IoU for the box, for the point, and for the best candidate of the point: (N, 3)."""
        chosen = self.points[np.arange(len(self.points)), self.predicted.argmax(axis=1)]
        return np.stack([self.box, chosen, self.points.max(axis=1)], axis=1)


def evaluate_prompts(
    engine: Engine,
    scenes: Iterable[Scene],
    input_size: InputSize,
    objects_per_image: int | None = 12,
    *,
    closer: bool = False,
) -> Scores:
    """Prompt objects of labelled images and compare the masks at full resolution.

    Parameters
    ----------
    engine : Engine
        Runs the model.
    scenes : iterable of Scene
        Labelled images.
    input_size : InputSize
        Side of the encoder's input, in pixels.
    objects_per_image : int, optional
        Most objects of an image, evenly spaced among its labels; None for all of them.
    closer : bool
        Whether small objects are looked at again in a window around them, as in a session.
    """
    answers: list[_Answers] = []
    for scene in scenes:
        objects = list(objects_of(scene, objects_per_image))
        if objects:
            answers.append(_ask(engine, scene.image, input_size, objects, closer=closer))
    values = np.concatenate([np.zeros((0, 3)), *(image.values for image in answers)])
    areas = np.concatenate([np.zeros(0), *(image.areas for image in answers)])
    overall = _mean(values)
    return Scores(
        overall.box,
        overall.point,
        overall.best_point,
        _rank_correlation(answers),
        overall.count,
        _mean(np.array([image.values.mean(axis=0) for image in answers]).reshape(-1, 3)),
        {
            size: _mean(values[(areas >= least) & (areas < limit)])
            for size, (least, limit) in SIZES.items()
        },
    )


def objects_of(scene: Scene, most: int | None) -> Iterator[CroppedMask]:
    """Cut objects out of a scene: up to ``most`` whole ones, and inner ones a third as many."""
    yield from _cut(scene.labels, most)
    yield from _cut(scene.inner, None if most is None else -(-most // 3))


def prompt_box(mask: CroppedMask, plane_shape: tuple[int, int]) -> Prompts:
    """Ask for an object by its bounding box."""
    return Prompts.create(plane_shape, box=mask.box)


def prompt_centre(mask: CroppedMask, plane_shape: tuple[int, int]) -> Prompts:
    """Ask for an object by the point farthest from its border."""
    row, column = centre_point(mask.pixels)
    return Prompts.create(plane_shape, points=[(mask.y0 + row, mask.x0 + column)])


def centre_point(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Pixel (row, column) of a mask that is farthest from its border."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), mask.shape)
    return int(row), int(column)


def _ask(
    engine: Engine,
    image: NDArray[np.generic],
    input_size: InputSize,
    objects: list[CroppedMask],
    *,
    closer: bool,
) -> _Answers:
    """Prompt every object of an image by its box and by a point."""
    embed = partial(
        embed_plane, engine, to_rgb8(image), model="", input_size=input_size, limits="dtype"
    )
    embedding = embed()
    decode = (
        partial(decode_closer, embed=lambda window: embed(window=window)) if closer else decode_each
    )
    shape = embedding.plane_shape
    boxes = [prompt_box(mask, shape) for mask in objects]
    centres = [prompt_centre(mask, shape) for mask in objects]
    boxed = decode(engine, embedding, prompts=boxes, multimask=False)
    pointed = decode(engine, embedding, prompts=centres, multimask=True)
    return _Answers(
        np.array([mask.area for mask in objects]),
        _true_iou(objects, boxed)[:, 0],
        _true_iou(objects, pointed),
        np.array([scores for _, scores in pointed], dtype=np.float32),
    )


def _true_iou(objects: list[CroppedMask], found: list[Answer]) -> NDArray[np.float64]:
    """IoU of each object with each of its candidates."""
    return np.array(
        [
            [crop_iou(mask, candidate) for candidate in candidates]
            for mask, (candidates, _) in zip(objects, found, strict=True)
        ]
    )


def _rank_correlation(answers: list[_Answers]) -> float:
    predicted = np.concatenate([[], *(image.predicted.ravel() for image in answers)])
    true = np.concatenate([[], *(image.points.ravel() for image in answers)])
    defined = np.unique(true).size > 1 and np.unique(predicted).size > 1
    return float(spearmanr(predicted, true).statistic) if defined else float("nan")


def _mean(values: NDArray[np.float64]) -> MeanIou:
    """Means of the columns box, point, best point."""
    box, point, best_point = values.mean(axis=0) if len(values) else np.full(3, np.nan)
    return MeanIou(float(box), float(point), float(best_point), len(values))


def _cut(labels: Labels, most: int | None) -> Iterator[CroppedMask]:
    places = ndimage.find_objects(labels)
    numbers = [number for number, place in enumerate(places, start=1) if place is not None]
    if most is not None:
        numbers = numbers[:: max(1, len(numbers) // most)][:most]
    for number in numbers:
        rows, columns = places[number - 1]
        yield CroppedMask(rows.start, columns.start, labels[rows, columns] == number)
