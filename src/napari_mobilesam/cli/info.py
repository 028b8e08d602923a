"""``napari-mobilesam info``: what a bug report should say about this machine."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

import napari_mobilesam
from napari_mobilesam.core.errors import DownloadError
from napari_mobilesam.zoo.card import WeightFile
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.download import cache_dir, cached_path, check, embeddings_dir

BUNDLED = "micro"
PACKAGES = (
    *("napari", "torch", "torchvision", "ultralytics", "numpy", "scikit-image", "zarr"),
    *("tifffile", "imagecodecs", "pydantic", "dask", "openvino"),
)
QT_BINDINGS = ("PySide6", "PyQt6", "PySide2", "PyQt5")
VARIABLES = ("MOBILESAM_CACHE_DIR", "QT_API", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

Facts = dict[str, dict[str, str]]


def info(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show versions, devices, weights and folders, to be pasted into a bug report.

    Nothing is sent anywhere. The exit code is 1 if a bundled file is not what it should be.
    """
    facts = collect()
    typer.echo(json.dumps(facts, indent=1) if as_json else as_text(facts))
    if any(state != "verified" for state in facts["bundled weights"].values()):
        raise typer.Exit(1)


def collect() -> Facts:
    """Find out what there is, by heading and name."""
    return {
        "napari-mobilesam": {
            "version": napari_mobilesam.__version__,
            "python": f"{platform.python_version()} ({platform.python_implementation()})",
            "platform": platform.platform(),
            "processor": f"{_processor()}, {os.cpu_count()} logical",
        },
        "packages": {name: _version(name) for name in PACKAGES}
        | {"Qt": ", ".join(f"{name} {_version(name)}" for name in _bindings()) or "none"},
        "torch": _torch(),
        "bundled weights": {file.name: _state(file) for file in get_card(BUNDLED).files},
        "folders": {
            "cache": f"{_without_home(cache_dir())} ({_size(cache_dir())})",
            "embeddings": f"{_without_home(embeddings_dir())} ({_size(embeddings_dir())})",
            "journal of a batch": "mobilesam-batch.jsonl in its output folder",
            "log": "Python's logger napari_mobilesam, on standard error",
        },
        "variables": {
            name: _without_home(Path(os.environ[name])) for name in VARIABLES if name in os.environ
        },
    }


def as_text(facts: Facts) -> str:
    """Write facts as plain text, a line each."""
    width = max(len(name) for about in facts.values() for name in about)
    lines = []
    for heading, about in facts.items():
        lines += [heading, *(f"  {name:<{width}}  {value}" for name, value in about.items()), ""]
    return "\n".join(lines).rstrip()


def _torch() -> dict[str, str]:
    import torch

    from napari_mobilesam.inference.engine import choose_device, choose_precision

    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    devices += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        devices.append("mps")
    chosen = choose_device("auto")
    has_openvino = _version("openvino") != "not installed"
    return {
        "built for": f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA",
        "devices": ", ".join(devices),
        "auto": f"{chosen} in {str(choose_precision('auto', chosen)).removeprefix('torch.')}",
        "engines": "torch, openvino" if has_openvino else "torch",
    }


def _state(file: WeightFile) -> str:
    try:
        path = cached_path(file)
        if not path.is_file():
            return "missing"
        check(file, path)
    except (DownloadError, OSError) as error:
        return f"damaged: {error}"
    return "verified"


def _bindings() -> list[str]:
    """Qt bindings that are installed, the one in use first."""
    used = [name for name in QT_BINDINGS if name in sys.modules]
    found = [name for name in QT_BINDINGS if _version(name) != "not installed"]
    return list(dict.fromkeys([*used, *found]))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Name of the processor, which Linux keeps in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.split(":", 1) for line in lines)
        return next(name[1].strip() for name in names if name[0].startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _size(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def _without_home(path: Path) -> str:
    """Leave the user's name out of a path."""
    return str(path).replace(str(Path.home()), "~", 1)
