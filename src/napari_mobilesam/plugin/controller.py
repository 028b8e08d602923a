"""Annotation of one viewer without widgets: which image, which plane, which model, what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from psygnal import Signal

from napari_mobilesam.core.errors import CancelledError, ImageError
from napari_mobilesam.core.responsive import responsiveness
from napari_mobilesam.plugin.accepting import Accepting
from napari_mobilesam.plugin.channels import Channels
from napari_mobilesam.plugin.connections import Connections
from napari_mobilesam.plugin.layers import (
    DisplayedPlane,
    displayed_plane,
    placement_events,
    spatial_shape,
)
from napari_mobilesam.plugin.models import LoadModel
from napari_mobilesam.plugin.preferences import load_preferences, save_preferences
from napari_mobilesam.plugin.prompting import Prompting
from napari_mobilesam.plugin.proposing import Proposing
from napari_mobilesam.plugin.restoring import Restoring
from napari_mobilesam.plugin.target import LayerLabels
from napari_mobilesam.plugin.through import Through
from napari_mobilesam.session.jobs import Jobs

if TYPE_CHECKING:
    from napari_mobilesam.api import MobileSAM
    from napari_mobilesam.session.session import Session

LIVE = ("decode", "closer", "hover")
"""Work that nobody stops by hand: what is drawn next does."""


@dataclass(frozen=True, slots=True, eq=False)
class Here:
    """Where a user works: an image, the plane of it that is shown, and the session on it."""

    image: Image
    plane: DisplayedPlane
    session: Session


class Controller:
    """Binds a viewer to annotation sessions, one an image layer.

    Parameters
    ----------
    viewer : ViewerModel
        With or without a window.
    live_jobs, long_jobs : Jobs
        Workers: one for what a hand on the mouse waits for, one for what takes long.
    later : callable
        Makes a call once what has changed in the viewer is painted; at once if not given.
    """

    image_changed = Signal()
    plane_changed = Signal()
    embedding_changed = Signal()
    preferences_changed = Signal()
    said = Signal(str)
    failed = Signal(str)
    progressed = Signal(str, int, int)
    finished = Signal(str)

    def __init__(
        self,
        viewer: ViewerModel,
        live_jobs: Jobs,
        long_jobs: Jobs,
        later: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.viewer = viewer
        self._later = later or (lambda call: call())
        self._put_off = 0
        self._is_closed = False
        self.live_jobs = live_jobs
        self.long_jobs = long_jobs
        self.preferences = load_preferences()
        self.image: Image | None = None
        self.plane: DisplayedPlane | None = None
        self.pinned = False
        self.model: MobileSAM | None = None
        self._sessions: dict[Image, Session] = {}
        self._targets: dict[Image, LayerLabels] = {}
        self._of_viewer = Connections()
        self._of_image = Connections()
        self.channels: Channels = Channels(self)
        self.prompting: Prompting = Prompting(self)
        self.proposing: Proposing = Proposing(self)
        self.accepting: Accepting = Accepting(self)
        self.through: Through = Through(self)
        self.restoring: Restoring = Restoring(self)
        self.finished.connect(self._rest)
        self._watch_viewer()
        self._follow()

    def close(self) -> None:
        """Stop the workers, leave every event, and take our preview layers away."""
        self._is_closed = True
        self.live_jobs.close()
        self.long_jobs.close()
        self._of_image.clear()
        self._of_viewer.clear()
        self.channels.close()
        self.viewer.mouse_move_callbacks.remove(self._on_mouse_move)
        self.viewer.mouse_drag_callbacks.remove(self._on_mouse_press)
        self.prompting.close()
        self.proposing.close()
        self.restoring.close()
        for session in self._sessions.values():
            session.close()
        responsiveness.leave(self)

    def set_image(self, image: Image | None) -> None:
        """Annotate another image layer, or none."""
        if image is self.image:
            return
        self._of_image.clear()
        self.image, self.plane = image, None
        if image is not None:
            for moved in placement_events(image):
                self._of_image.connect(moved, self._look)
            self._of_image.connect(image.events.data, self._forget_embeddings)
            for shown in (image.events.contrast_limits, image.events.gamma):
                self._of_image.connect(shown, self._forget_displayed)
        self.channels.follow()
        self.image_changed.emit()
        self._look()

    def pin(self, pinned: bool) -> None:
        """Stay with the image, or follow the active layer."""
        self.pinned = pinned
        self._follow()

    def _watch_viewer(self) -> None:
        layers, dims = self.viewer.layers, self.viewer.dims
        self._of_viewer.connect(layers.selection.events.active, self._follow)
        self._of_viewer.connect(layers.events.inserted, self._follow)
        self._of_viewer.connect(layers.events.removed, self._on_removed)
        for event in (dims.events.current_step, dims.events.order, dims.events.ndisplay):
            self._of_viewer.connect(event, self._look)
        self.viewer.mouse_move_callbacks.append(self._on_mouse_move)
        self.viewer.mouse_drag_callbacks.append(self._on_mouse_press)

    def _follow(self, event: Any = None) -> None:  # noqa: ARG002
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        active = self.viewer.layers.selection.active
        if self.image not in images:
            self.set_image(active if active in images else images[-1] if images else None)
        elif not self.pinned and active in images and active not in self.channels.chosen():
            self.set_image(active)

    def _on_mouse_move(self, viewer: ViewerModel, event: Any) -> None:  # noqa: ARG002
        if self.preferences.hover:
            self.prompting.hover(event.position)

    def _on_mouse_press(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Recall the prompts of a label that is clicked, not dragged, in the target layer."""
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        layer = viewer.layers.selection.active
        is_target = isinstance(layer, Labels) and layer is self.target.layer
        if is_target and not dragged and layer.mode in ("pan_zoom", "pick"):
            self.prompting.recall(event.position)

    def _on_removed(self, event: Any) -> None:
        session = self._sessions.pop(event.value, None)
        if session is not None:
            session.close()
        self.restoring.forget(event.value)
        self._targets.pop(event.value, None)
        self.channels.forget(event.value)
        self.prompting.forget(event.value)
        self.proposing.forget(event.value)
        self._follow()

    def _look(self, event: Any = None) -> None:  # noqa: ARG002
        """Find the displayed plane, and show what is known about it."""
        before, self.plane = self.plane, self._displayed_plane()
        if self.plane is not None and self.plane.is_same(before):
            return
        if self.here is not None:
            self.here.session.go_to(self.here.plane.key)
        self.plane_changed.emit()
        self.prompting.update()
        self.proposing.look()
        if self.preferences.auto_embed and self.plane is not None:
            self.embed()

    def _displayed_plane(self) -> DisplayedPlane | None:
        """Find the displayed plane; none of an image that is gone, of which we are told last."""
        if self.image is None or self.image not in self.viewer.layers:
            return None
        try:
            return displayed_plane(self.image, self.viewer.dims)
        except ImageError as error:
            self.said.emit(str(error))
            return None

    @property
    def here(self) -> Here | None:
        """Where the user works; None without an image, a plane of it, or a loaded model."""
        image, plane, model = self.image, self.plane, self.model
        if image is None or plane is None or model is None:
            return None
        if image not in self._sessions:
            from napari_mobilesam.session.session import Session  # torch, now that it is needed

            source, journals = self.channels.source(image), self.accepting.new_journals()
            field = self.preferences.field_of_view
            self._sessions[image] = Session(model, source, self.target, journals, field)
            self._sessions[image].go_to(plane.key)
        return Here(image, plane, self._sessions[image])

    @property
    def target(self) -> LayerLabels:
        """What is written into when masks of the current image are accepted.

        Raises
        ------
        ImageError
            If there is no image.
        """
        if self.image is None:
            raise ImageError("there is no image", remedy="Open one first.")
        if self.image not in self._targets:
            self._targets[self.image] = LayerLabels(self.viewer, self.image)
        return self._targets[self.image]

    def is_ready(self) -> bool:
        """Whether the displayed plane is embedded, so that prompts can be decoded."""
        return self.here is not None and self.here.session.is_embedded()

    def embed(self, then: Callable[[], None] | None = None) -> None:
        """Embed the displayed plane, after loading the model if need be; then call ``then``."""
        image, plane = self.image, self.plane
        if image is None:
            self.failed.emit("There is no plane to embed. Open an image first.")
        elif plane is None:
            self._displayed_plane()  # says why
        elif self.is_ready():
            if then is not None:
                then()
        elif self.prompting.prepare(image, plane):
            self.later(lambda: self._embed_still(image, then))
        elif self.here is None:
            self.load_model(lambda: self._embed_still(image, then))
        else:
            self._embed_plane(self.here, then)

    def _embed_still(self, image: Image, then: Callable[[], None] | None) -> None:
        """Embed as was asked for, unless another image was chosen meanwhile: then, for prompts."""
        if image is self.image:
            self.embed(then)
        else:
            self.prompting.update()

    def load_model(self, then: Callable[[], None]) -> None:
        """Load the model of the preferences, then call ``then``."""
        work = LoadModel.of(self.preferences)
        self.said.emit(f"Loading {work.name} ...")

        def loaded(model: MobileSAM) -> None:
            self.model = model
            for session in self._sessions.values():
                session.use_model(model)
            self.finished.emit("model")
            then()

        self.run("model", work, loaded, self.live_jobs)

    def _embed_plane(self, here: Here, then: Callable[[], None] | None) -> None:
        started, where = perf_counter(), f"{here.image.name} {_position(here.plane)}".strip()
        self.said.emit(f"Embedding {where} ...")

        def embedded() -> None:
            seconds, name = perf_counter() - started, here.session.model.card.name
            self.said.emit(f"{where} is embedded by {name} ({seconds:.1f} s).")
            self.embedding_changed.emit()
            self.prompting.update()
            if then is not None:
                then()
            if self.preferences.auto_embed:
                self._embed_neighbours()

        self.submit("embed", here.session.prepare_embed(), embedded)

    def _embed_neighbours(self) -> None:
        """Embed the planes around the displayed one in advance, the nearest first."""
        here = self.here
        if here is None:
            return
        plane = here.plane
        hidden = [axis for axis in range(len(plane.index)) if axis not in plane.axes]
        if not hidden:
            return
        axis, count = hidden[-1], spatial_shape(here.image)[hidden[-1]]
        for distance in range(1, self.preferences.neighbours + 1):
            for position in (plane.index[axis] + distance, plane.index[axis] - distance):
                key = plane.at(axis, int(position)).key
                if 0 <= position < count and not here.session.is_embedded(key):
                    request = here.session.prepare_embed(key)
                    self.submit(f"embed {key}", request, lambda: None, self.long_jobs)

    def set_preferences(self, **changes: object) -> None:
        """Change preferences, remember them, and act on them.

        Raises
        ------
        SettingsError
            If a name is unknown or a value out of range.
        """
        before, self.preferences = self.preferences, self.preferences.changed(**changes)
        now = self.preferences
        if now == before:
            return
        save_preferences(now)
        if LoadModel.of(before) != LoadModel.of(now):
            self.model = None
            self.embedding_changed.emit()
        if before.appearance != now.appearance:
            self._forget_embeddings()
        for session in self._sessions.values():
            session.use_field(now.field_of_view)
        self.preferences_changed.emit()
        if now.auto_embed and not before.auto_embed and self.plane is not None:
            self.embed(then=self._embed_neighbours)
        self.prompting.update()

    def _forget_displayed(self, event: Any = None) -> None:  # noqa: ARG002
        if self.preferences.appearance == "displayed":
            self._forget_embeddings()

    def _forget_embeddings(self, event: Any = None) -> None:  # noqa: ARG002
        if self.image is not None:
            self.read_anew(self.image)

    def read_anew(self, image: Image) -> None:
        """Read an image anew, after its pixels or how they are looked at have changed."""
        if image in self._sessions:
            self._sessions[image].use_source(self.channels.source(image))
        if image is self.image:
            self.plane = None
            self.embedding_changed.emit()
            self._look()

    def submit(
        self, kind: str, request: Any, then: Callable[[], None], jobs: Jobs | None = None
    ) -> None:
        """Run a request of the current session in a worker, apply its result, go on with that."""
        if self.here is None:
            return
        session = self.here.session

        def apply(result: Any) -> None:
            is_shown = self.here is not None and self.here.session is session
            if session.apply(result) and is_shown:
                then()
            self.finished.emit(kind)

        self.run(kind, request, apply, jobs or self.live_jobs)

    def run(self, kind: str, request: Any, on_result: Callable[[Any], None], jobs: Jobs) -> None:
        """Run any work in a worker and hand its result over; ``finished`` is told of failures."""

        def on_error(error: Exception) -> None:
            self.finished.emit(kind)
            if not isinstance(error, CancelledError):
                self.failed.emit(str(error))
            elif kind not in LIVE:
                self.said.emit("Stopped.")

        def on_progress(done: int, total: int) -> None:
            self.progressed.emit(kind, done, total)

        responsiveness.ask(self)
        self.progressed.emit(kind, 0, 0)
        jobs.submit(kind, request, on_result=on_result, on_error=on_error, on_progress=on_progress)

    def later(self, call: Callable[[], None]) -> None:
        """Make a call once what has changed in the viewer is painted, unless closed by then."""
        self._put_off += 1
        responsiveness.ask(self)

        def unless_closed() -> None:
            self._put_off -= 1
            if not self._is_closed:
                call()
                self._rest()

        self._later(unless_closed)

    def _rest(self, kind: str = "") -> None:  # noqa: ARG002
        """Put nothing off any more once everything is done and painted."""
        self._later(lambda: None if self.busy() else responsiveness.leave(self))

    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._put_off) or self.live_jobs.busy() or self.long_jobs.busy()

    def cancel(self) -> None:
        """Stop loading and embedding."""
        for kind in ("model", "embed"):
            self.live_jobs.cancel(kind)

    def recall_here(self) -> None:
        """Bring the prompts of the object under the cursor back."""
        self.prompting.recall(self.viewer.cursor.position)

    def toggle(self, name: str) -> None:
        """Switch a preference that is on or off."""
        self.set_preferences(**{name: not getattr(self.preferences, name)})

    def toggle_mode(self) -> None:
        """Let prompts describe one object, or one each."""
        self.set_preferences(mode="many" if self.preferences.mode == "one" else "one")


def _position(plane: DisplayedPlane) -> str:
    return " ".join(str(index) for index in plane.key if index >= 0)
