"""What leaves the preview: accepted into a Labels layer, taken back, exported, saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Labels

from napari_mobilesam.core.edits import Taken
from napari_mobilesam.core.errors import ImageError, MobileSAMError
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.io.annotations import write_annotations
from napari_mobilesam.plugin.writers import pixel_size_um, table_of

if TYPE_CHECKING:
    from napari_mobilesam.plugin.controller import Controller, Here
    from napari_mobilesam.session.journal import Journals

Masks = Callable[[], Sequence[CroppedMask]]
"""Says which masks would be accepted now."""


class Accepting:
    """Writes masks of one viewer by the user's preferences."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.ask_about_taken: Callable[[], Taken | None] = lambda: "keep"
        self._trouble = ""

    def write_to(self, layer: Labels | None) -> None:
        """Accept into this layer from now on, or into one that is made at the next accept.

        Raises
        ------
        ImageError
            If the layer does not have the pixels of the image, or there is no image.
        """
        self._controller.target.layer = layer

    def write(
        self, here: Here, accept: Callable[..., tuple[int, ...]], masks: Masks
    ) -> tuple[int, ...]:
        """Accept what ``masks`` returns; return the labels they got.

        Nothing is written, and nothing returned, if the user was asked and declined.
        """
        controller = self._controller
        target, preferences = controller.target, controller.preferences
        taken = self._ask(here, masks) if preferences.taken == "ask" else preferences.taken
        if taken is None:
            return ()
        try:
            labels = accept(target=preferences.target, selected=target.selected_label, taken=taken)
        except MobileSAMError as error:
            controller.failed.emit(str(error))
            return ()
        target.describe(here.session.features)
        self._tell(f"Wrote {_objects(labels)}.")
        return labels

    def new_journals(self) -> Journals | None:
        """Make journals for a session, whose trouble is told with the next message."""
        days = self._controller.preferences.journal_days
        if not days:
            return None
        from napari_mobilesam.session.journal import Journals  # torch, here already

        def remember(trouble: str) -> None:
            self._trouble = trouble

        return Journals(keep_days=days, on_trouble=remember)

    def _tell(self, text: str) -> None:
        trouble, self._trouble = self._trouble, ""
        if trouble:
            self._controller.failed.emit(f"{text} {trouble}")
        else:
            self._controller.said.emit(text)

    def _ask(self, here: Here, masks: Masks) -> Taken | None:
        """Ask about pixels that are taken; again if other masks were shown meanwhile."""
        taken: Taken | None = "keep"
        asked: list[CroppedMask] = []
        while taken is not None and asked != (shown := list(masks())):
            asked = shown
            if self._would_take(here, shown):
                taken = self.ask_about_taken()
        return taken

    def _would_take(self, here: Here, masks: Sequence[CroppedMask]) -> bool:
        labels = self._controller.target.read(here.plane.key)
        return any((labels[mask.window][mask.pixels] != 0).any() for mask in masks)

    def undo(self) -> None:
        """Take the last accept back."""
        if self._controller.here is not None:
            labels = self._controller.here.session.undo()
            self._tell(f"Took {_objects(labels)} back." if labels else "Nothing to take back.")

    def redo(self) -> None:
        """Accept again what was undone."""
        if self._controller.here is not None:
            labels = self._controller.here.session.redo()
            self._tell(f"Wrote {_objects(labels)} again." if labels else "Nothing was taken back.")

    def export(self, path: str | Path, format_name: str | None = None) -> None:
        """Write the labels of the displayed plane to a file.

        Raises
        ------
        MobileSAMError
            If there is no plane, or the format is unknown or cannot hold the labels.
        """
        controller = self._controller
        image, plane = controller.image, controller.plane
        if image is None or plane is None:
            raise ImageError("there is nothing to export", remedy="Open an image first.")
        layer, axes = controller.target.layer, list(plane.axes)
        write_annotations(
            path,
            controller.target.read(plane.key),
            format=format_name,
            table=None if layer is None else table_of(layer.features),
            image_name=image.name,
            pixel_size_um=pixel_size_um(image.scale[axes], [image.units[a] for a in axes]),
        )
        if controller.here is not None:
            controller.here.session.note_saved([plane.key])
        self._tell(f"Wrote {Path(path).name}.")

    def save(self, path: str | Path) -> None:
        """Write prompts, settings and decisions to a session file.

        Raises
        ------
        MobileSAMError
            If nothing was annotated yet, or the file cannot be written.
        """
        if self._controller.here is None:
            raise ImageError("there is nothing to save", remedy="Accept an object first.")
        from napari_mobilesam.session.session_file import save  # torch, here already

        session = self._controller.here.session
        save(session, path)
        session.note_saved()
        self._tell(f"Wrote {Path(path).name}.")


def _objects(labels: Sequence[int]) -> str:
    return f"{len(labels)} object{'s' * (len(labels) != 1)}"
