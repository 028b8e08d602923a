"""What a session lets others compute: frozen requests whose results it applies or drops.

``request.run(progress)`` touches no state and may run in any thread; ``Session.apply`` takes the
result in the session's own. Results of a generation that is past are dropped there.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.drawn import DrawnPrompt
from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.geometry import InputFrame, Window
from napari_mobilesam.core.instances import Candidates, Instances, resolve
from napari_mobilesam.core.masks import CroppedMask, MaskBatch
from napari_mobilesam.core.prompts import Prompts, check_boxes
from napari_mobilesam.core.settings import EverythingSettings
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.everything import Progress
from napari_mobilesam.session.planes import PlaneKey, PlaneSource, shown_plane

Kind = Literal["embed", "decode", "closer", "hover", "everything", "revise"]
"""What goes out of date together."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """For which plane, and in which generation of its kind, something was asked."""

    key: PlaneKey
    kind: Kind
    generation: int


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Prompts that were decoded, and which of the candidates was chosen to go on from.

    ``closer`` is the window in which they were looked at closer, if they were.
    """

    drawn: tuple[DrawnPrompt, ...]
    chosen: int = 0
    closer: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Masks of what is drawn: the candidates of one object, or one mask an object.

    ``embedding`` is what they were decoded in: of a window around them, or of the plane. ``steps``
    are all the prompts that led to them, each refining the chosen mask of the one before; the
    last step is the one decoded here, going on from the logits ``refined``.
    """

    ticket: Ticket
    batch: MaskBatch
    masks: tuple[CroppedMask, ...]
    steps: tuple[Step, ...]
    refined: NDArray[np.float32] | None
    is_one_object: bool
    embedding: ImageEmbedding

    @property
    def window(self) -> Window | None:
        """The part of the plane that they were decoded in; None for all of it."""
        return self.embedding.frame.window


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What everything mode has found, and all that it takes to find it again.

    Parameters
    ----------
    ticket : Ticket
        For which plane.
    instances : Instances
        After filtering.
    pool : Candidates
        All that was ever decoded, in the order of ``batches``.
    batches : tuple of Proposals or None
        Boxes that were decoded together; None stands for the grid of points.
    kept : tuple of int
        Candidates of the pool that were not deleted since.
    settings : EverythingSettings
        Of the run and of the filter.
    region : (y0, x0, y1, x1) or None
        Where the grid was laid.
    """

    ticket: Ticket
    instances: Instances
    pool: Candidates
    batches: tuple[Proposals | None, ...]
    kept: tuple[int, ...]
    settings: EverythingSettings
    region: Window | None


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """An embedded plane."""

    ticket: Ticket
    embedding: ImageEmbedding


@dataclass(frozen=True, slots=True, eq=False)
class Hovered:
    """The mask under the cursor."""

    ticket: Ticket
    mask: CroppedMask
    embedding: ImageEmbedding


Result = Embedded | Decoded | Hovered | Found


class Request(Protocol):
    """Work for any thread."""

    def run(self, progress: Progress) -> Result:
        """Do the work; ``progress`` may raise CancelledError to stop it."""


@dataclass(frozen=True, slots=True, eq=False)
class Embed:
    """Read a plane and embed it."""

    ticket: Ticket
    model: MobileSAM
    source: PlaneSource

    def run(self, progress: Progress) -> Embedded:
        """Do the work; it cannot be stopped half-way."""
        progress(0, 1)
        rgb = shown_plane(self.source, self.ticket.key)
        embedding = self.model.embed(rgb, limits="dtype")
        progress(1, 1)
        return Embedded(self.ticket, embedding)


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """Decode what is drawn, after embedding the window around it if that is new."""

    ticket: Ticket
    model: MobileSAM
    source: PlaneSource
    view: ImageEmbedding | InputFrame
    prompts: tuple[Prompts, ...]
    steps: tuple[Step, ...]
    refined: NDArray[np.float32] | None
    is_one_object: bool

    def run(self, progress: Progress) -> Decoded:
        """Do the work."""
        progress(0, 1)
        embedding = seen_through(self.view, self.model, self.source, self.ticket.key)
        if self.is_one_object:
            (prompts,) = self.prompts
            if self.refined is not None and prompts.mask_input is None:
                prompts = prompts.refining(self.refined)
            batch = self.model.predict(
                embedding,
                points=prompts.points_yx,
                point_labels=prompts.point_labels,
                box=prompts.box_yxyx,
                mask_input=prompts.mask_input,
            )
        else:
            batch = self.model.predict_objects(embedding, self.prompts)
        return Decoded(
            self.ticket,
            batch,
            tuple(batch.crops()),
            self.steps,
            self.refined,
            self.is_one_object,
            embedding,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hover:
    """Decode the point under the cursor."""

    ticket: Ticket
    model: MobileSAM
    source: PlaneSource
    view: ImageEmbedding | InputFrame
    point_yx: tuple[float, float]

    def run(self, progress: Progress) -> Hovered:
        """Do the work."""
        progress(0, 1)
        embedding = seen_through(self.view, self.model, self.source, self.ticket.key)
        batch = self.model.predict(embedding, points=[self.point_yx])
        return Hovered(self.ticket, batch.crop(0), embedding)


@dataclass(frozen=True, slots=True, eq=False)
class FindEverything:
    """Find every object of a plane, or of a region of it."""

    ticket: Ticket
    model: MobileSAM
    source: PlaneSource
    embedding: ImageEmbedding
    settings: EverythingSettings
    region: Window | None

    def run(self, progress: Progress) -> Found:
        """Do the work."""
        rgb = shown_plane(self.source, self.ticket.key)
        pool = self.model.find_candidates(
            rgb, self.embedding, self.settings, region=self.region, progress=progress
        )
        batches = (None,) if self.settings.sampler == "grid" else _batches(pool)
        kept = tuple(range(len(pool)))
        intensity = self.source.plane(self.ticket.key)
        instances = resolve(pool, self.settings, intensity)
        return Found(self.ticket, instances, pool, batches, kept, self.settings, self.region)


@dataclass(frozen=True, slots=True, eq=False)
class Revise:
    """Follow what changed since: decode new proposals, forget lost ones, filter anew.

    Parameters
    ----------
    before : Found
        What was found last.
    boxes_yxyx : (N, 4) float64 array or None
        All proposals as they are now; None if they are as they were.
    settings : EverythingSettings
        With the thresholds of now.
    """

    ticket: Ticket
    model: MobileSAM
    source: PlaneSource
    embedding: ImageEmbedding
    before: Found
    boxes_yxyx: NDArray[np.float64] | None
    settings: EverythingSettings

    def run(self, progress: Progress) -> Found:
        """Do the work; boxes that cover no pixel are left out."""
        progress(0, 1)
        after = replace(self.before, ticket=self.ticket, settings=self.settings)
        if self.boxes_yxyx is not None:
            after = self._follow(after, self.boxes_yxyx, progress)
        return refiltered(after, self.source)

    def _follow(self, found: Found, boxes_yxyx: NDArray[np.float64], progress: Progress) -> Found:
        pool, batches = found.pool, found.batches
        known: dict[tuple[float, ...], deque[int]] = defaultdict(deque)
        for index, box in enumerate(pool.proposals_yxyx):
            known[_box_id(box)].append(index)
        kept, new = [], []
        for box in boxes_yxyx:
            indices = known[_box_id(box)]
            if indices:
                kept.append(indices.popleft())
            elif _covers_pixels(box, pool.plane_shape):
                new.append(box)
        if new:
            batch = Proposals(np.array(new), np.ones(len(new), dtype=np.float32))
            decoded = self.model.decode_boxes(
                self.embedding,
                batch,
                magnified=_magnified(self.settings, self.source, self.ticket.key),
                progress=progress,
            )
            kept += range(len(pool), len(pool) + len(decoded))
            pool, batches = pool.joined(decoded), (*batches, batch)
        return replace(found, pool=pool, batches=batches, kept=tuple(kept))


@dataclass(frozen=True, slots=True, eq=False)
class FindAgain:
    """Repeat what everything mode and edits of its proposals have found before."""

    ticket: Ticket
    model: MobileSAM
    source: PlaneSource
    embedding: ImageEmbedding
    settings: EverythingSettings
    batches: tuple[Proposals | None, ...]
    kept: tuple[int, ...]
    region: Window | None

    def run(self, progress: Progress) -> Found:
        """Do the work, batch by batch as it was done then."""
        pool = empty = Candidates.none(self.embedding.plane_shape)
        for batch in self.batches:
            pool = pool.joined(self._decode(batch, progress))
        if any(index not in range(len(pool)) for index in self.kept):
            raise PromptError(
                "proposals that were accepted are not found again",
                expected=f"numbers below {len(pool)}",
                got=str(max(self.kept)),
            )
        unresolved = resolve(empty)
        found = Found(
            self.ticket, unresolved, pool, self.batches, self.kept, self.settings, self.region
        )
        return refiltered(found, self.source)

    def _decode(self, batch: Proposals | None, progress: Progress) -> Candidates:
        if batch is not None:
            magnified = _magnified(self.settings, self.source, self.ticket.key)
            return self.model.decode_boxes(
                self.embedding, batch, magnified=magnified, progress=progress
            )
        rgb = shown_plane(self.source, self.ticket.key)
        return self.model.find_candidates(
            rgb, self.embedding, self.settings, region=self.region, progress=progress
        )


def seen_through(
    view: ImageEmbedding | InputFrame, model: MobileSAM, source: PlaneSource, key: PlaneKey
) -> ImageEmbedding:
    """Embed what a frame shows of a plane, unless that has been done."""
    if isinstance(view, ImageEmbedding):
        return view
    return model.embed_seen(shown_plane(source, key, view.window), view)


def refiltered(found: Found, source: PlaneSource) -> Found:
    """Resolve the kept candidates anew, by the settings of ``found``."""
    intensity = source.plane(found.ticket.key)
    instances = resolve(found.pool.take(found.kept), found.settings, intensity)
    return replace(found, instances=instances)


def _magnified(
    settings: EverythingSettings, source: PlaneSource, key: PlaneKey
) -> NDArray[np.uint8] | None:
    """Read the plane that small objects are magnified in, if they are."""
    return shown_plane(source, key) if settings.magnify else None


def _batches(pool: Candidates) -> tuple[Proposals, ...]:
    """Boxes as they were decoded together: the detector's, then those of a second look."""
    boxes = Proposals(pool.proposals_yxyx, pool.confidence)
    first = int(np.count_nonzero(pool.confidence > 0))
    if first == len(boxes):
        return (boxes,)
    return boxes[:first], boxes[first:]


def _covers_pixels(box_yxyx: NDArray[np.float64], plane_shape: tuple[int, int]) -> bool:
    try:
        check_boxes([box_yxyx], plane_shape)
    except PromptError:
        return False
    return True


def _box_id(box_yxyx: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(box_yxyx, 3).tolist())
