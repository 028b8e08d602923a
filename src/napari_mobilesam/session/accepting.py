"""What a session has accepted: written, remembered, undone, restored."""

from collections.abc import Sequence

import pandas as pd
from psygnal import Signal

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.drawn import DrawnPrompt
from napari_mobilesam.core.edits import Taken, Target, plan_accept
from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.field import FieldOfView, check_field
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.session import records
from napari_mobilesam.session.history import History
from napari_mobilesam.session.journal import Journal, Journals
from napari_mobilesam.session.journal_lines import Recorded
from napari_mobilesam.session.planes import LabelPlace, LabelStore, PlaneKey, PlaneSource
from napari_mobilesam.session.records import Accepted, Conditions, FromEverything, FromPrompts


class Accepting:
    """Writes masks of one image into its labels, and knows how each came about.

    Parameters
    ----------
    model, source, labels, journals, field
        As for :class:`~napari_mobilesam.session.state.SessionState`.
    """

    labels_changed = Signal(tuple)

    def __init__(
        self,
        model: MobileSAM,
        source: PlaneSource,
        labels: LabelStore,
        journals: Journals | None = None,
        field: FieldOfView = "auto",
    ) -> None:
        check_field(field)
        self.field = field
        self.model = model
        self.source = source
        self.labels = labels
        self.key: PlaneKey = ()
        self.journals = journals
        if journals is not None:
            journals.watch(source)
        self._history = History(journals)

    @property
    def log(self) -> tuple[Accepted, ...]:
        """Everything that was accepted and not undone, in order."""
        return self._history.log

    @property
    def records(self) -> dict[int, Accepted]:
        """How each accepted label came about."""
        return records.latest(self.log)

    @property
    def features(self) -> pd.DataFrame:
        """One row an accepted label: index, model, source, score, number of prompts, and more."""
        return records.features(self.log)

    def undo(self) -> tuple[int, ...]:
        """Take the last accept back and return its labels, none if there is nothing to take back.

        What was painted by hand since then stays.
        """
        return self._tell(self._history.undo())

    def redo(self) -> tuple[int, ...]:
        """Accept again what was undone and return its labels, none if nothing was."""
        return self._tell(self._history.redo())

    def take_back(self, steps: Sequence[Recorded], place: LabelPlace, journal: Journal) -> None:
        """Go on from what a journal holds, whose labels are in a place already."""
        if self.journals is None:
            journal.close()
        else:
            self.journals.adopt(place, journal)
        for step in steps:
            self._history.take_back(step.number, step.accepted, step.edit, place)
            self.labels_changed.emit(step.accepted.labels)

    def note_saved(self, keys: Sequence[PlaneKey] | None = None) -> None:
        """Note that the labels of planes, or of all, were saved: nobody needs to restore them."""
        if self.journals is not None:
            self.journals.saved(keys)

    def close(self) -> None:
        """Let go of the journals; what was not saved can be restored."""
        if self.journals is not None:
            self.journals.close()

    def recall(self, label: int) -> tuple[DrawnPrompt, ...]:
        """Return the prompts of an accepted label, to be improved.

        Raises
        ------
        PromptError
            If nothing is known about the label.
        """
        if label not in self.records:
            raise PromptError(f"no prompts are remembered for label {label}")
        return self.records[label].drawn_for(label)

    def _write(
        self,
        masks: Sequence[CroppedMask],
        scores: Sequence[float],
        origin: FromPrompts | FromEverything,
        target: Target,
        selected: int,
        taken: Taken,
        next_label: int | None,
        measured: pd.DataFrame | None = None,
    ) -> tuple[int, ...]:
        first = self.labels.max_label() + 1 if next_label is None else next_label
        edit, labels = plan_accept(
            self.labels.read(self.key),
            masks,
            target=target,
            selected=selected,
            taken=taken,
            next_label=first,
        )
        if not any(mask.area for mask in masks):
            raise PromptError(
                "the mask is empty",
                remedy="Move or add a prompt, or step to another candidate.",
            )
        if edit.is_empty:
            raise PromptError(
                "no label would change",
                remedy="What the masks cover is labelled already. Let them take those pixels "
                '(taken pixels: "replace"), or replace the label under them (write as: "replace").',
            )
        accepted = Accepted(
            self.key,
            origin,
            target,
            selected,
            taken,
            first,
            labels,
            tuple(scores),
            Conditions.of(self.model, self.source, self.field),
            measured,
        )
        self._history.add(accepted, edit, self.labels)
        self.labels_changed.emit(labels)
        return labels

    def _tell(self, accepted: Accepted | None) -> tuple[int, ...]:
        if accepted is None:
            return ()
        self.labels_changed.emit(accepted.labels)
        return accepted.labels
