"""What a user says about an object: points, a box, an earlier mask."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.errors import PromptError

MIN_BOX_SIDE = 1e-3

MASK_INPUT_LIMIT = 1e3
"""Logits of a mask input are clipped to this; the networks' own stay far below it."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """The prompts of one object, checked against the plane they were drawn on.

    Build them with :meth:`create`, which validates.

    Parameters
    ----------
    points_yx : (N, 2) float64 array
        Points as (row, column), pixel centres at integers.
    point_labels : (N,) int64 array
        1 where a point lies on the object, 0 where it does not.
    box_yxyx : (4,) float64 array or None
        Half-open box (y0, x0, y1, x1) around the object.
    mask_input : (S/4, S/4) float32 array or None
        Low-resolution logits of an earlier prediction, for input size S.
    """

    points_yx: NDArray[np.float64]
    point_labels: NDArray[np.int64]
    box_yxyx: NDArray[np.float64] | None = None
    mask_input: NDArray[np.float32] | None = None

    @classmethod
    def create(
        cls,
        plane_shape: tuple[int, int],
        *,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
    ) -> "Prompts":
        """Check prompts and bring them into one form.

        Parameters
        ----------
        plane_shape : tuple of int
            Height and width of the plane, in pixels.
        points : (N, 2) array-like, optional
            Points as (row, column).
        point_labels : (N,) array-like, optional
            1 for points on the object, 0 for points beside it; all 1 if not given.
        box : (4,) array-like, optional
            (y0, x0, y1, x1), its corners in any order; it is clipped to the plane.
        mask_input : (S/4, S/4) array-like, optional
            Low-resolution logits of an earlier prediction.

        Raises
        ------
        PromptError
            If there is no prompt at all, a value is not finite, a point or the whole box lies
            outside the plane, a box has no area, or the labels do not match the points.
        """
        points_yx = _check_points(points, plane_shape)
        labels = _check_labels(point_labels, len(points_yx))
        box_yxyx = None if box is None else _check_box(box, plane_shape)
        logits = None if mask_input is None else _check_mask(mask_input)
        if not len(points_yx) and box_yxyx is None and logits is None:
            raise PromptError(
                "there is no prompt",
                expected="at least one point, a box or a mask",
                got="none of them",
                remedy="Say where the object is; to find all objects, use everything mode.",
            )
        return cls(points_yx, labels, box_yxyx, logits)

    @property
    def extent_yxyx(self) -> tuple[float, float, float, float]:
        """Smallest box (y0, x0, y1, x1) around points and box; not finite if there are none."""
        box = () if self.box_yxyx is None else self.box_yxyx
        places = np.concatenate([self.points_yx, np.reshape(box, (-1, 2))])
        (y0, x0), (y1, x1) = (
            places.min(axis=0, initial=np.inf).tolist(),
            places.max(axis=0, initial=-np.inf).tolist(),
        )
        return y0, x0, y1, x1

    def refining(self, low_res_logits: NDArray[np.float32]) -> "Prompts":
        """Return the same prompts, going on from an earlier prediction's logits."""
        return replace(self, mask_input=low_res_logits)


def check_boxes(boxes: ArrayLike, plane_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Check boxes (N, 4), order their corners and clip them to the plane.

    Parameters
    ----------
    boxes : (N, 4) array-like
        Half-open boxes (y0, x0, y1, x1), drawn in any direction.
    plane_shape : tuple of int
        Height and width of the plane, in pixels.

    Returns
    -------
    (N, 4) float64 array
        With y0 < y1 <= H and x0 < x1 <= W.

    Raises
    ------
    PromptError
        If the shape is wrong, a value is not finite, or a box lies outside the plane or has
        no area.
    """
    array = _as_floats(boxes, "the boxes")
    if array.shape in ((0,), (0, 4)):
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise PromptError(
            "these boxes have the wrong shape",
            expected="(N, 4)",
            got=f"shape {array.shape}",
            remedy="Give a list of (y0, x0, y1, x1), for a single box too.",
        )
    corners = np.sort(array.reshape(-1, 2, 2), axis=1)
    clipped = np.clip(corners, 0, plane_shape).reshape(-1, 4)
    too_thin = (clipped[:, 2:] - clipped[:, :2] < MIN_BOX_SIDE).any(axis=1)
    if too_thin.any():
        index = int(too_thin.argmax())
        raise PromptError(
            f"box {index} covers no pixel of the plane",
            expected=f"y0 < y1 and x0 < x1 inside a plane of {plane_shape[0]} x {plane_shape[1]}",
            got=f"(y0, x0, y1, x1) = {tuple(array[index].tolist())}",
            remedy="Rows come first; a box that was drawn as (x0, y0, x1, y1) must be turned.",
        )
    return clipped


def _check_box(box: ArrayLike, plane_shape: tuple[int, int]) -> NDArray[np.float64]:
    array = _as_floats(box, "the box")
    if array.shape != (4,):
        raise PromptError(
            "this box has the wrong shape",
            expected="(4,), that is (y0, x0, y1, x1)",
            got=f"shape {array.shape}",
            remedy="For several boxes, use predict_boxes.",
        )
    checked: NDArray[np.float64] = check_boxes(array[np.newaxis], plane_shape)[0]
    return checked


def _check_points(points: ArrayLike | None, plane_shape: tuple[int, int]) -> NDArray[np.float64]:
    if points is None:
        return np.zeros((0, 2))
    array = _as_floats(points, "the points")
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise PromptError(
            "these points have the wrong shape",
            expected="(N, 2)",
            got=f"shape {array.shape}",
            remedy="Give a list of (row, column), for a single point too.",
        )
    outside = ((array < -0.5) | (array > np.subtract(plane_shape, 0.5))).any(axis=1)
    if outside.any():
        index = int(outside.argmax())
        raise PromptError(
            f"point {index} lies outside the plane",
            expected=f"(row, column) inside {plane_shape[0]} x {plane_shape[1]} pixels",
            got=str(tuple(array[index].tolist())),
            remedy="Rows come first; points that were taken as (x, y) must be turned.",
        )
    return array


def _check_labels(labels: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if labels is None:
        return np.ones(count, dtype=np.int64)
    array = _as_floats(labels, "the point labels").reshape(-1)
    if len(array) != count or not np.isin(array, (0, 1)).all():
        raise PromptError(
            "these point labels do not match the points",
            expected=f"{count} values, 1 (on the object) or 0 (beside it)",
            got=f"{len(array)} values {array.tolist()}",
            remedy="Give one label a point.",
        )
    return array.astype(np.int64)


def _check_mask(mask_input: ArrayLike) -> NDArray[np.float32]:
    array = _as_floats(mask_input, "the mask input")
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise PromptError(
            "the mask input has the wrong shape",
            expected="square low-resolution logits of an earlier prediction",
            got=f"shape {array.shape}",
            remedy="Pass one of its low_res_logits, for example low_res_logits[0].",
        )
    return np.clip(array, -MASK_INPUT_LIMIT, MASK_INPUT_LIMIT).astype(np.float32)


def _as_floats(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f"{name} cannot be read",
            expected="numbers, in rows of equal length",
            got=repr(values)[:80],
            remedy="Give numbers, such as a list of tuples or an array.",
        ) from error
    if not np.isfinite(array).all():
        raise PromptError(
            f"not every value of {name} is finite",
            expected="finite numbers",
            got="NaN or infinite values",
            remedy="Leave out what is not.",
        )
    return array
