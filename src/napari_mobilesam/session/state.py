"""The state of an annotation session: a machine without threads, napari or Qt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.drawn import DrawnPrompt, Mode, combine, usable
from napari_mobilesam.core.edits import Taken, Target
from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.field import FieldOfView, check_field, window_around
from napari_mobilesam.core.geometry import InputFrame, Window
from napari_mobilesam.core.instances import Instances
from napari_mobilesam.core.masks import CroppedMask, MaskBatch
from napari_mobilesam.core.settings import EverythingSettings, FilterSettings
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.session.accepting import Accepting
from napari_mobilesam.session.embeddings import Embeddings
from napari_mobilesam.session.journal import Journals
from napari_mobilesam.session.planes import LabelStore, PlaneKey, PlaneSource
from napari_mobilesam.session.records import FromEverything, FromPrompts
from napari_mobilesam.session.refining import closer_window, continued, steps_to, window_for
from napari_mobilesam.session.requests import (
    Decode,
    Decoded,
    Embed,
    Embedded,
    FindEverything,
    Found,
    Hover,
    Hovered,
    Kind,
    Request,
    Result,
    Revise,
    Step,
    Ticket,
)


class SessionState(Accepting):
    """Annotates the planes of one image, one plane at a time.

    Whatever takes long is a request: ``prepare_...`` makes it, ``request.run(progress)`` may run
    in any thread, and :meth:`apply` takes its result in the session's own, unless it is out of
    date.

    Parameters
    ----------
    model : MobileSAM
        Model to annotate with.
    source : PlaneSource
        The image.
    labels : LabelStore
        Where accepted masks are written.
    journals : Journals, optional
        Where every accept is written down, to be restored after a crash; nowhere if not given.
    field : int, "auto" or "plane"
        How much of the plane the encoder is shown for prompts;
        :data:`~.field.FieldOfView`.
    """

    candidates_changed = Signal()
    found_changed = Signal()

    def __init__(
        self,
        model: MobileSAM,
        source: PlaneSource,
        labels: LabelStore,
        journals: Journals | None = None,
        field: FieldOfView = "auto",
    ) -> None:
        super().__init__(model, source, labels, journals, field)
        self.mode: Mode = "one"
        self.skipped: tuple[str, ...] = ()
        self.hovered: CroppedMask | None = None
        self.candidate_index = 0
        self._embeddings = Embeddings()
        self._drawn: dict[PlaneKey, tuple[DrawnPrompt, ...]] = {}
        self._decoded: Decoded | None = None
        self._found: Found | None = None
        self._revised_boxes: NDArray[np.float64] | None = None
        self._revised_settings: EverythingSettings | None = None
        self._generations: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)

    def use_model(self, model: MobileSAM) -> None:
        """Go on with another model; everything is embedded anew."""
        self.model = model
        self._forget()

    def use_source(self, source: PlaneSource) -> None:
        """Go on with another image, or the same after it has changed."""
        self.source = source
        if self.journals is not None:
            self.journals.watch(source)
        self._forget()

    def use_field(self, field: FieldOfView) -> None:
        """Show the encoder more or less of the plane for prompts from now on."""
        check_field(field)
        if field != self.field:
            self.field = field
            self._begin_decoding()
            self._decoded = self.hovered = None
            self.candidates_changed.emit()

    def go_to(self, key: PlaneKey) -> None:
        """Annotate another plane from now on."""
        if key != self.key:
            self.key = key
            self._leave_plane()
            self._embeddings.use(key)

    def is_embedded(self, key: PlaneKey | None = None) -> bool:
        """Whether prompts on a plane (the current one) can be decoded."""
        return self._embeddings.get(self.key if key is None else key) is not None

    @property
    def embedding(self) -> ImageEmbedding:
        """The embedding of the current plane.

        Raises
        ------
        PromptError
            If it is not embedded.
        """
        embedding = self._embeddings.get(self.key)
        if embedding is None:
            raise PromptError("the plane is not embedded", remedy="Embed it first.")
        return embedding

    @property
    def drawn(self) -> tuple[DrawnPrompt, ...]:
        """What is drawn on the current plane."""
        return self._drawn.get(self.key, ())

    @property
    def candidates(self) -> MaskBatch | None:
        """Masks of what is drawn: of one object the best first, or one mask an object."""
        return None if self._decoded is None else self._decoded.batch

    @property
    def candidate_scores(self) -> tuple[float, ...]:
        """Predicted IoU of one object's candidates, best first; empty for many objects."""
        if self._decoded is None or not self._decoded.is_one_object:
            return ()
        return tuple(self._decoded.batch.scores.tolist())

    @property
    def masks(self) -> tuple[CroppedMask, ...]:
        """The masks that an accept would write: the chosen candidate, or one an object."""
        if self._decoded is None:
            return ()
        if self._decoded.is_one_object:
            return (self._decoded.masks[self.candidate_index],)
        return self._decoded.masks

    @property
    def found(self) -> Instances | None:
        """What everything mode has found on the current plane."""
        return None if self._found is None else self._found.instances

    def prepare_embed(self, key: PlaneKey | None = None) -> Request:
        """Ask for the embedding of a plane, the current one if none is named."""
        generation = self._generations["embed"]
        ticket = Ticket(self.key if key is None else key, "embed", generation)
        return Embed(ticket, self.model, self.source)

    def prepare_decode(self) -> Request | None:
        """Ask for the masks of what is drawn; None, and no masks, if nothing usable is."""
        ticket, shape = self._begin_decoding(), self.embedding.plane_shape
        used, self.skipped = usable(self.drawn, shape)
        before = continued(self._decoded, used, self.mode)
        window = window_for(used, before, shape, self.field)
        steps, refined = steps_to(used, before, window, self.candidate_index)
        request = self._decode(ticket, window, steps, refined, self.mode)
        if request is None:
            self._decoded = None
            self.candidates_changed.emit()
        return request

    def prepare_closer(self) -> Request | None:
        """Ask for the object in hand once more, in a window that shows it larger.

        None if it was seen large enough, or where the encoder takes long or a field was chosen.
        What is decoded next, or another candidate, puts the result out of date.
        """
        decoded = self._decoded
        if decoded is None or not self.model.card.closer or self.field != "auto":
            return None
        window = closer_window(decoded)
        return None if window is None else self._look(window, decoded.steps[-1].drawn)

    def prepare_look(self, window: Window) -> Request | None:
        """Ask for the object that is drawn in a window chosen for it; None if nothing usable is.

        Raises
        ------
        PromptError
            If the window is no part of the plane.
        """
        shape = self.embedding.plane_shape
        if not 0 <= window[0] < window[2] <= shape[0] or not 0 <= window[1] < window[3] <= shape[1]:
            raise PromptError(
                "a window to look at is no part of the plane",
                expected=f"(y0, x0, y1, x1) within {shape}",
                got=repr(window),
            )
        used, self.skipped = usable(self.drawn, shape)
        return self._look(window, used)

    def _look(self, window: Window, used: tuple[DrawnPrompt, ...]) -> Decode | None:
        steps = (Step(used, closer=window),)
        return self._decode(self.ticket("closer"), window, steps, None, "one")

    def _decode(
        self,
        ticket: Ticket,
        window: Window | None,
        steps: tuple[Step, ...],
        refined: NDArray[np.float32] | None,
        mode: Mode,
    ) -> Decode | None:
        frame = self.model.frame(self.embedding.plane_shape, window)
        prompts = combine(steps[-1].drawn, frame, mode)
        if not prompts:
            return None
        view, is_one = self._view(window), mode == "one"
        return Decode(ticket, self.model, self.source, view, prompts, steps, refined, is_one)

    def _begin_decoding(self) -> Ticket:
        """Put what is decoded now out of date, and begin anew."""
        self.ticket("closer")
        return self.ticket("decode")

    def prepare_hover(self, point_yx: tuple[float, float]) -> Request:
        """Ask for the mask under the cursor."""
        extent = (*point_yx, *point_yx)
        window = window_around(extent, self.embedding.plane_shape, self.field)
        ticket, view = self.ticket("hover"), self._view(window)
        return Hover(ticket, self.model, self.source, view, point_yx)

    def prepare_everything(
        self, settings: EverythingSettings | None = None, region: Window | None = None
    ) -> Request:
        """Ask for every object of the plane, or of a window of it."""
        chosen = settings or self.model.default_settings()
        ticket = self.ticket("everything")
        return FindEverything(ticket, self.model, self.source, self.embedding, chosen, region)

    def prepare_redecode(self, boxes_yxyx: NDArray[np.float64]) -> Request:
        """Ask to follow an edit of the proposals, given all of them (N, 4) as they are now."""
        self._revised_boxes = boxes_yxyx
        return self._revise()

    def prepare_refilter(self, settings: FilterSettings) -> Request:
        """Ask for what was found by other thresholds."""
        thresholds = {name: getattr(settings, name) for name in FilterSettings.model_fields}
        self._revised_settings = self._found_here().settings.changed(**thresholds)
        return self._revise()

    def _revise(self) -> Revise:
        """Ask for all changes that no result has followed yet, so that the newest has them all."""
        found = self._found_here()
        return Revise(
            self.ticket("revise"),
            self.model,
            self.source,
            self.embedding,
            found,
            self._revised_boxes,
            self._revised_settings or found.settings,
        )

    def apply(self, result: Result) -> bool:
        """Take a result, unless it is out of date; return whether it was taken for this plane."""
        ticket = result.ticket
        if ticket.generation != self._generations[ticket.kind]:
            return False
        if isinstance(result, Embedded):
            self._embeddings.keep(ticket.key, result.embedding, self.key)
            return ticket.key == self.key
        if isinstance(result, Decoded | Hovered):
            self._embeddings.keep(ticket.key, result.embedding, self.key)
        if isinstance(result, Decoded):
            self._decoded, self.hovered = result, None
            self.candidate_index = result.steps[-1].chosen
            self.candidates_changed.emit()
        elif isinstance(result, Hovered):
            self.hovered = result.mask
        else:
            self._set_found(result)
        return True

    def draw(self, drawn: Sequence[DrawnPrompt], mode: Mode = "one") -> None:
        """Say what is drawn on the current plane; decodes nothing yet."""
        self._drawn[self.key] = tuple(drawn)
        self.mode = mode
        self.hovered = None

    def step_candidate(self, by: int = 1) -> None:
        """Choose the next candidate, or with -1 the one before."""
        if self.candidate_scores:
            self.ticket("closer")
            self.candidate_index = (self.candidate_index + by) % len(self.candidate_scores)
            self.candidates_changed.emit()

    def accept(
        self,
        *,
        target: Target = "next",
        selected: int = 1,
        taken: Taken = "keep",
        next_label: int | None = None,
    ) -> tuple[int, ...]:
        """Write the masks of what is drawn, as one step that can be undone.

        Parameters
        ----------
        target : "next", "selected" or "replace"
            A free label each, the ``selected`` label, or the label under the mask, which the
            mask then replaces.
        selected : int
            The label of target "selected".
        taken : "keep" or "replace"
            What happens to pixels that other labels have.
        next_label : int, optional
            First label that is free; one more than the greatest in use if not given.

        Returns
        -------
        tuple of int
            The labels that were written.

        Raises
        ------
        PromptError
            If there is no mask, or no label would change by it.
        LabelsFullError
            If a label does not fit the type of the labels; nothing is written then.
        """
        if self._decoded is None:
            raise PromptError("there is no mask to accept", remedy="Draw a prompt first.")
        *earlier, last = self._decoded.steps
        steps = (*earlier, replace(last, chosen=self.candidate_index))
        origin = FromPrompts(steps, "one" if self._decoded.is_one_object else "many")
        scores = self._decoded.batch.scores.tolist()
        if self._decoded.is_one_object:
            scores = [scores[self.candidate_index]]
        labels = self._write(self.masks, scores, origin, target, selected, taken, next_label)
        self.clear_prompts()
        return labels

    def accept_everything(
        self,
        *,
        target: Target = "next",
        selected: int = 1,
        taken: Taken = "keep",
        next_label: int | None = None,
    ) -> tuple[int, ...]:
        """Write everything that was found; parameters, result and errors as for :meth:`accept`."""
        found = self._found_here()
        origin = FromEverything(found.settings, found.batches, found.kept, found.region)
        masks, scores = found.instances.masks, found.instances.scores.tolist()
        table = found.instances.table
        labels = self._write(masks, scores, origin, target, selected, taken, next_label, table)
        self._set_found(None)
        return labels

    def discard_found(self) -> None:
        """Forget what everything mode has found."""
        self.ticket("everything")
        self._set_found(None)

    def clear_prompts(self) -> None:
        """Forget what is drawn on the current plane, and its masks."""
        self._drawn.pop(self.key, None)
        self._begin_decoding()
        self._decoded = self.hovered = None
        self.candidates_changed.emit()

    def ticket(self, kind: Kind) -> Ticket:
        """Begin a new generation of a kind of request, for the current plane."""
        self._generations[kind] += 1
        return Ticket(self.key, kind, self._generations[kind])

    def _view(self, window: Window | None) -> ImageEmbedding | InputFrame:
        """Return the embedding of a window, or how it is to be embedded."""
        known = self._embeddings.get(self.key, window)
        return known or self.model.frame(self.embedding.plane_shape, window)

    def _set_found(self, found: Found | None) -> None:
        """Take what was found, with all changes that were asked for until now."""
        self._found = found
        self._revised_boxes = self._revised_settings = None
        self.ticket("revise")
        self.found_changed.emit()

    def _found_here(self) -> Found:
        if self._found is None:
            raise PromptError("nothing was found on this plane", remedy="Run everything first.")
        return self._found

    def _forget(self) -> None:
        self._embeddings.clear()
        self.ticket("embed")
        self._leave_plane()

    def _leave_plane(self) -> None:
        stale: tuple[Kind, ...] = ("decode", "closer", "hover", "everything", "revise")
        for kind in stale:
            self.ticket(kind)
        self._decoded = self._found = self.hovered = None
        self._revised_boxes = self._revised_settings = None
        self.candidate_index = 0
