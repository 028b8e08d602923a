"""Prompts of one viewer: the layers they are drawn in, what they decode to, what is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from psygnal import Signal

from napari_mobilesam.plugin.connections import Connections
from napari_mobilesam.plugin.layers import (
    DisplayedPlane,
    placement,
    raise_above,
    spatial_shape,
)
from napari_mobilesam.plugin.preview import Preview
from napari_mobilesam.plugin.prompt_layers import (
    DATA_IS_NEW,
    KINDS,
    current_kind,
    kinds_of,
    new_pair,
    read_prompts,
    remove_prompts,
    set_kind,
    show_kinds,
    write_prompts,
)

if TYPE_CHECKING:
    from napari_mobilesam.plugin.controller import Controller

Tool = Literal["point", "box", "outline", "scribble"]
SHAPE_MODES = {"box": "add_rectangle", "outline": "add_polygon_lasso", "scribble": "add_path"}


class Prompting:
    """Reads prompt layers, decodes live, and shows and accepts what comes of it."""

    layers_changed = Signal()
    candidates_changed = Signal()
    kind_changed = Signal(str)

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._of_layers = Connections()
        self._preview = Preview(controller.viewer, "MobileSAM preview")
        self.points: Points | None = None
        self.shapes: Shapes | None = None
        self.objects: Labels | None = None
        self._kinds: dict[Layer, list[str]] = {}

    @property
    def layers(self) -> list[Layer]:
        """The layers that prompts are read from."""
        return [layer for layer in (self.points, self.shapes, self.objects) if layer is not None]

    def use(
        self,
        *,
        points: Points | None = None,
        shapes: Shapes | None = None,
        objects: Labels | None = None,
    ) -> None:
        """Read prompts from these layers from now on."""
        self._of_layers.clear()
        self.points, self.shapes, self.objects = points, shapes, objects
        for layer in self.layers:
            self._watch(layer)
        self.layers_changed.emit()
        self.update()

    def create_layers(self) -> None:
        """Add a pair of prompt layers on the image, ready to draw in."""
        self._add_layers(points=True, shapes=True)
        if self.points is not None:
            self.take_tool("point")

    def _add_layers(self, *, points: bool, shapes: bool) -> None:
        """Add one of the prompt layers, or both, and read prompts from them."""
        image = self._controller.image
        if image is None:
            self._controller.failed.emit("There is no image to draw on. Open one first.")
            return
        extent = max(spatial_shape(image)[-2:])
        new_points, new_shapes = new_pair(image.name, extent, image.ndim, **placement(image))
        added = [*([new_shapes] if shapes else []), *([new_points] if points else [])]
        self._controller.viewer.layers.extend(added)
        self.use(
            points=new_points if points else self.points,
            shapes=new_shapes if shapes else self.shapes,
            objects=self.objects,
        )

    def take_tool(self, tool: Tool) -> None:
        """Activate the layer and the mode that a kind of prompt is drawn in."""
        if self.points is None or self.shapes is None:
            self._add_layers(points=self.points is None, shapes=self.shapes is None)
        layer, image = self.points if tool == "point" else self.shapes, self._controller.image
        if layer is not None and image is not None:
            raise_above(self._controller.viewer, layer, image)
            self._controller.viewer.layers.selection.active = layer
            layer.visible = True
            layer.mode = SHAPE_MODES.get(tool, "add")

    @property
    def kind(self) -> str:
        """Kind of the prompts that are drawn next: "positive" or "negative"."""
        return KINDS[0] if self.points is None else current_kind(self.points)

    def switch_kind(self) -> None:
        """Draw negative prompts from now on, or positive ones again."""
        self.set_kind(KINDS[1] if self.kind == KINDS[0] else KINDS[0])

    def set_kind(self, kind: str) -> None:
        """Draw prompts of a kind from now on, and make the selected ones be of it."""
        for layer in (self.points, self.shapes):
            if layer is not None:
                set_kind(layer, kind)
        self.kind_changed.emit(kind)

    def update(self, *, even_if_not_live: bool = False, is_drawn_now: bool = False) -> None:
        """Decode what is drawn on the displayed plane, embedding it first if need be.

        Prompts that cannot be used are named if they were drawn just now.
        """
        controller, plane = self._controller, self._controller.plane
        drawn_in = [layer for layer in (self.points, self.shapes) if layer is not None]
        self._kinds = {layer: kinds_of(layer) for layer in drawn_in}
        objects = controller.preferences.objects
        drawn = [] if plane is None else read_prompts(self.layers, plane, objects)
        wanted = bool(drawn) and (controller.preferences.live or even_if_not_live)
        if controller.here is None or not controller.is_ready():
            self.show()
            if wanted:
                controller.embed()
            return
        session = controller.here.session
        session.draw(drawn, controller.preferences.mode)
        request = session.prepare_decode() if wanted or not drawn else None
        if wanted and session.skipped and is_drawn_now:
            controller.said.emit(session.skipped[0])
        elif wanted and request is None and not session.skipped:
            controller.said.emit("All prompts are beside the object. Draw one on it (Q switches).")
        if request is None:
            for kind in ("decode", "closer"):
                controller.live_jobs.cancel(kind)
            self.show()
        else:
            controller.submit("decode", request, self._look_closer)

    def _look_closer(self) -> None:
        """Paint the masks, and go on with a closer look if the object is small."""
        self.show()
        here = self._controller.here
        request = None if here is None else here.session.prepare_closer()
        if request is not None:
            self._controller.submit("closer", request, self.show)

    def prepare(self, image: Image, plane: DisplayedPlane) -> bool:
        """Be ready to show masks; tell whether a layer was added for them."""
        return self._preview.prepare(image, plane)

    def show(self) -> None:
        """Paint the masks of the prompts, or else the one under the cursor."""
        here = self._controller.here
        if here is None:
            self._preview.clear()
        else:
            hovered = () if here.session.hovered is None else (here.session.hovered,)
            self._preview.show(here.session.masks or hovered, here.image, here.plane)
        self.candidates_changed.emit()

    def step(self, by: int = 1) -> None:
        """Show the next candidate, or with -1 the one before."""
        here = self._controller.here
        if here is None:
            return
        if here.session.masks and not here.session.candidate_scores:
            self._controller.said.emit("Of many objects, each has one mask (J switches).")
        here.session.step_candidate(by)
        self.show()

    def choose(self, index: int) -> None:
        """Show one of the candidates."""
        if self._controller.here is not None:
            self.step(index - self._controller.here.session.candidate_index)

    def hover(self, world_position: tuple[float, ...]) -> None:
        """Decode the object under the cursor, as long as nothing is drawn."""
        here = self._controller.here
        if here is None or here.session.masks or not here.session.is_embedded():
            return
        (point,), (on_plane,) = here.plane.from_world(world_position)
        row, column = (float(side) for side in point)
        height, width = here.plane.shape
        if on_plane and 0 <= row <= height - 1 and 0 <= column <= width - 1:
            request = here.session.prepare_hover((row, column))
            self._controller.submit("hover", request, self.show)

    def accept(self) -> None:
        """Write what the preview shows into the target layer."""
        controller, here = self._controller, self._controller.here
        if here is None or not here.session.masks:
            controller.said.emit("There is no mask to accept. Draw a prompt first.")
            return
        session = here.session
        if not controller.accepting.write(here, session.accept, lambda: session.masks):
            return
        if controller.preferences.keep_prompts:
            self.update()
        else:
            self._remove()
            self.set_kind(KINDS[0])

    def clear(self) -> None:
        """Remove the prompts of the displayed plane from our layers, and say so."""
        self._remove()
        self._controller.said.emit("Removed the prompts of this plane.")

    def _remove(self) -> None:
        plane = self._controller.plane
        for layer in (self.points, self.shapes):
            if layer is not None and plane is not None:
                remove_prompts(layer, plane)
        self.update()

    def recall(self, world_position: tuple[float, ...]) -> None:
        """Bring the prompts of the accepted object at a position back, to be improved."""
        controller, here = self._controller, self._controller.here
        if here is None:
            return
        label = self._label_at(world_position, here.plane)
        if label not in here.session.records:
            controller.said.emit("No prompts are remembered for what lies here.")
            return
        drawn = here.session.recall(label)
        self._remove()
        if self.points is None or self.shapes is None:
            self.create_layers()
        if self.points is not None and self.shapes is not None:
            write_prompts(drawn, self.points, self.shapes, here.plane)
        controller.said.emit(f"The prompts of label {label} are back.")

    def _label_at(self, world_position: tuple[float, ...], plane: DisplayedPlane) -> int:
        """Return the label at a position; 0 if there is none, or it is beside the plane."""
        (point,), (here,) = plane.from_world(world_position)
        row, column = (int(side) for side in np.rint(point))
        height, width = plane.shape
        if not (here and 0 <= row < height and 0 <= column < width):
            return 0
        return int(self._controller.target.read(plane.key)[row, column])

    def close(self) -> None:
        """Leave the prompt layers to the user, and take the preview away."""
        self._of_layers.clear()
        self._preview.remove()

    def forget(self, layer: Layer) -> None:
        """Read no prompts from a layer that is gone, and paint into it no more."""
        self._preview.forget(layer)
        if layer in self.layers:
            self.use(
                points=None if layer is self.points else self.points,
                shapes=None if layer is self.shapes else self.shapes,
                objects=None if layer is self.objects else self.objects,
            )

    def _watch(self, layer: Layer) -> None:
        if isinstance(layer, Labels):
            self._of_layers.connect(layer.events.data, self._on_objects)
            self._of_layers.connect(layer.events.labels_update, self._on_objects)
        else:
            self._of_layers.connect(layer.events.data, self._on_drawn)
            self._of_layers.connect(layer.events.features, self._on_features)

    def _on_drawn(self, event: Any) -> None:
        if event.action in DATA_IS_NEW:
            self.update(is_drawn_now=True)

    def _on_features(self, event: Any) -> None:
        """React to relabelled prompts; napari says "features" with every new prompt, too."""
        layer = event.source
        kinds = kinds_of(layer)
        if kinds != self._kinds.get(layer):
            show_kinds(layer)
            self.update()

    def _on_objects(self, event: Any) -> None:  # noqa: ARG002
        self.update()
