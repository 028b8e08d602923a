"""What an encoder learns from: prompted crops of labelled images and of synthetic scenes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from scipy import ndimage

from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.scene import Labels, Scene
from napari_mobilesam.core.settings import Fraction, Settings
from napari_mobilesam.inference.encode import resize_to_input
from napari_mobilesam.io.labelled_images import LabelledImages
from napari_mobilesam.training.augment import crop, orient, render
from napari_mobilesam.training.synthetic import KINDS, generate
from napari_mobilesam.training.validation import VALIDATION_SEED

LOGITS_STRIDE = 4
"""Input pixels per pixel of the logits, for every encoder that can be trained here."""

_MIN_LOGIT_AREA = 2.0


class DataSettings(Settings):
    """How training examples are drawn."""

    input_sizes: tuple[int, ...] = Field(
        (256, 384, 512, 768, 1024),
        min_length=1,
        title="Input sizes",
        description="Sides of the square input to train at, in pixels; multiples of 64.",
    )
    size_weights: tuple[float, ...] = Field(
        (0.25, 0.25, 0.3, 0.1, 0.1),
        title="Size weights",
        description="How often each input size is drawn.",
    )
    pixels_per_step: int = Field(
        384 * 1024,
        ge=4096,
        title="Pixels a step",
        description="Sets how many images of an input size make a step; at least one.",
    )
    synthetic_share: Fraction = Field(
        0.5, title="Synthetic share", description="Share of the images that are synthetic scenes."
    )
    objects_per_image: int = Field(
        6, ge=1, le=64, title="Objects an image", description="Most objects prompted in an image."
    )
    whole_share: Fraction = Field(
        0.2, title="Whole images", description="Share of the images that are not cropped."
    )
    min_crop: int = Field(
        64, ge=16, title="Smallest crop", description="Least side of a crop, in source pixels."
    )
    max_scene: int = Field(
        640, ge=64, title="Largest scene", description="Greatest side of a synthetic scene."
    )
    seed: int = Field(0, ge=0, title="Seed", description="Same seed, same examples.")

    @model_validator(mode="after")
    def _one_weight_a_size(self) -> Self:
        if len(self.size_weights) != len(self.input_sizes):
            raise ValueError("input_sizes and size_weights differ in length")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image at the encoder's scale, some of its objects, and a first prompt of each.

    Parameters
    ----------
    rgb : (h, w, 3) uint8 array
        Longest side equal to ``input_size``.
    masks : (K, S/4, S/4) float16 array
        Share of every logit's pixels that the object covers, for input size S; exact, as it
        counts sixteenths.
    boxes_xyxy : (K, 4) float32 array
        Jittered boxes around the objects, in pixels of the input.
    points_xy : (K, 1, 2) float32 array
        A pixel inside each object.
    input_size : int
        S.
    """

    rgb: NDArray[np.uint8]
    masks: NDArray[np.float16]
    boxes_xyxy: NDArray[np.float32]
    points_xy: NDArray[np.float32]
    input_size: int


@dataclass(frozen=True)
class Steps:
    """Training examples by step: a pure function of the settings, so a run resumes exactly.

    Parameters
    ----------
    sources : tuple of LabelledImages
        Real images; may be empty where all images are synthetic.
    settings : DataSettings
        How examples are drawn.
    """

    sources: tuple[LabelledImages, ...]
    settings: DataSettings

    def __getitem__(self, step: int) -> list[Example]:
        """Draw the examples of one step; all have the same input size."""
        s = self.settings
        rng = np.random.default_rng([s.seed, step])
        weights = np.asarray(s.size_weights)
        size = int(rng.choice(s.input_sizes, p=weights / weights.sum()))
        count = max(1, round(s.pixels_per_step / size**2))
        return [self._example(rng, size) for _ in range(count)]

    def _example(self, rng: np.random.Generator, size: int) -> Example:
        while True:
            scene = self._scene(rng, size)
            example = make_example(rng, scene, size, self.settings)
            if example is not None:
                return example

    def _scene(self, rng: np.random.Generator, size: int) -> Scene:
        if self._total and rng.random() >= self.settings.synthetic_share:
            index = int(rng.integers(self._total))
            for source in self.sources:
                if index < len(source):
                    return source[index]
                index -= len(source)
        kind = list(KINDS)[int(rng.integers(len(KINDS)))]
        least, most = np.log(160), np.log(max(160, min(size, self.settings.max_scene)))
        side = int(np.exp(rng.uniform(least, most)))
        return generate(kind, int(rng.integers(VALIDATION_SEED)), (side, side))

    @cached_property
    def _total(self) -> int:
        return sum(len(source) for source in self.sources)


def make_example(
    rng: np.random.Generator, scene: Scene, size: int, settings: DataSettings
) -> Example | None:
    """Crop, augment and prompt a scene; None where no object of it is large enough."""
    if not scene.labels.any():
        return None
    least = settings.min_crop
    if rng.random() < settings.whole_share:
        least = max(scene.labels.shape)
    image, layers = orient(rng, *crop(rng, scene, size, least))
    rgb = render(rng, image)
    frame = InputFrame(rgb.shape[:2], size)
    layers = [_resize_labels(labels, frame.resized_shape) for labels in layers]
    objects = _choose(rng, layers, settings.objects_per_image)
    if not objects:
        return None
    points = [_point_inside(rng, mask) for mask in objects]
    return Example(
        resize_to_input(rgb, frame),
        np.stack([_coverage(mask, size) for mask in objects]),
        np.stack([_jittered_box(rng, mask, frame.resized_shape) for mask in objects]),
        np.asarray(points, dtype=np.float32)[:, np.newaxis],
        size,
    )


def _choose(rng: np.random.Generator, layers: list[Labels], most: int) -> list[CroppedMask]:
    """Masks of up to ``most`` objects, neither specks nor all of the image."""
    least = _MIN_LOGIT_AREA * LOGITS_STRIDE**2
    found = []
    for layer, labels in enumerate(layers):
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        fit = np.flatnonzero((areas >= least) & (areas < 0.95 * labels.size))
        found += [(layer, int(label)) for label in fit]
    order = rng.permutation(len(found))[:most]
    places = [ndimage.find_objects(labels) for labels in layers]
    return [_cut(layers[layer], places[layer], label) for layer, label in (found[i] for i in order)]


def _cut(labels: Labels, places: list[tuple[slice, slice]], label: int) -> CroppedMask:
    rows, cols = places[label - 1]
    return CroppedMask(rows.start, cols.start, labels[rows, cols] == label)


def _point_inside(rng: np.random.Generator, mask: CroppedMask) -> tuple[float, float]:
    """Draw a pixel (x, y) of a mask: half of the time any, else one deep inside."""
    rows, cols = np.nonzero(mask.pixels)
    if rng.random() < 0.5:
        inside = ndimage.distance_transform_edt(np.pad(mask.pixels, 1))[1:-1, 1:-1]
        rows, cols = np.nonzero(inside >= 0.7 * inside.max())
    pick = int(rng.integers(len(rows)))
    return float(mask.x0 + cols[pick]), float(mask.y0 + rows[pick])


def _jittered_box(
    rng: np.random.Generator, mask: CroppedMask, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Box (x0, y0, x1, y1), each side off by a tenth of the box, at most 20 pixels.

    As SAM was trained: arXiv 2304.02643, appendix A, "Training algorithm".
    """
    y0, x0, y1, x1 = mask.box
    box = np.array([x0, y0, x1, y1], dtype=np.float64)
    side = np.tile(box[2:] - box[:2], 2)
    jitter = np.clip(rng.normal(0, 0.1, 4) * side, -20, 20) * rng.uniform(0, 1)
    return np.clip(box + jitter, 0, np.tile(shape[::-1], 2)).astype(np.float32)


def _coverage(mask: CroppedMask, size: int) -> NDArray[np.float16]:
    """Share of every logit's pixels that a mask covers, for a square input."""
    stride, side = LOGITS_STRIDE, size // LOGITS_STRIDE
    top, left = mask.y0 // stride, mask.x0 // stride
    height, width = mask.pixels.shape
    y, x = mask.y0 - top * stride, mask.x0 - left * stride
    aligned = np.zeros((-(-(y + height) // stride), stride, -(-(x + width) // stride), stride))
    aligned.reshape(aligned.shape[0] * stride, -1)[y : y + height, x : x + width] = mask.pixels
    covered = np.zeros((side, side), np.float16)
    covered[top : top + len(aligned), left : left + aligned.shape[2]] = aligned.mean((1, 3))
    return covered


def _resize_labels(labels: Labels, shape: tuple[int, int]) -> Labels:
    resized = Image.fromarray(labels).resize(shape[::-1], Image.Resampling.NEAREST)
    return np.asarray(resized)
