"""What was accepted, in order, and how it is taken back without touching anything else."""

from dataclasses import dataclass, replace

import numpy as np

from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.session.journal import Event, Journals
from napari_mobilesam.session.planes import LabelPlace, LabelStore
from napari_mobilesam.session.records import STEPS_KEPT, Accepted


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """An accept, the pixels it changed, and where; without edit once it is too old."""

    number: int
    accepted: Accepted
    edit: LabelEdit | None
    place: LabelPlace

    def holds(self, edit: LabelEdit) -> bool:
        """Whether all pixels of an edit are as it leaves them."""
        pixels = self.place.read(self.accepted.key)[edit.indices]
        return bool((pixels == edit.after).all())

    def write(self, edit: LabelEdit) -> LabelEdit:
        """Apply an edit where nobody has painted over what it starts from; return that part."""
        pixels = self.place.read(self.accepted.key)[edit.indices]
        part = edit.only(np.asarray(pixels == edit.before))
        self.place.write(self.accepted.key, part)
        return part


class History:
    """The log of a session, with undo.

    An accept is taken back pixel by pixel: what was painted by hand since then stays. Labels may
    have a history of their own, as napari's layers have; accepts that were taken back there are
    noticed here.

    Parameters
    ----------
    journals : Journals, optional
        Where all of it is written down.
    """

    def __init__(self, journals: Journals | None = None) -> None:
        self._journals = journals
        self._count = 0
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def log(self) -> tuple[Accepted, ...]:
        """Everything that was accepted and not undone, in order."""
        self._notice()
        return tuple(step.accepted for step in self._done)

    def add(self, accepted: Accepted, edit: LabelEdit, labels: LabelStore) -> None:
        """Write an accept and remember it; what was undone cannot be done again any more."""
        self._notice()  # before its pixels can pass for those of what was undone
        place = labels.write(accepted.key, edit)
        self._append(_Step(self._count, accepted, edit, place))
        self._undone.clear()
        self._record("did", self._done[-1], edit)

    def take_back(
        self, number: int, accepted: Accepted, edit: LabelEdit | None, place: LabelPlace
    ) -> None:
        """Remember an accept of an earlier process, by its number there."""
        self._append(_Step(number, accepted, edit, place))

    def _append(self, step: _Step) -> None:
        self._done.append(step)
        self._count = max(self._count, step.number + 1)
        if len(self._done) > STEPS_KEPT:
            old = self._done[-STEPS_KEPT - 1]
            self._done[-STEPS_KEPT - 1] = replace(old, edit=None)

    def undo(self) -> Accepted | None:
        """Take the last accept back and return it; None if there is none, or it is too old."""
        self._notice()
        if not self._done or self._done[-1].edit is None:
            return None
        step = self._done.pop()
        self._undone.append(step)
        if step.edit is not None:
            self._record("undid", step, step.write(step.edit.inverted()))
        return step.accepted

    def redo(self) -> Accepted | None:
        """Do the last undone accept again and return it; None if there is none."""
        self._notice()
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        if step.edit is not None:
            self._record("redid", step, step.write(step.edit))
        return step.accepted

    def _notice(self) -> None:
        """Follow what the labels' own history has taken back, or done again, at the end."""
        if self._undone and _is(self._undone[-1], done=True):
            self._done.append(self._undone.pop())
            self._record("redid", self._done[-1], None)
        while self._done and _is(self._done[-1], done=False):
            self._undone.append(self._done.pop())
            self._record("undid", self._undone[-1], None)

    def _record(self, event: Event, step: _Step, edit: LabelEdit | None) -> None:
        if self._journals is not None:
            self._journals.record(event, step.number, step.accepted, edit, step.place)


def _is(step: _Step, *, done: bool) -> bool:
    if step.edit is None:
        return False
    return step.holds(step.edit if done else step.edit.inverted())
