"""Label scientific images with MobileSAM and MobileSAMv2, in napari or without it.

>>> import napari_mobilesam as mobilesam
>>> sam = mobilesam.load_model("micro")
>>> embedding = sam.embed(image)
>>> masks = sam.predict(embedding, points=[(120, 80)])

The names below are imported when they are first used, so that importing this package loads
neither torch nor napari.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mobilesam.api import MobileSAM, load_model
    from napari_mobilesam.bulk.advise import Advice, advise
    from napari_mobilesam.bulk.files import batch
    from napari_mobilesam.bulk.follow import FollowedObject, follow
    from napari_mobilesam.bulk.plane import LargeInstances, segment_dask, segment_large
    from napari_mobilesam.bulk.stack import StackInstances, segment_stack
    from napari_mobilesam.core.errors import (
        CancelledError,
        CheckpointError,
        DownloadError,
        FileFormatError,
        HashMismatchError,
        ImageError,
        MobileSAMError,
        PromptError,
        SettingsError,
        UnknownModelError,
    )
    from napari_mobilesam.core.field import window_around
    from napari_mobilesam.core.instances import Instances
    from napari_mobilesam.core.masks import MaskBatch
    from napari_mobilesam.core.prompts import Prompts
    from napari_mobilesam.core.settings import EverythingSettings, FollowSettings, LinkSettings
    from napari_mobilesam.evaluation.evaluate import Evaluation, evaluate
    from napari_mobilesam.inference.cache import EmbeddingCache
    from napari_mobilesam.inference.encode import ImageEmbedding
    from napari_mobilesam.scripting import open_session, replay_session
    from napari_mobilesam.session.session import Session

__all__ = [
    "Advice",
    "CancelledError",
    "CheckpointError",
    "DownloadError",
    "EmbeddingCache",
    "Evaluation",
    "EverythingSettings",
    "FileFormatError",
    "FollowSettings",
    "FollowedObject",
    "HashMismatchError",
    "ImageEmbedding",
    "ImageError",
    "Instances",
    "LargeInstances",
    "LinkSettings",
    "MaskBatch",
    "MobileSAM",
    "MobileSAMError",
    "PromptError",
    "Prompts",
    "Session",
    "SettingsError",
    "StackInstances",
    "UnknownModelError",
    "__version__",
    "advise",
    "batch",
    "evaluate",
    "follow",
    "load_model",
    "open_session",
    "replay_session",
    "segment_dask",
    "segment_large",
    "segment_stack",
    "window_around",
]

_HOME = {
    "Advice": "bulk.advise",
    "EmbeddingCache": "inference.cache",
    "Evaluation": "evaluation.evaluate",
    "EverythingSettings": "core.settings",
    "FollowSettings": "core.settings",
    "FollowedObject": "bulk.follow",
    "ImageEmbedding": "inference.encode",
    "Instances": "core.instances",
    "LargeInstances": "bulk.plane",
    "LinkSettings": "core.settings",
    "MaskBatch": "core.masks",
    "MobileSAM": "api",
    "Prompts": "core.prompts",
    "Session": "session.session",
    "StackInstances": "bulk.stack",
    "advise": "bulk.advise",
    "batch": "bulk.files",
    "evaluate": "evaluation.evaluate",
    "follow": "bulk.follow",
    "load_model": "api",
    "open_session": "scripting",
    "replay_session": "scripting",
    "segment_dask": "bulk.plane",
    "segment_large": "bulk.plane",
    "segment_stack": "bulk.stack",
    "window_around": "core.field",
}

__version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-mobilesam")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_mobilesam.core.imports import without_triton

    with without_triton():
        value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'core.errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
