"""How much two models agree: the masks of one against those of the other."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import crop_iou
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.evaluation.prompted import objects_of, prompt_box, prompt_centre
from napari_mobilesam.inference.decode import decode_object
from napari_mobilesam.inference.encode import ImageEmbedding, embed_plane
from napari_mobilesam.inference.engine import Engine


@dataclass(frozen=True, slots=True)
class Agreement:
    """IoU of two models' masks for the same prompts; nan where there was nothing to ask for.

    Parameters
    ----------
    box, worst_box : float
        Mean and least IoU of the masks from an object's box.
    point, worst_point : float
        Of those from one point deep inside it, the candidate that each model scores best.
    objects : int
        How many objects were asked for.
    """

    box: float
    worst_box: float
    point: float
    worst_point: float
    objects: int


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """An image as one of the models sees it."""

    engine: Engine
    embedding: ImageEmbedding

    @classmethod
    def of(cls, engine: Engine, scene: Scene, input_size: InputSize) -> "_Embedded":
        return cls(engine, embed_plane(engine, scene.image, model="", input_size=input_size))

    def mask(self, prompts: Prompts, multimask: bool) -> CroppedMask:
        """Mask of an object, the best by its score where there are three."""
        return decode_object(self.engine, self.embedding, prompts, multimask=multimask).crop(0)


def mask_agreement(
    engine: Engine,
    other_engine: Engine,
    scenes: Iterable[Scene],
    input_size: InputSize,
    objects_per_image: int | None = 12,
    *,
    other_input_size: InputSize | None = None,
) -> Agreement:
    """Compare two models' masks, as MobileSAM was compared with SAM (arXiv 2306.14289, section 4).

    Parameters
    ----------
    engine, other_engine : Engine
        Run the models.
    scenes : iterable of Scene
        Labelled images; the labels only say where to prompt.
    input_size : InputSize
        Side of the encoder's input, in pixels.
    objects_per_image : int, optional
        Most objects of an image, as for :func:`~.prompted.evaluate_prompts`.
    other_input_size : InputSize, optional
        That of the other model; the same by default.
    """
    box: list[float] = []
    point: list[float] = []
    for scene in scenes:
        models = [
            _Embedded.of(engine, scene, input_size),
            _Embedded.of(other_engine, scene, other_input_size or input_size),
        ]
        for mask in objects_of(scene, objects_per_image):
            for values, ask, multimask in ((box, prompt_box, False), (point, prompt_centre, True)):
                prompts = ask(mask, scene.labels.shape)
                values.append(crop_iou(*(model.mask(prompts, multimask) for model in models)))
    return Agreement(*_mean_and_least(box), *_mean_and_least(point), len(box))


def _mean_and_least(values: list[float]) -> tuple[float, float]:
    return (float(np.mean(values)), min(values)) if values else (float("nan"), float("nan"))
