"""Work through all planes along an axis of an image: find everything, or follow one object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.bulk.follow import Followed, follow_ways
from napari_mobilesam.bulk.stack import StackInstances, segment_planes
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import EverythingSettings, FollowSettings, LinkSettings
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.everything import Progress
from napari_mobilesam.session.planes import PlaneKey, PlaneSource, shown_plane


class SourcePlanes:
    """Planes of a source, in the order of their keys."""

    def __init__(
        self, source: PlaneSource, keys: Sequence[PlaneKey], plane_shape: tuple[int, int]
    ) -> None:
        self._source = source
        self._keys = keys
        self.plane_shape = plane_shape

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int, /) -> NDArray[np.generic]:
        """Read a plane, (H, W) or (H, W, C)."""
        return self._source.plane(self._keys[index])


@dataclass(frozen=True, slots=True, eq=False)
class FindInStack:
    """Find every object on all planes, and link them.

    Intensities are stretched alike on all planes; a layer's gamma is left out.
    """

    model: MobileSAM
    source: PlaneSource
    keys: tuple[PlaneKey, ...]
    plane_shape: tuple[int, int]
    axis: int
    settings: EverythingSettings
    linking: LinkSettings

    def run(self, progress: Progress) -> StackInstances:
        """Do the work; it can be stopped at every plane."""
        return segment_planes(
            SourcePlanes(self.source, self.keys, self.plane_shape),
            self.model,
            self.settings,
            self.linking,
            axis=self.axis,
            limits=self.source.limits,
            progress=progress,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FollowObject:
    """Follow an object from the plane that it is known on."""

    model: MobileSAM
    source: PlaneSource
    keys: tuple[PlaneKey, ...]
    mask: CroppedMask
    ways: tuple[tuple[int, ...], ...]
    settings: FollowSettings

    def run(self, progress: Progress) -> tuple[Followed, ...]:
        """Do the work; it can be stopped at every plane."""
        found = follow_ways(self.model, self._embed, self.mask, self.ways, self.settings, progress)
        return tuple(found)

    def _embed(self, index: int) -> ImageEmbedding:
        rgb = shown_plane(self.source, self.keys[index])
        return self.model.embed(rgb, limits="dtype")
