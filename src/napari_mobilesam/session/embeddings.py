"""Embeddings that a session keeps at hand: of whole planes, and of windows in them."""

from collections import OrderedDict

from napari_mobilesam.core.geometry import Window
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.session.planes import PlaneKey

KEPT = 16
"""Of planes, and as many of windows; 1 to 4 MB each."""


class Embeddings:
    """The last embeddings of one image, those that were not used for longest give way."""

    def __init__(self) -> None:
        self._planes: OrderedDict[PlaneKey, ImageEmbedding] = OrderedDict()
        self._windows: OrderedDict[tuple[PlaneKey, Window], ImageEmbedding] = OrderedDict()

    def get(self, key: PlaneKey, window: Window | None = None) -> ImageEmbedding | None:
        """Return the embedding of a plane, or of a window of it, if it is at hand."""
        if window is None:
            return self._planes.get(key)
        return self._windows.get((key, window))

    def keep(self, key: PlaneKey, embedding: ImageEmbedding, current: PlaneKey) -> None:
        """Keep an embedding; that of the current plane gives way to no other."""
        window = embedding.frame.window
        if window is not None:
            self._windows[key, window] = embedding
            self._windows.move_to_end((key, window))
            if len(self._windows) > KEPT:
                self._windows.popitem(last=False)
            return
        self._planes[key] = embedding
        for recent in (key, current):
            if recent in self._planes:
                self._planes.move_to_end(recent)
        if len(self._planes) > KEPT:
            self._planes.popitem(last=False)

    def use(self, key: PlaneKey) -> None:
        """Note that a plane is looked at again."""
        if key in self._planes:
            self._planes.move_to_end(key)

    def clear(self) -> None:
        """Forget all."""
        self._planes.clear()
        self._windows.clear()
