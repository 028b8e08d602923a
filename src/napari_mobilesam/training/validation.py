"""Synthetic scenes to validate by."""

from napari_mobilesam.core.scene import Scene
from napari_mobilesam.training.synthetic import generate


def validation_scenes(kind: str, count: int, side: int = 384) -> list[Scene]:
    """Synthetic scenes of a kind that training never draws: their seeds start at 2**31."""
    return [generate(kind, 2**31 + i, (side, side)) for i in range(count)]
