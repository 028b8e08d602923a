"""How what is drawn now goes on from what was decoded before.

All of it can be told from the prompts and from the steps that led to a mask, so that a session
file, which holds those, is replayed to the same masks.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_mobilesam.core.drawn import DrawnPrompt, Mode, extent
from napari_mobilesam.core.field import FieldOfView, closer_look, window_around
from napari_mobilesam.core.geometry import Window
from napari_mobilesam.session.requests import Decoded, Step

Drawn = tuple[DrawnPrompt, ...]


def continued(before: Decoded | None, used: Drawn, mode: Mode) -> Decoded | None:
    """Return the mask that is only corrected, by more prompts, or is asked for again."""
    if before is None or not before.is_one_object or mode != "one":
        return None
    drawn = before.steps[-1].drawn
    return before if used[: len(drawn)] == drawn else None


def window_for(
    used: Drawn, before: Decoded | None, plane_shape: tuple[int, int], field: FieldOfView
) -> Window | None:
    """Choose what is embedded for prompts; a mask is corrected where it was decoded."""
    if not used:
        return None
    around = extent(used)
    if before is not None and _holds(before.window, around):
        return before.window
    return window_around(around, plane_shape, field)


def steps_to(
    used: Drawn, before: Decoded | None, window: Window | None, chosen: int
) -> tuple[tuple[Step, ...], NDArray[np.float32] | None]:
    """Find the steps that lead to what is drawn, and the logits that the last goes on from.

    ``chosen`` is the candidate of ``before`` that is gone on from, if the window is the same.
    """
    if before is None or window != before.window:
        return (Step(used),), None
    *earlier, last = before.steps
    corrected = replace(last, chosen=chosen)
    if used == last.drawn:
        return (*earlier, corrected), before.refined
    more = Step(used, closer=last.closer)
    return (*earlier, corrected, more), before.batch.low_res_logits[chosen]


def closer_window(decoded: Decoded) -> Window | None:
    """Choose a window in which one object is looked at again, if it was seen too small.

    None where somebody has chosen a candidate: it would be lost.
    """
    last = decoded.steps[-1]
    is_chosen = any(step.chosen for step in decoded.steps)
    if not decoded.is_one_object or last.closer is not None or is_chosen:
        return None
    scores, frame = decoded.batch.scores.tolist(), decoded.embedding.frame
    return closer_look(decoded.masks, scores, extent(last.drawn), frame)


def _holds(window: Window | None, extent_yxyx: tuple[float, float, float, float]) -> bool:
    if window is None:
        return True
    y0, x0, y1, x1 = extent_yxyx
    return window[0] - 0.5 <= y0 and window[1] - 0.5 <= x0 and y1 <= window[2] and x1 <= window[3]
