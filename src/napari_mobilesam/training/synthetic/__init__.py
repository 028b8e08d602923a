"""An endless, seeded source of scientific-looking images with exact instance labels."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.training.synthetic import (
    electron,
    fluorescence,
    materials,
    occlusion,
    stained,
    transmitted,
)

KINDS: Mapping[str, Callable[[np.random.Generator, tuple[int, int]], Scene]] = MappingProxyType(
    {
        "shapes": occlusion.shapes,
        "fluorescent_nuclei": fluorescence.nuclei,
        "fluorescent_cells": fluorescence.cells,
        "vesicles": fluorescence.vesicles,
        "phase_contrast": transmitted.phase_contrast,
        "dic": transmitted.dic,
        "bacteria": transmitted.bacteria,
        "filaments": transmitted.filaments,
        "yeast": transmitted.yeast,
        "tissue": stained.tissue,
        "blood_smear": stained.blood_smear,
        "em_membranes": electron.membranes,
        "em_organelles": electron.organelles,
        "em_nuclei": electron.nucleus_section,
        "grains": materials.grains,
        "packed_grains": materials.packed_grains,
        "pores": materials.pores,
        "crystals": materials.crystals,
        "particles": materials.particles,
        "dead_leaves": occlusion.dead_leaves,
    }
)
"""Every kind of scene by name, from simple to hard within each family."""


def generate(kind: str, seed: int, size: tuple[int, int]) -> Scene:
    """Make one scene; the same arguments always give the same pixels.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    seed : int
        Not negative.
    size : tuple of int
        Height and width in pixels, 64 or more each.

    Raises
    ------
    SettingsError
        If the kind is unknown or the size too small.
    """
    if kind not in KINDS:
        raise SettingsError(
            "there is no such kind of scene", expected=", ".join(KINDS), got=repr(kind)
        )
    if min(size) < 64:
        raise SettingsError("the scene is too small", expected="64 pixels or more", got=str(size))
    return KINDS[kind](np.random.default_rng([seed, *kind.encode()]), size)
