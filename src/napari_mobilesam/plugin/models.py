"""Models to choose from, and the work of loading one; torch is imported only by the latter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from napari_mobilesam.core.errors import DownloadError
from napari_mobilesam.core.imports import load_torch_libraries, without_triton
from napari_mobilesam.core.responsive import uncollected
from napari_mobilesam.plugin.preferences import side_shown
from napari_mobilesam.zoo.catalog import get_card, list_cards
from napari_mobilesam.zoo.download import cached_path, embeddings_dir, fetch

if TYPE_CHECKING:
    from napari_mobilesam.api import MobileSAM
    from napari_mobilesam.inference.cache import EmbeddingCache
    from napari_mobilesam.plugin.preferences import Preferences
    from napari_mobilesam.zoo.card import ModelCard, WeightFile


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model of the zoo, as a menu shows it.

    Parameters
    ----------
    name : str
        What :func:`~napari_mobilesam.api.load_model` takes.
    label : str
        Its name and, where it must be downloaded first, how much that is.
    purpose : str
        When to choose it.
    """

    name: str
    label: str
    purpose: str


def model_choices() -> list[ModelChoice]:
    """All models of the zoo, the default first."""
    return [ModelChoice(card.name, _label(card), card.purpose) for card in list_cards()]


def _label(card: ModelCard) -> str:
    missing = [file for file in card.files if not _is_here(file)]
    if not missing:
        return card.name
    megabytes = sum(file.size or 0 for file in missing) / 1e6
    return f"{card.name} (download, {megabytes:,.0f} MB)"


def _is_here(file: WeightFile) -> bool:
    try:
        return cached_path(file).is_file()
    except DownloadError:
        return False


@dataclass(frozen=True, slots=True)
class LoadModel:
    """The work of loading a model, with its download if there is one.

    Parameters
    ----------
    name, device : str
        What :func:`~napari_mobilesam.api.load_model` takes.
    cache_gigabytes : int
        Size of the cache of embeddings; 0 for none.
    input_size : int, optional
        Side of the encoder's input, in pixels; the model's own if not given.
    """

    name: str
    device: str
    cache_gigabytes: int
    input_size: int | None = None

    @classmethod
    def of(cls, preferences: Preferences) -> LoadModel:
        """Find the work that preferences ask for."""
        side = side_shown(preferences.input_size)
        return cls(preferences.model, preferences.device, preferences.cache_gigabytes, side)

    def run(self, progress: Callable[[int, int], None]) -> MobileSAM:
        """Fetch what is missing, then build the networks; ``progress`` is told bytes."""
        for file in get_card(self.name).files:
            fetch(file, progress)
        load_torch_libraries()
        with uncollected(), without_triton():
            from napari_mobilesam.api import load_model

            import_module("napari_mobilesam.session.session")  # needed next, while painting
            return load_model(
                self.name, device=self.device, input_size=self.input_size, cache=self._cache()
            )

    def _cache(self) -> EmbeddingCache | Literal[False]:
        if not self.cache_gigabytes:
            return False
        from napari_mobilesam.inference.cache import EmbeddingCache

        return EmbeddingCache(embeddings_dir(), self.cache_gigabytes * 10**9)
