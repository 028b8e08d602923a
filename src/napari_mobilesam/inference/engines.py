"""Which engine runs a network, on what and in which precision."""

from collections.abc import Callable
from typing import Literal, get_args

import torch

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.inference.accelerate import accelerate
from napari_mobilesam.inference.engine import Engine, TorchEngine, choose_precision
from napari_mobilesam.inference.openvino_engine import check_openvino, on_openvino
from napari_mobilesam.models.sam import Sam

EngineName = Literal["torch", "openvino"]


def choose_engine(
    name: EngineName, device: torch.device, precision: str
) -> Callable[[Sam], Engine]:
    """Check an engine's settings, before any weights are loaded for it.

    Parameters
    ----------
    name : "torch" or "openvino"
        What runs the networks.
    device : torch.device
        Where; OpenVINO runs on the CPU.
    precision : str
        See :func:`~napari_mobilesam.inference.engine.choose_precision`.

    Returns
    -------
    callable
        Makes the engine of a network, which it takes over and rearranges.

    Raises
    ------
    SettingsError
        If there is no such engine or precision, they do not go together, or OpenVINO is missing.
    """
    dtype = choose_precision(precision, device)
    if name == "torch":
        return lambda sam: TorchEngine(accelerate(sam, device), device, dtype)
    if name == "openvino":
        check_openvino(device)
        return lambda sam: TorchEngine(on_openvino(sam, dtype), device)
    raise SettingsError(
        "there is no such engine",
        expected=f"one of {', '.join(get_args(EngineName))}",
        got=repr(name),
    )
