"""Through the planes of a viewer's slider: everything linked, or one object followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Tracks
from numpy.typing import NDArray

from napari_mobilesam.core.errors import ImageError, MobileSAMError, PromptError
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import FollowSettings, LinkSettings
from napari_mobilesam.plugin.layers import (
    DisplayedPlane,
    add_quietly,
    new_labels,
    placement,
    spatial_shape,
)

if TYPE_CHECKING:
    from napari_mobilesam.bulk.follow import Direction, Followed
    from napari_mobilesam.bulk.stack import StackInstances
    from napari_mobilesam.plugin.controller import Controller, Here

TIME_NAMES = ("t", "time", "frame", "frames")
"""Labels of an axis whose objects get a Tracks layer as well."""


class Through:
    """Goes through the planes along the slider of the displayed plane.

    The slider is that of the last axis which is not displayed, as for embedding in advance.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.linking = LinkSettings()
        self.following = FollowSettings()

    def find_all(self) -> None:
        """Find everything on all planes; a new Labels layer shows it, for time a Tracks layer."""
        controller, here = self._controller, self._controller.here
        if here is None:
            controller.embed(then=self.find_all)
            return
        try:
            axis = _slider_axis(here)
        except MobileSAMError as error:
            controller.failed.emit(str(error))
            return
        from napari_mobilesam.session.through import FindInStack  # torch, here already

        place = int(np.searchsorted(sorted((axis, *here.plane.axes)), axis))
        work = FindInStack(
            here.session.model,
            here.session.source,
            _keys(here, axis),
            here.plane.shape,
            place,
            controller.proposing.settings,
            self.linking,
        )
        controller.run(
            "stack",
            work,
            lambda found: self._show(here.image, here.plane, axis, found),
            controller.long_jobs,
        )

    def follow(self, direction: Direction) -> None:
        """Follow an object: the previewed mask, which is accepted first, or the selected label.

        On planes that it is found on, its label is replaced by what is found.
        """
        controller, here = self._controller, self._controller.here
        try:
            if here is None:
                raise ImageError(
                    "there is no object to follow", remedy="Prompt or label one first."
                )
            label = self._label(here)
            if label is not None:
                self._follow(here, label, direction)
        except MobileSAMError as error:
            controller.failed.emit(str(error))

    def cancel(self) -> None:
        """Stop; what was found until then is dropped."""
        for kind in ("stack", "follow"):
            self._controller.long_jobs.cancel(kind)

    def _label(self, here: Here) -> int | None:
        """Label to follow; None if the user was asked and did not accept the preview."""
        masks, before = here.session.masks, len(here.session.log)
        if not masks:
            return self._controller.target.selected_label
        if len(masks) > 1:
            raise PromptError(
                "only one object can be followed at a time",
                got=f"a preview of {len(masks)}",
                remedy="Accept them, then select a label.",
            )
        self._controller.prompting.accept()
        log = here.session.log
        return log[-1].labels[0] if len(log) > before else None

    def _follow(self, here: Here, label: int, direction: Direction) -> None:
        from napari_mobilesam.bulk.follow import ways_from
        from napari_mobilesam.session.through import FollowObject

        controller, axis = self._controller, _slider_axis(here)
        layer, keys = controller.target.layer, _keys(here, axis)
        pixels = controller.target.read(here.plane.key) == label
        if layer is None or not pixels.any():
            raise PromptError(
                f"label {label} is not on this plane",
                remedy="Select a label of this plane in the labels layer, or prompt an object.",
            )
        most = self.following.max_planes
        ways = ways_from(int(here.plane.index[axis]), len(keys), direction, most)
        work = FollowObject(
            here.session.model,
            here.session.source,
            keys,
            CroppedMask(0, 0, pixels).trim(),
            tuple(map(tuple, ways)),
            self.following,
        )
        controller.run(
            "follow",
            work,
            lambda found: self._write(layer, here.plane, axis, label, found),
            controller.long_jobs,
        )

    def _write(
        self,
        layer: Labels,
        plane: DisplayedPlane,
        axis: int,
        label: int,
        found: Sequence[Followed],
    ) -> None:
        """Write a followed object, as one step of the layer's history."""
        self._controller.finished.emit("follow")
        if layer not in self._controller.viewer.layers:
            return
        edits = [_edit(layer, plane.at(axis, step.plane), label, step.mask) for step in found]
        if edits:
            indices, values = zip(*edits, strict=True)
            joined = tuple(np.concatenate(part) for part in zip(*indices, strict=True))
            layer.data_setitem(joined, np.concatenate(values))
        planes = len(found)
        self._controller.said.emit(
            f"Followed label {label} through {planes} plane{'s' * (planes != 1)}."
            if planes
            else f"Label {label} was not found in any other plane that way."
        )

    def _show(self, image: Image, plane: DisplayedPlane, axis: int, found: StackInstances) -> None:
        controller = self._controller
        controller.finished.emit("stack")
        if image not in controller.viewer.layers:
            return
        labels = new_labels(image, f"{image.name} objects")
        index = [
            slice(None) if a in (axis, *plane.axes) else int(plane.index[a])
            for a in range(image.ndim)
        ]
        labels.data[tuple(index)] = found.labels
        labels.features = found.table.rename(columns={"label": "index"})
        add_quietly(controller.viewer, labels, above=image)
        if axis == 0 and image.axis_labels[0].lower() in TIME_NAMES and len(found):
            add_quietly(controller.viewer, _tracks(image, plane, found))
        controller.said.emit(f"Found {len(found)} objects on {spatial_shape(image)[axis]} planes.")


def _slider_axis(here: Here) -> int:
    hidden = [axis for axis in range(len(here.plane.index)) if axis not in here.plane.axes]
    if not hidden:
        raise ImageError(f"{here.image.name} has one plane", expected="a stack or a time series")
    return hidden[-1]


def _keys(here: Here, axis: int) -> tuple[tuple[int, ...], ...]:
    count = spatial_shape(here.image)[axis]
    return tuple(here.plane.at(axis, position).key for position in range(count))


def _edit(
    layer: Labels, plane: DisplayedPlane, label: int, mask: CroppedMask
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.generic]]:
    """Find what puts a mask in place of a label: indices into the layer, and their values."""
    index = [slice(None) if axis in plane.axes else int(at) for axis, at in enumerate(plane.index)]
    before = np.asarray(layer.data[tuple(index)])
    after = np.where(before == label, 0, before)
    part = after[mask.window]
    part[mask.pixels & (part == 0)] = label
    changed = np.nonzero(after != before)
    shown = iter(changed)
    indices = tuple(
        next(shown) if isinstance(at, slice) else np.full(len(changed[0]), at) for at in index
    )
    return indices, after[changed]


def _tracks(image: Image, plane: DisplayedPlane, found: StackInstances) -> Tracks:
    data = np.tile(plane.index.astype(np.float64), (len(found.tracks), 1))
    data[:, 0] = found.tracks[:, 1]
    data[:, list(plane.axes)] = found.tracks[:, 2:]
    rows = np.column_stack([found.tracks[:, 0], data])
    return Tracks(rows, name=f"{image.name} tracks", **placement(image))
