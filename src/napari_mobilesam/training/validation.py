"""Synthetic scenes to validate by."""

from napari_mobilesam.core.scene import Scene
from napari_mobilesam.training.synthetic import generate

VALIDATION_SEED = 2**31
"""Scenes to learn from have seeds below."""


def validation_scenes(kind: str, count: int, side: int = 384) -> list[Scene]:
    """Synthetic scenes of a kind that training never draws: their seeds are higher."""
    return [generate(kind, VALIDATION_SEED + i, (side, side)) for i in range(count)]
