"""Follow one object through a stack or a time series: the last mask prompts the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.bulk.planes import Stack, StackPlanes, shared_limits
from napari_mobilesam.core.drawn import BoxPrompt, MaskPrompt, combine
from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.linking import Chain, within
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crop_iou
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.settings import FollowSettings, Limits
from napari_mobilesam.inference.encode import ImageEmbedding

ROUNDS = 2
"""Times that a mask is decoded from the box of the one before, so that it fits its own plane."""

Direction = Literal["forwards", "backwards", "both"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """An object on one plane.

    Parameters
    ----------
    plane : int
        Which plane.
    mask : CroppedMask
        The object there.
    score : float
        Predicted IoU.
    box : BoxPrompt or None
        What the mask was decoded from, to one mask; None on the plane that following began on.
    """

    plane: int
    mask: CroppedMask
    score: float
    box: BoxPrompt | None


@dataclass(frozen=True, slots=True, eq=False)
class FollowedObject:
    """An object on all planes that it was followed through.

    Parameters
    ----------
    by_plane : dict of int to Followed
        Mask and score on each plane, planes ascending.
    count : int
        Planes of the stack.
    plane_shape : tuple of int
        Height and width of a plane.
    axis : int
        Of the planes, in the stack.
    """

    by_plane: dict[int, Followed]
    count: int
    plane_shape: tuple[int, int]
    axis: int

    def __len__(self) -> int:
        return len(self.by_plane)

    @property
    def planes(self) -> tuple[int, ...]:
        """Planes that the object is on."""
        return tuple(self.by_plane)

    def corrected(self, other: FollowedObject) -> FollowedObject:
        """Take what another following of the object says about its planes, and keep the rest."""
        return replace(self, by_plane=dict(sorted((self.by_plane | other.by_plane).items())))

    def without(self, planes: Iterable[int]) -> FollowedObject:
        """Leave planes out, such as those beyond a mistake."""
        dropped = set(planes)
        kept = {plane: step for plane, step in self.by_plane.items() if plane not in dropped}
        return replace(self, by_plane=kept)

    def to_array(self) -> NDArray[np.bool_]:
        """Mask of the stack's shape, without its channels."""
        full = np.zeros((self.count, *self.plane_shape), dtype=bool)
        for plane, step in self.by_plane.items():
            full[plane][step.mask.window] = step.mask.pixels
        return np.moveaxis(full, 0, self.axis)


def follow_planes(
    sam: MobileSAM,
    embed: Callable[[int], ImageEmbedding],
    mask: CroppedMask,
    planes: Sequence[int],
    settings: FollowSettings,
) -> Iterator[Followed]:
    """Follow an object from plane to plane until it is lost.

    The mask of the plane before, moved on as the object has moved until then, is prompt for a
    first guess; the box of that guess is prompt for the mask, and the box of that once more. A mask
    that prompts its neighbour directly lags behind an object that grows or shrinks.

    Parameters
    ----------
    sam : MobileSAM
        The model.
    embed : callable
        Gives the embedding of a plane.
    mask : CroppedMask
        The object on the plane ``planes[0]``, not empty.
    planes : sequence of int
        Planes to go through, in this order, the known one first.
    settings : FollowSettings
        When it counts as lost.

    Yields
    ------
    Followed
        One plane after the other, without the first.
    """
    chain, best = Chain(mask), 0.0
    chain.add(0, 0, mask)
    for step, plane in enumerate(planes[1:], start=1):
        embedding = embed(plane)
        expected = within(chain.expected(step, motion=True), embedding.plane_shape)
        found = _look(sam, embedding, expected, plane)
        if found is None or _is_lost(found, chain.last, expected, best, settings):
            return
        best = max(best, found.score)
        chain.add(step, 0, found.mask)
        yield found


def follow_ways(
    sam: MobileSAM,
    embed: Callable[[int], ImageEmbedding],
    mask: CroppedMask,
    ways: Sequence[Sequence[int]],
    settings: FollowSettings,
    progress: Progress | None = None,
) -> Iterator[Followed]:
    """Follow an object along several ways, and report how many planes are done.

    Parameters and results are those of :func:`follow_planes`; ``ways`` are as :func:`ways_from`
    gives them.
    """
    report = progress or (lambda _done, _total: None)
    total, done = sum(len(way) - 1 for way in ways), 0
    for way in ways:
        report(done, total)
        for passed, step in enumerate(follow_planes(sam, embed, mask, way, settings), start=1):
            yield step
            report(done + passed, total)
        done += len(way) - 1
    report(total, total)


def ways_from(plane: int, count: int, direction: Direction, most: int) -> list[list[int]]:
    """Planes to go through each way, the known one first, with ``most`` others at the most."""
    forwards = list(range(plane, min(count, plane + most + 1)))
    backwards = list(range(plane, max(-1, plane - most - 1), -1))
    ways = {"forwards": [forwards], "backwards": [backwards], "both": [forwards, backwards]}
    return [way for way in ways[direction] if len(way) > 1]


def _prompted(sam: MobileSAM, embedding: ImageEmbedding, plane: int, prompts: Prompts) -> Followed:
    batch = sam.predict_objects(embedding, [prompts], multimask=prompts.box_yxyx is None)
    best = int(np.argmax(batch.scores))
    return Followed(plane, batch.crop(best), float(batch.scores[best]), None)


def _given(mask: ArrayLike, plane: int, plane_shape: tuple[int, int]) -> Followed:
    pixels = np.asarray(mask) != 0
    if pixels.shape != plane_shape:
        raise PromptError(
            "the mask does not have the size of a plane",
            expected=f"{plane_shape[0]} x {plane_shape[1]} pixels",
            got=f"shape {pixels.shape}",
        )
    return Followed(plane, CroppedMask(0, 0, pixels).trim(), 1.0, None)


def _look(
    sam: MobileSAM, embedding: ImageEmbedding, expected: CroppedMask, plane: int
) -> Followed | None:
    """Find an object on a plane, given about where it is; None if there is nothing."""
    guess = _guess(sam, embedding, expected) if expected.area else None
    if guess is None:
        return None
    mask = guess
    for _ in range(ROUNDS):
        box = BoxPrompt(mask.box)
        (prompts,) = combine((box,), embedding.frame, "many")
        batch = sam.predict_objects(embedding, [prompts])
        mask = batch.crop(0)
        if not mask.area:
            return None
    return Followed(plane, mask, float(batch.scores[0]), box)


def _guess(sam: MobileSAM, embedding: ImageEmbedding, expected: CroppedMask) -> CroppedMask | None:
    """Of three candidates, the one with the greatest product of agreement and predicted IoU."""
    (prompts,) = combine((MaskPrompt(expected),), embedding.frame, "one")
    batch = sam.predict_objects(embedding, [prompts], multimask=True)
    masks = list(batch.crops())
    agreement = np.array([crop_iou(mask, expected) for mask in masks])
    chosen = int(np.argmax(agreement * batch.scores))
    return masks[chosen] if agreement[chosen] else None


def _is_lost(
    found: Followed,
    before: CroppedMask,
    expected: CroppedMask,
    best: float,
    settings: FollowSettings,
) -> bool:
    growth = found.mask.area / before.area
    return (
        crop_iou(found.mask, expected) < settings.follow_iou
        or found.score < settings.follow_score * best
        or not 1 / settings.max_growth <= growth <= settings.max_growth
    )


def follow(
    stack: Stack,
    plane: int,
    *,
    points: ArrayLike | None = None,
    point_labels: ArrayLike | None = None,
    box: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    direction: Direction = "both",
    axis: int = 0,
    model: str | MobileSAM = "micro",
    settings: FollowSettings | None = None,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    progress: Progress | None = None,
    **changes: object,
) -> FollowedObject:
    """Follow one object through a stack or a time series.

    On its first plane the object is told by points, by a box, or by its mask; on each further one
    the last mask is the prompt. It ends where the object is lost.

    To correct it, go on from the plane where it went wrong, with a mask or prompts for that plane,
    and put the results together: ``found.corrected(follow(stack, 12, box=..., direction=...))``.

    Parameters
    ----------
    stack : (P, H, W) or (P, H, W, C) array
        Anything that can be sliced; one plane is in memory at a time.
    plane : int
        Where to begin.
    points, point_labels, box
        Prompts on that plane, as for :meth:`~napari_mobilesam.api.MobileSAM.predict`.
    mask : (H, W) array, optional
        The object on that plane, not 0 where it is, instead of prompts.
    direction : "forwards", "backwards" or "both"
        Which way to go along the axis.
    axis : int
        Where the planes lie one after the other: z or time; 0, 1 or 2.
    model : str or MobileSAM
        Name or path of a model, or a loaded one.
    settings : FollowSettings, optional
        When the object counts as lost.
    limits, channels
        As for :func:`~.stack.segment_stack`.
    progress : callable, optional
        Called with (planes done, planes in all at the most). Raise
        :class:`~napari_mobilesam.core.errors.CancelledError` from it to stop.
    **changes
        Single fields of :class:`FollowSettings` to change.

    Returns
    -------
    FollowedObject
        The masks by plane, the first among them.

    Raises
    ------
    ImageError
        If the array is no stack.
    PromptError
        If there is no such plane, no prompt, an empty mask, or nothing at the prompts.
    SettingsError
        If a parameter is unknown or out of range.
    """
    planes = StackPlanes(stack, axis)
    chosen = (settings or FollowSettings()).changed(**changes)
    sam = model if isinstance(model, MobileSAM) else load_model(model)
    if plane not in range(len(planes)):
        raise PromptError(
            "there is no such plane", expected=f"0 to {len(planes) - 1}", got=str(plane)
        )
    shared = shared_limits(planes, limits)

    def embed(index: int) -> ImageEmbedding:
        return sam.embed(planes[index], limits=shared, channels=channels)

    if mask is None:
        prompts = Prompts.create(
            planes.plane_shape, points=points, point_labels=point_labels, box=box
        )
        start = _prompted(sam, embed(plane), plane, prompts)
    else:
        start = _given(mask, plane, planes.plane_shape)
    if not start.mask.area:
        raise PromptError("there is no object to follow", got="an empty mask")
    ways = ways_from(plane, len(planes), direction, chosen.max_planes)
    found = {plane: start}
    for step in follow_ways(sam, embed, start.mask, ways, chosen, progress):
        found[step.plane] = step
    return FollowedObject(dict(sorted(found.items())), len(planes), planes.plane_shape, axis)
