"""Decode an object again where the encoder sees it larger.

What is small in the encoder's input has a mask of few logits, and few positions of the embedding to
tell it from what is beside it. The first mask says how large the object is; a window around it is
embedded then, and the same prompts are decoded there.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from napari_mobilesam.core.field import closer_look
from napari_mobilesam.core.geometry import InputFrame, Window
from napari_mobilesam.core.masks import CroppedMask, MaskBatch
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.inference.decode import decode_batch
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.engine import Engine

EmbedWindow = Callable[[Window], ImageEmbedding]
"""Embeds a window of the plane."""

Answer = tuple[tuple[CroppedMask, ...], tuple[float, ...]]
"""Candidates of an object, best first, and their predicted IoU."""


def window_closer(answer: Answer, prompts: Prompts, frame: InputFrame) -> Window | None:
    """Choose a window for a closer look at an object; None where it was seen large enough.

    Prompts that go on from an earlier mask stay where that was decoded.
    """
    if prompts.mask_input is not None:
        return None
    return closer_look(*answer, prompts.extent_yxyx, frame)


def decode_each(
    engine: Engine, embedding: ImageEmbedding, prompts: Sequence[Prompts], *, multimask: bool
) -> list[Answer]:
    """Decode objects one by one as far as memory goes, to cropped masks.

    Returns
    -------
    list of Answer
        One an object: three candidates with ``multimask``, else one.
    """
    found: list[Answer] = []
    for start in range(0, len(prompts), engine.chunk_size):
        some = prompts[start : start + engine.chunk_size]
        for logits, scores in zip(
            *decode_batch(engine, embedding, some, multimask=multimask), strict=True
        ):
            order = np.argsort(-scores, kind="stable")
            batch = MaskBatch(logits[order], scores[order], embedding.frame)
            found.append((tuple(batch.crops()), tuple(batch.scores.tolist())))
    return found


def decode_closer(
    engine: Engine,
    embedding: ImageEmbedding,
    embed: EmbedWindow,
    prompts: Sequence[Prompts],
    *,
    multimask: bool,
) -> list[Answer]:
    """Decode objects as :func:`decode_each`, and the small ones again in windows around them.

    Parameters
    ----------
    engine, embedding
        The model, and what its encoder says about the plane.
    embed : callable
        Embeds a window of the plane; called once for each window.
    prompts : sequence of Prompts
        One an object.
    multimask : bool
        Three candidates an object, or one.
    """
    found = decode_each(engine, embedding, prompts, multimask=multimask)
    near: dict[Window, list[int]] = defaultdict(list)
    for index, answer in enumerate(found):
        window = window_closer(answer, prompts[index], embedding.frame)
        if window is not None:
            near[window].append(index)
    for window, indices in near.items():
        some = [prompts[index] for index in indices]
        again = decode_each(engine, embed(window), some, multimask=multimask)
        for index, answer in zip(indices, again, strict=True):
            found[index] = answer
    return found
