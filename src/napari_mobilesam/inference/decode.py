"""From prompts to masks, in batches of prompts that are alike."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.errors import PromptError
from napari_mobilesam.core.geometry import InputFrame, Window
from napari_mobilesam.core.masks import MaskBatch
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.engine import Engine, PromptArrays
from napari_mobilesam.inference.memory import in_portions


def decode_object(
    engine: Engine, embedding: ImageEmbedding, prompts: Prompts, *, multimask: bool
) -> MaskBatch:
    """Decode the prompts of one object.

    Returns
    -------
    MaskBatch
        Three candidates, best predicted IoU first, or one.
    """
    logits, scores = decode_batch(engine, embedding, [prompts], multimask=multimask)
    order = np.argsort(-scores[0], kind="stable")
    return MaskBatch(logits[0, order], _as_iou(scores[0, order]), embedding.frame)


def decode_objects(
    engine: Engine,
    embedding: ImageEmbedding,
    prompts: Sequence[Prompts],
    *,
    windows: Sequence[Window] | None = None,
) -> MaskBatch:
    """Decode many objects to one mask each, in the order of their prompts.

    With ``windows``, (y0, x0, y1, x1) in positions of the embedding, the logits of each object are
    valid in its window alone, and far below zero elsewhere.
    """
    logits, scores = decode_batch(engine, embedding, prompts, multimask=False, windows=windows)
    return MaskBatch(logits[:, 0], _as_iou(scores[:, 0]), embedding.frame)


def decode_candidates(
    engine: Engine, embedding: ImageEmbedding, prompts: Sequence[Prompts]
) -> MaskBatch:
    """Decode many objects to all three candidates each: masks 3i, 3i + 1, 3i + 2 are object i's."""
    logits, scores = decode_batch(engine, embedding, prompts, multimask=True)
    side = logits.shape[-1]
    return MaskBatch(logits.reshape(-1, side, side), _as_iou(scores.reshape(-1)), embedding.frame)


def decode_batch(
    engine: Engine,
    embedding: ImageEmbedding,
    prompts: Sequence[Prompts],
    *,
    multimask: bool,
    windows: Sequence[Window] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode any mixture of prompts; those alike in kind and number go through together.

    ``windows`` are as for :func:`decode_objects`.

    Returns
    -------
    logits : (N, K, S/4, S/4) float32 array
        K is 3 with ``multimask``, else 1.
    scores : (N, K) float32 array
        Predicted IoU as the network gives it.

    Raises
    ------
    PromptError
        If a mask input does not have the size of this embedding's logits, or a prompt reaches out
        of the window that was embedded.
    OutOfMemoryError
        If the memory does not suffice for a single object.
    """
    frame = embedding.frame
    _check_seen(prompts, frame)
    count = 3 if multimask else 1
    logits = np.empty((len(prompts), count, frame.logits_size, frame.logits_size), dtype=np.float32)
    scores = np.empty((len(prompts), count), dtype=np.float32)

    def decode(chunk: Sequence[int]) -> None:
        logits[chunk], scores[chunk] = engine.decode(
            embedding.features,
            _stack([prompts[i] for i in chunk], frame),
            multimask=multimask,
            input_size=frame.input_size,
            windows=None if windows is None else [windows[i] for i in chunk],
        )

    for indices in _alike(prompts):
        in_portions(engine, indices, decode)
    return logits, scores


def _alike(prompts: Sequence[Prompts]) -> list[list[int]]:
    groups: dict[tuple[int, bool, bool], list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        kind = (len(prompt.points_yx), prompt.box_yxyx is None, prompt.mask_input is None)
        groups[kind].append(index)
    return list(groups.values())


def _check_seen(prompts: Sequence[Prompts], frame: InputFrame) -> None:
    if frame.window is None:
        return
    y0, x0, y1, x1 = frame.window
    for prompt in prompts:
        first_y, first_x, last_y, last_x = prompt.extent_yxyx
        starts_inside = first_y >= y0 - 0.5 and first_x >= x0 - 0.5  # pixel centres at integers
        if not (starts_inside and last_y <= y1 and last_x <= x1):
            raise PromptError(
                "a prompt lies outside of what was embedded",
                expected=f"prompts in the window {frame.window}",
                got=f"one from {(first_y, first_x)} to {(last_y, last_x)}",
                remedy="Embed a window around the prompt, or the whole plane.",
            )


def _stack(prompts: Sequence[Prompts], frame: InputFrame) -> PromptArrays:
    points = labels = boxes = masks = None
    if len(prompts[0].points_yx):
        points_yx = np.stack([prompt.points_yx for prompt in prompts])
        points = frame.points_to_input(points_yx).astype(np.float32)
        labels = np.stack([prompt.point_labels for prompt in prompts])
    if prompts[0].box_yxyx is not None:
        boxes_yxyx = np.array([prompt.box_yxyx for prompt in prompts], dtype=np.float64)
        boxes = frame.boxes_to_input(boxes_yxyx).astype(np.float32)
    if prompts[0].mask_input is not None:
        masks = np.stack([_fitting(prompt.mask_input, frame) for prompt in prompts])[:, np.newaxis]
    return PromptArrays(points, labels, boxes, masks)


def _fitting(mask_input: NDArray[np.float32] | None, frame: InputFrame) -> NDArray[np.float32]:
    expected = (frame.logits_size, frame.logits_size)
    if mask_input is None or mask_input.shape != expected:
        raise PromptError(
            "the mask input does not fit this embedding",
            expected=f"low-resolution logits {expected} for input size {frame.input_size}",
            got="none" if mask_input is None else f"shape {mask_input.shape}",
            remedy="Use the low_res_logits of a prediction at this input size.",
        )
    return mask_input


def _as_iou(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring predicted IoU, which the network does not bound, into [0, 1]."""
    return np.clip(scores, 0.0, 1.0)
