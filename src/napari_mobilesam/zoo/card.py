"""What a model card says: what a model is for, which files it needs, how they are checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_mobilesam.core.errors import UnknownModelError
from napari_mobilesam.core.geometry import InputSize
from napari_mobilesam.core.settings import EverythingSettings

if TYPE_CHECKING:  # torch stays out of a mere list of models
    from napari_mobilesam.models.detector import DetectorArchitecture
    from napari_mobilesam.models.sam import Architecture

Role = Literal["sam", "encoder", "decoder", "detector"]


@dataclass(frozen=True, slots=True)
class Local:
    """A file on this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file inside another Python distribution, found without importing it.

    Parameters
    ----------
    distribution : str
        Name by which pip knows the distribution.
    path : str
        Path of the file in the installed distribution.
    """

    distribution: str
    path: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is downloaded at its first use.

    Parameters
    ----------
    urls : tuple of str
        Where it is published, the origin first, then its mirrors.
    """

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of weights.

    Parameters
    ----------
    role : "sam", "encoder", "decoder" or "detector"
        Which parameters are taken from it: all of SAM, the image encoder alone, the prompt encoder
        and mask decoder, or the object detector.
    name : str
        File name in the cache, unique in the zoo.
    source : Local, Shipped or Download
        Where it comes from.
    sha256, xxh128 : str, optional
        Its hash, in hexadecimal digits. Without any, the first download is pinned.
    size : int, optional
        Bytes, to announce a download.
    """

    role: Role
    name: str
    source: Local | Shipped | Download
    sha256: str | None = None
    xxh128: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All there is to know about a model before it is loaded.

    Parameters
    ----------
    name : str
        What users type; the absolute path if the card describes a local file.
    title : str
        What users read.
    purpose : str
        One sentence on when to choose it.
    architecture : Architecture
        Network that :func:`~napari_mobilesam.models.sam.build_sam` builds.
    files : tuple of WeightFile
        Where its parameters come from, the detector's among them.
    licence : str
        SPDX expression for the weights of the masks; those of the detectors are AGPL-3.0.
    citation : str
        Whom to credit, and where the weights come from.
    normalization : "mean_std" or "min_max"
        How pixel values become network input.
    input_size : InputSize
        Side of the encoder's square input, in pixels, that suits it best, or the least and the
        greatest.
    detector : DetectorArchitecture
        Network that :func:`~napari_mobilesam.models.detector.build_detector` builds.
    everything : EverythingSettings
        Parameters of everything mode that suit it best.
    closer : bool
        Whether a small object is looked at again in a window around it: for encoders that are quick
        enough, and were taught on parts of images.
    """

    name: str
    title: str
    purpose: str
    architecture: Architecture
    files: tuple[WeightFile, ...]
    licence: str
    citation: str
    normalization: Literal["mean_std", "min_max"] = "mean_std"
    input_size: InputSize = 1024
    detector: DetectorArchitecture = "yolov8n"
    everything: EverythingSettings = field(default_factory=EverythingSettings)
    closer: bool = False

    @property
    def sides(self) -> str:
        """The input size as text."""
        size = self.input_size
        return str(size) if isinstance(size, int) else f"{size[0]} to {size[1]}"

    @property
    def sam_files(self) -> tuple[WeightFile, ...]:
        """Files that hold the encoder and the decoder."""
        return tuple(file for file in self.files if file.role != "detector")

    @property
    def detector_file(self) -> WeightFile:
        """The file that holds the detector."""
        return next(file for file in self.files if file.role == "detector")

    def with_detector(self, path: Path) -> ModelCard:
        """Put a detector of the same architecture, from a file on this machine, in its place.

        Raises
        ------
        UnknownModelError
            If there is no such file.
        """
        if not path.is_file():
            raise UnknownModelError(
                "there is no such detector",
                got=str(path),
                remedy="Give the path of a detector.safetensors that a training has written.",
            )
        file = WeightFile("detector", path.name, Local(path.resolve()))
        return replace(self, files=(*self.sam_files, file))

    @property
    def is_bundled(self) -> bool:
        """Whether it works without any download."""
        return all(isinstance(file.source, Local) for file in self.files)
