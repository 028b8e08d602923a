"""An annotation session, as scripts use it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from napari_mobilesam.core.drawn import BoxPrompt, DrawnPrompt, Mode, PointPrompt
from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.geometry import Window
from napari_mobilesam.core.instances import Instances
from napari_mobilesam.core.masks import MaskBatch
from napari_mobilesam.core.settings import EverythingSettings, FilterSettings
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.everything import Progress
from napari_mobilesam.io.annotations import write_annotations
from napari_mobilesam.session.requests import Request, Step
from napari_mobilesam.session.state import SessionState


class Session(SessionState):
    """Annotates the planes of one image: each method prepares a request, runs and applies it.

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
    """

    def embed(self) -> ImageEmbedding:
        """Embed the current plane, if that is not done yet."""
        if not self.is_embedded():
            self._do(self.prepare_embed())
        return self.embedding

    def set_prompts(self, drawn: Sequence[DrawnPrompt], mode: Mode = "one") -> MaskBatch | None:
        """Draw prompts instead of those that were drawn, and decode them."""
        self.embed()
        self.draw(drawn, mode)
        for prepare in (self.prepare_decode, self.prepare_closer):
            request = prepare()
            if request is not None:
                self._do(request)
        return self.candidates

    def repeat(self, steps: Sequence[Step], mode: Mode) -> None:
        """Draw and decode what was drawn and decoded before, in the windows of then."""
        self.embed()
        for number, step in enumerate(steps):
            self.draw(step.drawn, mode)
            closer = None if number else step.closer
            request = self.prepare_decode() if closer is None else self.prepare_look(closer)
            if request is not None:
                self._do(request)
            self.step_candidate(step.chosen)

    def add_points(
        self, points_yx: ArrayLike, point_labels: ArrayLike | None = None
    ) -> MaskBatch | None:
        """Draw more points (N, 2) as (row, column), positive where their label is 1.

        Raises
        ------
        PromptError
            If there are not as many labels as points.
        """
        points = np.asarray(points_yx, dtype=np.float64).reshape(-1, 2)
        labels = np.ones(len(points)) if point_labels is None else np.ravel(point_labels)
        if len(labels) != len(points):
            raise PromptError(
                "points and labels do not match",
                expected=f"a label for each of {len(points)} points",
                got=f"{len(labels)} labels",
            )
        added = [
            PointPrompt((y, x), bool(label))
            for (y, x), label in zip(points.tolist(), labels, strict=True)
        ]
        return self.set_prompts([*self.drawn, *added], self.mode)

    def add_box(self, box_yxyx: tuple[float, float, float, float]) -> MaskBatch | None:
        """Draw one more half-open box (y0, x0, y1, x1)."""
        return self.set_prompts([*self.drawn, BoxPrompt(box_yxyx)], self.mode)

    def everything(
        self,
        settings: EverythingSettings | None = None,
        *,
        region: Window | None = None,
        progress: Progress | None = None,
        **changes: object,
    ) -> Instances:
        """Find every object; as :meth:`MobileSAM.everything`, on the current plane."""
        self.embed()
        chosen = (settings or self.model.default_settings()).changed(**changes)
        self._do(self.prepare_everything(chosen, region), progress)
        return self._found_here().instances

    def refilter(self, **changes: object) -> Instances:
        """Apply other thresholds, by the names of FilterSettings, to what was found."""
        settings = self._found_here().settings
        current = {name: getattr(settings, name) for name in FilterSettings.model_fields}
        self._do(self.prepare_refilter(FilterSettings().changed(**(current | changes))))
        return self._found_here().instances

    def export(self, path: str | Path, file_format: str | None = None) -> None:
        """Write the labels of the current plane, in the format that the path's ending names."""
        table = self.features.rename(columns={"index": "label"})
        write_annotations(path, self.labels.read(self.key), format=file_format, table=table)
        self.note_saved([self.key])

    def save(self, path: str | Path) -> None:
        """Write what was accepted, and how, to a ``.mobilesam.json`` that can be replayed."""
        from napari_mobilesam.session.session_file import save  # which is made of sessions

        save(self, path)
        self.note_saved()

    def _do(self, request: Request, progress: Progress | None = None) -> None:
        self.apply(request.run(progress or (lambda _done, _total: None)))
