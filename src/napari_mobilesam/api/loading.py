"""From the name of a model to one that works."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mobilesam.api.model import MobileSAM
from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.inference.engine import choose_device, choose_precision
from napari_mobilesam.inference.engines import EngineName, choose_engine
from napari_mobilesam.zoo.card import ModelCard
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam
from napari_mobilesam.zoo.download import content_hash, embeddings_dir

if TYPE_CHECKING:  # zarr takes as long to import as a small plane to embed
    from napari_mobilesam.inference.cache import CachedEmbeddings, EmbeddingCache

INPUT_SIZES = range(64, 1024 + 1, 64)


def load_model(
    name: str = "micro",
    *,
    device: str = "auto",
    input_size: InputSize | None = None,
    detector: str | PathLike[str] | None = None,
    engine: EngineName = "torch",
    precision: str = "auto",
    cache: "bool | str | PathLike[str] | EmbeddingCache" = False,
) -> MobileSAM:
    """Load a model by its zoo name or from a checkpoint file.

    Parameters
    ----------
    name : str
        A name that ``napari-mobilesam models list`` shows, or the path of a checkpoint. A model
        that is not bundled is downloaded at its first use.
    device : str
        "auto" (a CUDA GPU if there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps".
    input_size : int or (int, int), optional
        Side of the encoder's square input in pixels, a multiple of 64 from 64 to 1024. Smaller
        is faster and coarser. Of two, the least and the greatest, the side is chosen by the
        plane's size (:func:`~napari_mobilesam.core.geometry.side_for`). What the model's card
        says, if not given.
    detector : path-like, optional
        Detector to propose boxes with in everything mode, as ``napari-mobilesam train detector``
        writes it; the model's own if not given.
    engine : "torch" or "openvino"
        What runs encoder and decoder. OpenVINO, for CPUs, is an extra:
        ``pip install "napari-mobilesam[openvino]"``.
    precision : "auto", "float32", "bfloat16" or "float16"
        What encoder and decoder compute in. "auto" is float16 on a GPU, bfloat16 on a CPU that
        has instructions for it, and float32 elsewhere.
    cache : bool, path-like or EmbeddingCache
        Keep embeddings on disk and read them where they are needed again: True for 10 GB in the
        user's cache folder, or another folder. All embeddings are then rounded to float16, so
        that the first run and later ones are equal.

    Raises
    ------
    UnknownModelError
        If there is neither such a model nor such a file, or no such detector.
    CheckpointError
        If the file is damaged, unsafe or made for another architecture.
    DownloadError
        If the weights cannot be fetched, or are not what the card promises.
    SettingsError
        If the device, the input size, the engine or the precision cannot be used.
    """
    card = get_card(name) if detector is None else get_card(name).with_detector(Path(detector))
    size = card.input_size if input_size is None else input_size
    sides = (size,) if isinstance(size, int) else tuple(size)
    if len(sides) > 2 or sides != tuple(sorted(sides)) or not set(sides) <= set(INPUT_SIZES):
        raise SettingsError(
            "this input size cannot be used",
            expected=f"a multiple of {INPUT_SIZES.step} from {INPUT_SIZES[0]} to {INPUT_SIZES[-1]}"
            ", or the least and the greatest",
            got=repr(size),
            remedy="Leave input_size=None for the size that suits the model.",
        )
    place = choose_device(device)
    build = choose_engine(engine, place, precision)
    dtype = str(choose_precision(precision, place))
    return MobileSAM(
        card,
        build(load_sam(card)),
        size,
        device=device,
        arithmetic=f"{engine} {dtype.removeprefix('torch.')} {place.type}",
        cached=_open_cache(cache, card, dtype),
    )


def _open_cache(
    cache: "bool | str | PathLike[str] | EmbeddingCache", card: ModelCard, precision: str
) -> "CachedEmbeddings | None":
    """Find the embeddings of a model by all that they depend on besides image and input size."""
    if cache is False:
        return None
    from napari_mobilesam.inference.cache import CachedEmbeddings, EmbeddingCache

    if not isinstance(cache, EmbeddingCache):
        cache = EmbeddingCache(embeddings_dir() if cache is True else Path(cache))
    weights = (content_hash(file) for file in card.sam_files if file.role != "decoder")
    model_key = " ".join((card.architecture, card.normalization, precision, *weights))
    return CachedEmbeddings(cache, model_key)
