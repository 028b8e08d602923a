"""Read checkpoints of every origin into one flat dictionary, and write safetensors."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_mobilesam.core.errors import CheckpointError
from napari_mobilesam.zoo.unpickle import read_pickled_module

_CONTAINERS = ("model", "state_dict", "model_state")
"""Entries under which training code keeps the state of the model, beside other things."""

MAX_ENTRIES = 1_000_000
"""A checkpoint has fewer; dictionaries that share their parts can be walked through without end."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint without running code that it may carry.

    Parameters
    ----------
    path : Path
        A safetensors file, a state dictionary saved by torch, alone or inside a training
        checkpoint, or a module pickled by ultralytics.

    Returns
    -------
    dict of str to Tensor
        By dotted name, on the CPU, in the type they were stored in.

    Raises
    ------
    CheckpointError
        If the file is damaged, unsafe, or holds no tensors.
    """
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not tensors:
        raise CheckpointError(
            f"{path.name} holds no tensors",
            expected="the parameters of a model",
            remedy="Choose the file that holds the weights.",
        )
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # damaged bytes lead to exceptions of any kind
        raise _damaged(path, "a complete safetensors file", error) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    is_archive = _is_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except pickle.UnpicklingError as error:
        if is_archive:
            return read_pickled_module(path)
        raise _damaged(path, "a state dictionary saved by torch", error) from error
    except Exception as error:  # damaged bytes lead to exceptions of any kind
        raise _damaged(path, "a state dictionary saved by torch", error) from error
    return _state(path, content)


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # one of several disks
        return False


def _state(path: Path, content: object) -> dict[str, Tensor]:
    """Tensors of a state dictionary, alone or inside a training checkpoint."""
    if isinstance(content, Mapping):
        for name in _CONTAINERS:
            content = content[name] if isinstance(content.get(name), Mapping) else content
    try:
        return dict(_flatten(content, "", count()))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "dictionaries of tensors", error) from error


def _flatten(content: object, prefix: str, walked: Iterator[int]) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested dictionaries, named by the path that leads to them."""
    if next(walked) > MAX_ENTRIES:
        raise ValueError("dictionaries without end")
    if isinstance(content, Tensor):
        yield prefix.removesuffix("."), content
    elif isinstance(content, Mapping):
        for name, entry in content.items():
            yield from _flatten(entry, f"{prefix}{name}.", walked)


def _damaged(path: Path, expected: str, error: Exception) -> CheckpointError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CheckpointError(
        f"{path.name} cannot be read",
        expected=expected,
        got=reason,
        remedy="If it was downloaded, delete it and fetch it again.",
    )
