"""The work of a batch, as the Batch widget asks for it; torch is imported only by the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.imports import without_triton
from napari_mobilesam.core.settings import EverythingSettings
from napari_mobilesam.plugin.models import LoadModel
from napari_mobilesam.plugin.preferences import BatchPreferences, Preferences, side_shown

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = ";"
"""What stands between several paths."""


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A batch to be run in a worker.

    Parameters
    ----------
    images, formats : tuple of str
        Paths, and names in :data:`~napari_mobilesam.io.annotations.FORMATS`.
    output : str
        Folder to write to.
    settings : EverythingSettings
        How objects are found.
    plane, channels : tuple of int or None
        How images are read.
    tile : int or None
        Side of the tiles to look at.
    load : LoadModel
        The model.
    """

    images: tuple[str, ...]
    formats: tuple[str, ...]
    output: str
    settings: EverythingSettings
    plane: tuple[int, ...] | None
    channels: tuple[int, ...] | None
    tile: int | None
    load: LoadModel

    @classmethod
    def of(
        cls, chosen: BatchPreferences, settings: EverythingSettings, preferences: Preferences
    ) -> BatchRun:
        """Find the work that was asked for.

        Raises
        ------
        SettingsError
            If something is missing or cannot be read.
        """
        images, formats = words(chosen.images, BETWEEN), words(chosen.formats, ",")
        needed = {"images": images, "an output folder": chosen.output, "a format": formats}
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise SettingsError(f"Choose {' and '.join(missing)}")
        return cls(
            images,
            formats,
            chosen.output,
            settings,
            whole_numbers(chosen.plane, "Plane"),
            whole_numbers(chosen.channels, "Channels"),
            chosen.tile or None,
            LoadModel(chosen.model, preferences.device, 0, side_shown(chosen.input_size)),
        )

    def run(self, progress: Callable[[int, int], None]) -> pd.DataFrame:
        """Load the model, then find the objects of one image after the other."""
        progress(0, 0)
        sam = self.load.run(lambda _done, _total: progress(0, 0))
        with without_triton():
            from napari_mobilesam.bulk.files import batch

        return batch(
            self.images,
            self.output,
            model=sam,
            formats=self.formats,
            settings=self.settings,
            plane=self.plane,
            channels=self.channels,
            tile=self.tile,
            progress=progress,
        )


def words(text: str, between: str) -> tuple[str, ...]:
    """Parts of a text, without the empty ones."""
    return tuple(part.strip() for part in text.split(between) if part.strip())


def whole_numbers(text: str, title: str) -> tuple[int, ...] | None:
    """Read whole numbers with commas between them; None of an empty text.

    Raises
    ------
    SettingsError
        If they are none.
    """
    try:
        return tuple(int(word) for word in words(text, ",")) or None
    except ValueError as error:
        raise SettingsError(
            f"{title} cannot be {text!r}", expected="whole numbers such as 0,2"
        ) from error
