"""Read the tensors of a pickled torch module without running anything that the pickle names.

Old ultralytics checkpoints hold whole pickled modules. Unpickling them as they are would import
and call whatever the file asks for. Here every class of a module becomes an inert placeholder,
tensors are rebuilt by this file alone, and all else is refused.
"""

import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from napari_mobilesam.core.errors import CheckpointError

_PLACEHOLDER_MODULES = re.compile(r"(ultralytics|torch\.nn|numpy|pathlib|_codecs)(\..*)?")
"""Modules whose classes and functions are named in checkpoints beside the tensors."""

_STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

MAX_MODULES = 100_000
"""A network has fewer; modules that share their parts can be walked through without end."""


class Placeholder:
    """Stands for an object of any class; keeps its state and does nothing."""

    def __init__(self, *_: object) -> None:
        """Accept whatever the class would have been called with."""

    def __setstate__(self, state: object) -> None:
        """Keep the attributes, if the state is made of any."""
        if isinstance(state, dict):
            vars(self).update(state)


def read_pickled_module(path: Path) -> dict[str, Tensor]:
    """Collect the parameters and buffers of a pickled module, as its ``state_dict`` would.

    Parameters
    ----------
    path : Path
        A zip archive that ``torch.save`` wrote: a module, or a dictionary that holds one under
        "ema" or "model".

    Raises
    ------
    CheckpointError
        If the pickle asks for anything but tensors, plain containers and module classes, or is
        damaged.
    """
    content = _read(path)
    if isinstance(content, dict):
        content = content.get("ema") or content.get("model")
    try:
        return dict(_walk(content, "", count()))
    except Exception as error:  # whatever a placeholder holds or lacks
        raise _damaged(path, error) from error


def _read(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return _ModuleUnpickler.of(archive).load()
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes lead to exceptions of any kind
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path.name} cannot be read",
        expected="a module saved by torch",
        got=f"{type(error).__name__}: {error}",
        remedy="If it was downloaded, delete it and fetch it again.",
    )


class _ModuleUnpickler(pickle.Unpickler):
    """Builds tensors, plain containers and placeholders, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, pickle_name: str) -> None:
        content = archive.read(_stored(archive, pickle_name))
        _refuse_far_memo(content)
        super().__init__(io.BytesIO(content))
        self._archive = archive
        self._data = PurePosixPath(pickle_name).parent / "data"
        self._storages: dict[str, Tensor] = {}

    @classmethod
    def of(cls, archive: zipfile.ZipFile) -> "_ModuleUnpickler":
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise pickle.UnpicklingError(f"{len(names)} pickles in the archive, not one")
        return cls(archive, names[0])

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a global of the pickle; pickle protocol."""
        if _PLACEHOLDER_MODULES.fullmatch(module):
            # A class of its own each time, so that no file can alter what another one gets.
            return type(name, (Placeholder,), {})
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        builders: dict[tuple[str, str], Callable[..., object]] = {
            ("__builtin__", "set"): set,
            ("builtins", "set"): set,
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "Size"): tuple,
            ("torch", "device"): str,
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): self._rebuild_parameter,
        }
        if (module, name) not in builders:
            raise CheckpointError(
                f"{Path(str(self._archive.filename)).name} is unsafe",
                expected="tensors, plain containers and modules of torch or ultralytics",
                got=f"a call of {module}.{name}",
                remedy="Do not open it with other software; ask its author for safetensors.",
            )
        return builders[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Read the flat storage that a tensor is a view of; pickle protocol."""
        _, dtype, key, _, size = pid
        if key not in self._storages:
            content = self._archive.read(_stored(self._archive, str(self._data / str(key))))
            if len(content) < size * dtype.itemsize:
                raise pickle.UnpicklingError(f"storage {key} is cut off")
            self._storages[key] = torch.frombuffer(bytearray(content), dtype=dtype)
        return self._storages[key]

    def _rebuild_tensor(
        self, storage: Tensor, offset: int, shape: Any, stride: Any, *_: object
    ) -> Tensor:
        return storage.as_strided(shape, stride, offset)

    def _rebuild_parameter(self, data: Tensor, *_: object) -> Tensor:
        return data


def _refuse_far_memo(content: bytes) -> None:
    """Refuse to number an object higher than there are bytes: the numbers take memory."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError(f"object number {argument} in {len(content)} bytes")


def _stored(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Entry of an archive, uncompressed as torch writes it and no zip bomb is."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError(f"{name} is compressed")
    return entry


def _walk(module: Any, prefix: str, walked: Iterator[int]) -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers of a placeholder and of the modules in it."""
    if next(walked) > MAX_MODULES:
        raise pickle.UnpicklingError("modules without end")
    state = vars(module)
    transient = state.get("_non_persistent_buffers_set", ())
    for name, tensor in (state["_parameters"] | state["_buffers"]).items():
        if isinstance(tensor, Tensor) and name not in transient:
            yield prefix + name, tensor
    for name, child in state["_modules"].items():
        yield from _walk(child, f"{prefix}{name}.", walked)
