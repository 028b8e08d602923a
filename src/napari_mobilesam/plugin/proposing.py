"""Everything mode of one viewer: proposals as an editable layer, results filtered at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Layer, Shapes
from numpy.typing import NDArray
from psygnal import Signal

from napari_mobilesam.core.errors import MobileSAMError, PromptError
from napari_mobilesam.core.geometry import Window, clip_box
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import FilterSettings
from napari_mobilesam.plugin.connections import Connections
from napari_mobilesam.plugin.layers import DisplayedPlane, add_quietly, affine_of, placement
from napari_mobilesam.plugin.preview import Preview
from napari_mobilesam.plugin.prompt_layers import (
    DATA_IS_NEW,
    box_around,
    outlines_on,
    rectangle,
)
from napari_mobilesam.zoo.catalog import get_card

if TYPE_CHECKING:
    from napari_mobilesam.plugin.controller import Controller, Here
    from napari_mobilesam.session.session import Session

Region = Literal["plane", "view", "shape"]
EDGE_COLOUR = "#ffd166"
FILTERS = tuple(FilterSettings.model_fields)

DRAWN_AT_ONCE = 48
"""Rectangles that napari draws in much less than 100 ms."""


class Proposing:
    """Finds everything on the displayed plane and keeps what was found editable."""

    found_changed = Signal()

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._preview = Preview(controller.viewer, "MobileSAM found")
        self._of_layer = Connections()
        self.settings = get_card(controller.preferences.model).everything
        self.region: Region = "plane"
        self.layer: Shapes | None = None
        self._asked = self.settings
        self._undrawn: NDArray[np.float64] | None = None
        controller.finished.connect(self._on_finished)

    def run(self) -> None:
        """Find everything in the region, after embedding the displayed plane if need be."""
        controller, here = self._controller, self._controller.here
        if here is None or not here.session.is_embedded():
            controller.embed(then=self.run)
            return
        try:
            window = self._window(here)
        except MobileSAMError as error:
            controller.failed.emit(str(error))
            return
        if self._preview.prepare(here.image, here.plane):
            controller.later(self.run)
            return
        self._show_frame(here, window)
        self._asked = self.settings
        controller.later(lambda: self._start(here.session, window))

    def _start(self, session: Session, window: Window | None) -> None:
        here = self._controller.here
        if here is not None and here.session is session and session.is_embedded():
            request = session.prepare_everything(self._asked, window)
            jobs = self._controller.long_jobs
            self._controller.submit("everything", request, self._on_found, jobs)

    def cancel(self) -> None:
        """Stop looking."""
        self._controller.long_jobs.cancel("everything")
        self._remove_proposals()

    def refilter(self) -> None:
        """Apply the thresholds to what was found; nothing is decoded."""
        here = self._controller.here
        if here is not None and here.session.found is not None:
            request = here.session.prepare_refilter(self.settings)
            self._controller.submit("refilter", request, self.show)

    def accept(self) -> None:
        """Write everything that is shown into the target layer."""
        controller, here = self._controller, self._controller.here
        if here is None or not here.session.found:
            controller.said.emit("There is nothing to accept. Find everything first.")
            return
        session = here.session

        def masks() -> Sequence[CroppedMask]:
            return session.found.masks if session.found else ()

        if controller.accepting.write(here, session.accept_everything, masks):
            self._forget()

    def discard(self) -> None:
        """Forget what was found, take the proposals away, and say so."""
        self._forget()
        self._controller.said.emit("Discarded what was found.")

    def _forget(self) -> None:
        if self._controller.here is not None:
            self._controller.here.session.discard_found()
        self.look()

    def look(self) -> None:
        """Take the proposals away if they belong to a plane that is not shown any more."""
        here = self._controller.here
        if here is None or (
            here.session.found is None and not self._controller.long_jobs.busy("everything")
        ):
            self._remove_proposals()
        self.show()

    def show(self) -> None:
        """Paint what was found on the displayed plane."""
        here = self._controller.here
        found = None if here is None else here.session.found
        if here is None or found is None:
            self._preview.clear()
        else:
            self._preview.show_labels(found.labels, here.image, here.plane)
            self._preview.describe(found.table.rename(columns={"label": "index"}))
        self.found_changed.emit()

    def forget(self, layer: Layer) -> None:
        """Leave a layer that is gone."""
        self._preview.forget(layer)
        if layer is self.layer:
            self._of_layer.clear()
            self.layer = None

    def close(self) -> None:
        """Take the preview away and leave the proposals to the user."""
        self._controller.finished.disconnect(self._on_finished)
        self._of_layer.clear()
        self._preview.remove()

    def _on_found(self) -> None:
        here = self._controller.here
        if here is not None and here.session.found is not None:
            found = here.session.found
            self._draw_proposals(here, found.candidates.proposals_yxyx)
            self.show()
            self._controller.said.emit(f"Found {len(found)} objects.")
            if any(getattr(self._asked, name) != getattr(self.settings, name) for name in FILTERS):
                self.refilter()

    def _on_finished(self, kind: str) -> None:
        here = self._controller.here
        if kind == "everything" and (here is None or here.session.found is None):
            self._remove_proposals()

    def _show_frame(self, here: Here, window: Window | None = None) -> None:
        """Show where proposals are looked for until they come, in the layer they will be in."""
        self._of_layer.clear()
        self._undrawn = None
        frame = here.plane.to_data(rectangle(window or (0, 0, *here.plane.shape)))
        layer = self.layer
        if layer is not None and _lies_on(layer, here):
            layer.name = f"{here.image.name} proposals"
            layer.data = []
            layer.add_rectangles(frame)
            layer.visible = True
            return
        self._remove_proposals()
        self.layer = layer = Shapes(
            ndim=here.image.ndim,
            name=f"{here.image.name} proposals",
            edge_color=EDGE_COLOUR,
            edge_width=max(1.0, max(here.plane.shape) / 600),
            face_color="transparent",
            **placement(here.image),
        )
        layer.add_rectangles(frame)
        add_quietly(self._controller.viewer, layer)

    def _draw_proposals(self, here: Here, boxes_yxyx: NDArray[np.float64]) -> None:
        """Show boxes (N, 4), and follow what is done to them."""
        if self.layer is None:
            self._show_frame(here)
        if self.layer is not None:
            self.layer.visible = False  # each change of visible shapes compiles shaders anew
            self.layer.data = []
            self._undrawn = boxes_yxyx
            self._draw_later(here.plane)

    def _draw_later(self, plane: DisplayedPlane) -> None:
        self._controller.later(lambda: self._draw(plane))

    def _draw(self, plane: DisplayedPlane) -> None:
        """Draw rectangles a few at a time, so that the viewer goes on meanwhile."""
        layer, boxes_yxyx = self.layer, self._undrawn
        if layer is None or boxes_yxyx is None:
            return
        if len(boxes_yxyx):
            now, self._undrawn = boxes_yxyx[:DRAWN_AT_ONCE], boxes_yxyx[DRAWN_AT_ONCE:]
            layer.add_rectangles([plane.to_data(rectangle(box)) for box in now])
            self._draw_later(plane)
        else:
            self._undrawn = None
            with layer.events.highlight.blocker():  # nothing is: spares compiling its shaders
                layer.visible = True
            self._of_layer.connect(layer.events.data, self._on_edited)

    def _remove_proposals(self) -> None:
        self._of_layer.clear()
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._controller.viewer.layers:
            self._controller.viewer.layers.remove(layer)

    def _on_edited(self, event: Any) -> None:
        here = self._controller.here
        if event.action in DATA_IS_NEW and here is not None and here.session.found is not None:
            vertices = outlines_on(event.source, here.plane)
            boxes = np.array([box_around(corners) for corners in vertices]).reshape(-1, 4)
            request = here.session.prepare_redecode(boxes)
            self._controller.submit("redecode", request, self.show)

    def _window(self, here: Here) -> Window | None:
        """Window of the region; None for the whole plane."""
        plane = (0, 0, *here.plane.shape)
        if self.region == "view":
            first, last = here.image.corner_pixels[:, here.plane.axes]
            return clip_box((*first, *(last + 1)), plane)
        if self.region == "shape":
            shapes = self._controller.prompting.shapes
            drawn = [] if shapes is None else outlines_on(shapes, here.plane)
            if not drawn:
                raise PromptError(
                    "there is no shape to look into", remedy="Draw one in the shapes layer."
                )
            return clip_box(box_around(drawn[-1]), plane)
        return None


def _lies_on(layer: Shapes, here: Here) -> bool:
    """Whether a layer of proposals can go on to be used."""
    return layer.ndim == here.image.ndim and np.allclose(affine_of(layer), here.plane.to_world)
