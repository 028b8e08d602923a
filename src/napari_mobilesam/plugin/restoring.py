"""Work that a crash has left in journals: looked for, offered, given back or discarded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal

from napari_mobilesam.core.errors import MobileSAMError
from napari_mobilesam.core.imports import load_torch_libraries, without_triton
from napari_mobilesam.core.responsive import uncollected
from napari_mobilesam.plugin.layers import LayerSource, spatial_shape
from napari_mobilesam.session.journal_files import abandoned, label_shape

if TYPE_CHECKING:
    from napari_mobilesam.plugin.controller import Controller
    from napari_mobilesam.session.recovery import Unfinished
    from napari_mobilesam.session.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class LookForWork:
    """Look for journals of an image; what reads them is imported only where there are some."""

    source: LayerSource
    shape: tuple[int, ...]

    def run(self, progress: Callable[[int, int], None]) -> list[Unfinished]:
        """Compare the planes that were annotated with those of the image."""
        progress(0, 1)
        if all(label_shape(path) != self.shape for path in abandoned()):
            return []
        load_torch_libraries()
        with uncollected(), without_triton():
            from napari_mobilesam.session.recovery import find_unfinished

            return find_unfinished(self.source, self.shape)


class Restoring:
    """Offers the unfinished work on the image of one viewer."""

    offers_changed = Signal()

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._offers: dict[Image, list[Unfinished]] = {}
        self._looked: set[Image] = set()
        controller.image_changed.connect(self._look)

    @property
    def offers(self) -> list[Unfinished]:
        """Unfinished work on the current image, the newest first."""
        image = self._controller.image
        return [] if image is None else self._offers.get(image, [])

    @property
    def text(self) -> str:
        """What is offered, as a button says it."""
        count = sum(offer.objects for offer in self.offers)
        when = max((offer.changed for offer in self.offers), default=datetime.now())
        return f"Restore {count} accepted object{'s' * (count != 1)} from {when:%Y-%m-%d %H:%M}"

    def _look(self) -> None:
        controller, image = self._controller, self._controller.image
        self.offers_changed.emit()
        if image is None or image in self._looked or not controller.preferences.journal_days:
            return
        self._looked.add(image)

        def found(offers: list[Unfinished]) -> None:
            if image in controller.viewer.layers and offers:
                self._offers[image] = offers
                self.offers_changed.emit()

        def nothing(*_: Any) -> None:
            """Stay silent, as nobody has asked."""

        work = LookForWork(LayerSource(image), spatial_shape(image))
        controller.long_jobs.submit(
            f"look for work {id(image)}",
            work,
            on_result=found,
            on_error=nothing,
            on_progress=nothing,
        )

    def restore(self) -> None:
        """Give the work back, in new layers; the model is loaded first, if need be."""
        controller = self._controller
        if not self.offers or controller.plane is None:
            return
        if controller.here is None:
            controller.load_model(self.restore)
            return
        session = controller.here.session
        for offer in reversed(self._take_offers()):
            try:
                self._give_back(session, offer)
            except MobileSAMError as error:
                controller.failed.emit(str(error))
                return
        controller.image_changed.emit()
        controller.said.emit("Restored. What was accepted can be undone and improved as before.")

    def _give_back(self, session: Session, offer: Unfinished) -> None:
        from napari_mobilesam.session.records import features
        from napari_mobilesam.session.recovery import give_back

        give_back(session, offer)
        accepted = [step.accepted for step in offer.contents.done]
        self._controller.target.describe(features(accepted))

    def discard(self) -> None:
        """Offer the work no more; its file is kept as long as any."""
        for offer in self._take_offers():
            offer.discard()
        self._controller.said.emit("Discarded.")

    def _take_offers(self) -> list[Unfinished]:
        image = self._controller.image
        taken = [] if image is None else self._offers.pop(image, [])
        self.offers_changed.emit()
        return taken

    def forget(self, image: Any) -> None:
        """Look again if a layer that was removed comes back."""
        self._offers.pop(image, None)
        self._looked.discard(image)

    def close(self) -> None:
        """Stop looking."""
        with suppress(ValueError):
            self._controller.image_changed.disconnect(self._look)
