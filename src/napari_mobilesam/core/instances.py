"""From overlapping candidate masks to a label image and its table of measurements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import visible_parts
from napari_mobilesam.core.settings import FilterSettings

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = {
    "label": "label",
    "area": "area",
    "bbox-0": "y0",
    "bbox-1": "x0",
    "bbox-2": "y1",
    "bbox-3": "x1",
    "centroid-0": "centroid_y",
    "centroid-1": "centroid_x",
    "solidity": "solidity",
    "eccentricity": "eccentricity",
}


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All that was decoded, before any filter; masks may overlap or be empty.

    Parameters
    ----------
    masks : tuple of CroppedMask
        One mask a candidate.
    scores : (N,) float32 array
        Predicted IoU.
    stability : (N,) float32 array
        Stability score, in [0, 1].
    proposals_yxyx : (N, 4) float64 array
        Half-open box (or, for a point prompt, the empty box at the point) that was decoded.
    confidence : (N,) float32 array
        Detector confidence of the proposal; 1 for point prompts.
    plane_shape : tuple of int
        Height and width of the plane.
    """

    masks: tuple[CroppedMask, ...]
    scores: NDArray[np.float32]
    stability: NDArray[np.float32]
    proposals_yxyx: NDArray[np.float64]
    confidence: NDArray[np.float32]
    plane_shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def none(cls, plane_shape: tuple[int, int]) -> Candidates:
        """Make an empty set of candidates."""
        nothing = np.zeros(0, dtype=np.float32)
        return cls((), nothing, nothing, np.zeros((0, 4)), nothing, plane_shape)

    def take(self, indices: Sequence[int]) -> Candidates:
        """Choose some of the candidates, in this order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return Candidates(
            tuple(self.masks[i] for i in chosen),
            self.scores[chosen],
            self.stability[chosen],
            self.proposals_yxyx[chosen],
            self.confidence[chosen],
            self.plane_shape,
        )

    def joined(self, other: Candidates) -> Candidates:
        """Append the candidates of the same plane that were decoded later."""
        return Candidates.concatenated([self, other], self.plane_shape)

    @classmethod
    def concatenated(cls, parts: Sequence[Candidates], plane_shape: tuple[int, int]) -> Candidates:
        """Put candidates of the same plane one after the other."""
        parts = [cls.none(plane_shape), *parts]
        return cls(
            tuple(mask for part in parts for mask in part.masks),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.stability for part in parts]),
            np.concatenate([part.proposals_yxyx for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            plane_shape,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """The objects found in a plane.

    Parameters
    ----------
    labels : (H, W) int32 array
        0 is background; instances are numbered from 1 without gaps, best score first.
    table : pandas.DataFrame
        One row an instance, in the order of the labels: ``label``, ``score`` (predicted IoU),
        ``stability``, ``confidence``, ``area`` (visible pixels), the half-open bounding box
        ``y0 x0 y1 x1``, ``centroid_y``, ``centroid_x``, ``solidity``, ``eccentricity``, and
        ``mean_intensity`` (one column a channel, numbered, if the image has several).
    masks : tuple of CroppedMask
        The whole masks, in the order of the labels, with what better instances cover.
    candidates : Candidates
        What the instances were chosen from; see :func:`resolve`.
    """

    labels: NDArray[np.int32]
    table: pd.DataFrame
    masks: tuple[CroppedMask, ...]
    candidates: Candidates

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Half-open bounding boxes (N, 4) of the visible parts, (y0, x0, y1, x1)."""
        return self.table[["y0", "x0", "y1", "x1"]].to_numpy(dtype=np.int64)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Predicted IoU of each instance, (N,), best first."""
        return self.table["score"].to_numpy(dtype=np.float32)


def resolve(
    candidates: Candidates,
    settings: FilterSettings | None = None,
    intensity: NDArray[np.generic] | None = None,
) -> Instances:
    """Filter candidates, settle their overlaps by score, and measure what is left.

    Nothing is decoded, so a changed filter takes effect at once.

    Parameters
    ----------
    candidates : Candidates
        Decoded masks of one plane.
    settings : FilterSettings, optional
        Thresholds on score, stability, area and overlap.
    intensity : (H, W) or (H, W, C) array, optional
        Image in which mean intensities are measured.

    Returns
    -------
    Instances
        Where masks overlap, the pixel belongs to the better score; an instance that is left
        with fewer than ``min_area`` pixels, or covered by more than ``max_overlap``, is dropped.
    """
    kept, visible = visible_parts(candidates, settings or FilterSettings())
    labels = paint(visible, candidates.plane_shape)
    table = measure(labels, intensity)
    table.insert(1, "score", candidates.scores[kept])
    table.insert(2, "stability", candidates.stability[kept])
    table.insert(3, "confidence", candidates.confidence[kept])
    return Instances(labels, table, tuple(candidates.masks[i] for i in kept), candidates)


def measure(
    labels: NDArray[np.int32], intensity: NDArray[np.generic] | None = None
) -> pd.DataFrame:
    """Measure every label: area, box, centroid, solidity, eccentricity, mean intensity.

    Parameters
    ----------
    labels : (H, W) int32 array
        Label image, 0 = background.
    intensity : (H, W) or (H, W, C) array, optional
        Image of the same height and width.

    Returns
    -------
    pandas.DataFrame
        One row a label, in ascending order.
    """
    import pandas as pd  # most of a second with skimage, and a prompt needs neither
    from skimage.measure import regionprops_table

    properties = ["label", "area", "bbox", "centroid", "solidity", "eccentricity"]
    if intensity is not None:
        properties.append("mean_intensity")
        intensity = intensity.astype(np.float64)
        if intensity.ndim == 3 and intensity.shape[-1] == 1:
            intensity = intensity[..., 0]
    with np.errstate(over="ignore", invalid="ignore"):
        measured = regionprops_table(labels, intensity, properties=properties)
    table = pd.DataFrame(measured)
    channels = {
        name: name.replace("-", "_") for name in measured if name.startswith("mean_intensity")
    }
    table = table[[*_MEASURED, *channels]].rename(columns=_MEASURED | channels)
    return table.astype(dict.fromkeys(("label", "area", "y0", "x0", "y1", "x1"), np.int64))


def paint(masks: Iterable[CroppedMask], plane_shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint masks that share no pixel into a label image (H, W), numbered from 1."""
    labels = np.zeros(plane_shape, dtype=np.int32)
    for label, mask in enumerate(masks, start=1):
        labels[mask.window][mask.pixels] = label
    return labels
