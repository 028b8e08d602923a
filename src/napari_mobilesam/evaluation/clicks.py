"""Interactive segmentation: how many clicks it takes until a mask is good."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mobilesam.core.geometry import InputSize, Window
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crop_iou
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.evaluation.prompted import centre_point, objects_of
from napari_mobilesam.inference.decode import decode_object
from napari_mobilesam.inference.encode import ImageEmbedding, embed_plane
from napari_mobilesam.inference.engine import Engine


@dataclass(frozen=True, slots=True)
class ClickScores:
    """What clicks achieve, over objects; nan where there was nothing to click on.

    Parameters
    ----------
    clicks : dict of float to float
        Mean number of clicks to each target IoU. An object that never reaches it counts as many
        clicks as were allowed.
    failures : dict of float to float
        Share of the objects that never reach each target.
    iou : tuple of float
        Mean IoU after one click, two clicks, and so on.
    objects : int
        How many objects were clicked on.
    """

    clicks: dict[float, float]
    failures: dict[float, float]
    iou: tuple[float, ...]
    objects: int


def clicks_to_reach(
    engine: Engine,
    scenes: Iterable[Scene],
    input_size: InputSize,
    *,
    targets: Sequence[float] = (0.8, 0.9),
    most: int = 10,
    objects_per_image: int | None = 8,
) -> ClickScores:
    """Click on objects as a patient user would, until their masks are good.

    The number of clicks (NoC) of interactive segmentation, as in RITM (arXiv
    2102.06583): the first click is the object's most interior point; each further one is in the
    middle of the largest wrong region, on the object where it was missed and beside it where
    the mask goes too far. The low-resolution logits of each mask go into the next prediction.

    Parameters
    ----------
    engine : Engine
        Runs the model.
    scenes : iterable of Scene
        Labelled images.
    input_size : InputSize
        Side of the encoder's input, in pixels.
    targets : sequence of float
        IoU to be reached.
    most : int
        Clicks allowed.
    objects_per_image : int, optional
        Most objects of an image, as for :func:`~.prompted.evaluate_prompts`.
    """
    courses: list[list[float]] = []
    for scene in scenes:
        embedding = embed_plane(engine, scene.image, model="", input_size=input_size)
        objects = objects_of(scene, objects_per_image)
        courses += [_click(engine, embedding, mask, most) for mask in objects]
    return _summary(np.array(courses).reshape(-1, most), targets)


def next_click(
    true: CroppedMask, found: CroppedMask, clicked: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], int] | None:
    """Choose the pixel deepest inside a wrong region that has not been clicked on.

    Parameters
    ----------
    true, found : CroppedMask
        An object, and the mask of it so far, which may be empty.
    clicked : sequence of (row, column)
        Pixels of earlier clicks.

    Returns
    -------
    point : (row, column)
    label : int
        1 where the mask misses a part of the object, 0 where it goes too far.

    None if no such pixel is left.
    """
    y0, x0, y1, x1 = _around(true, found)
    truth, mask = (
        CroppedMask(crop.y0 - y0, crop.x0 - x0, crop.pixels).to_array((y1 - y0, x1 - x0))
        for crop in (true, found)
    )
    depth = np.stack([_depth(mask & ~truth), _depth(truth & ~mask)])
    for row, column in clicked:
        if y0 <= row < y1 and x0 <= column < x1:
            depth[:, row - y0, column - x0] = 0
    if not depth.any():
        return None
    label, y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (y0 + int(y), x0 + int(x)), int(label)


def _click(engine: Engine, embedding: ImageEmbedding, true: CroppedMask, most: int) -> list[float]:
    """IoU with an object after each click."""
    row, column = centre_point(true.pixels)
    points, labels = [(true.y0 + row, true.x0 + column)], [1]
    mask_input = None
    course: list[float] = []
    while len(course) < most:
        prompts = Prompts.create(
            embedding.plane_shape, points=points, point_labels=labels, mask_input=mask_input
        )
        found = decode_object(engine, embedding, prompts, multimask=mask_input is None)
        mask_input = found.low_res_logits[0]
        mask = found.crop(0)
        course.append(crop_iou(true, mask))
        click = next_click(true, mask, points)
        if click is None:
            return course + [course[-1]] * (most - len(course))
        points.append(click[0])
        labels.append(click[1])
    return course


def _around(true: CroppedMask, found: CroppedMask) -> Window:
    """Smallest window that holds both masks, of which the second may be empty."""
    boxes = np.array([mask.box for mask in (true, found) if mask.area])
    y0, x0 = boxes[:, :2].min(axis=0).tolist()
    y1, x1 = boxes[:, 2:].max(axis=0).tolist()
    return y0, x0, y1, x1


def _depth(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of every pixel of a region to what is outside it."""
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return depth


def _summary(iou: NDArray[np.float64], targets: Sequence[float]) -> ClickScores:
    """Put together the IoU (objects, clicks)."""
    objects, most = iou.shape
    if not objects:
        nothing = dict.fromkeys(targets, float("nan"))
        return ClickScores(nothing, nothing, (float("nan"),) * most, 0)
    reached = {target: iou >= target for target in targets}
    clicks = {
        target: np.where(good.any(axis=1), good.argmax(axis=1) + 1, most)
        for target, good in reached.items()
    }
    return ClickScores(
        {target: float(count.mean()) for target, count in clicks.items()},
        {target: float(1 - good.any(axis=1).mean()) for target, good in reached.items()},
        tuple(iou.mean(axis=0).tolist()),
        objects,
    )
