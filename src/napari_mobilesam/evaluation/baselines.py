"""What a model has to beat."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2gray
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.segmentation import watershed

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.errors import CheckpointError, SettingsError
from napari_mobilesam.core.instances import Candidates, resolve
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.settings import FilterSettings
from napari_mobilesam.models.detector import import_ultralytics

Segment = Callable[[NDArray[np.generic]], NDArray[np.int32]]
"""From an image to labels (H, W), 0 = background."""

NAMES = ("otsu", "grid", "fastsam=FILE")

SMOOTHING, SPACING = 1.0, 5
"""Standard deviation before the threshold, and least distance of two centres, in pixels."""


def find_baseline(name: str, sam: MobileSAM) -> tuple[str, Segment]:
    """Choose a baseline by name: ``otsu``, ``grid``, or ``fastsam=FILE`` with FastSAM's weights.

    Raises
    ------
    SettingsError
        If there is no such baseline.
    """
    kind, _, file = name.partition("=")
    if name == "otsu":
        return "Otsu and watershed", otsu_watershed
    if name == "grid":
        return "grid of points", lambda image: sam.everything(image, sampler="grid").labels
    if kind == "fastsam" and file:
        return "FastSAM", fastsam(Path(file))
    raise SettingsError("there is no such baseline", expected=", ".join(NAMES), got=repr(name))


def otsu_watershed(image: NDArray[np.generic]) -> NDArray[np.int32]:
    """Threshold by Otsu, and split what touches by the watershed of the distance to the border.

    Objects are what the image's own border shows less of: brighter or darker.
    """
    grey = gaussian(rgb2gray(to_rgb8(image)), SMOOTHING)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, np.int32)
    bright = grey > threshold_otsu(grey)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    objects = ~bright if border.mean() > 0.5 else bright
    depth = ndimage.distance_transform_edt(objects)
    centres = peak_local_max(
        gaussian(depth, SMOOTHING), min_distance=SPACING, labels=ndimage.label(objects)[0]
    )
    markers = np.zeros(grey.shape, np.int32)
    markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    labels: NDArray[np.int32] = watershed(-depth, markers, mask=objects)
    return labels.astype(np.int32)


def fastsam(weights: Path) -> Segment:
    """Everything as FastSAM finds it (arXiv 2306.12156), run by ultralytics.

    Raises
    ------
    CheckpointError
        If the weights cannot be read.
    """
    ultralytics = import_ultralytics()
    try:
        model: Any = ultralytics.FastSAM(str(weights))
    except Exception as error:  # whatever unpickling leads to
        raise CheckpointError(f"{weights} cannot be read as FastSAM", got=str(error)) from error

    def segment(image: NDArray[np.generic]) -> NDArray[np.int32]:
        rgb = to_rgb8(image)
        (result,) = model(rgb[..., ::-1], retina_masks=True, verbose=False)
        if result.masks is None:
            return np.zeros(rgb.shape[:2], np.int32)
        masks = [CroppedMask(0, 0, m.cpu().numpy() > 0.5).trim() for m in result.masks.data]
        scores = result.boxes.conf.cpu().numpy().astype(np.float32)
        boxes = np.array([mask.box for mask in masks], dtype=np.float64)
        ones = np.ones(len(masks), np.float32)
        candidates = Candidates(tuple(masks), scores, ones, boxes, scores, rgb.shape[:2])
        return resolve(candidates, FilterSettings()).labels

    return segment
