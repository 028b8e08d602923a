"""Many processes that train one model, a GPU each, as torch's own launcher starts them.

Without the launcher there is one process, and all of this does nothing.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed, nn

from napari_mobilesam.inference.engine import choose_device

_PATIENCE = timedelta(days=1)
"""How long processes wait for one that validates, or that reads a slow disk."""


@contextmanager
def process_group(device: str = "auto") -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` has started, and choose this one's device.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps". With the launcher, "auto" and "cuda" are the GPU
        of this process's number on its machine.

    Raises
    ------
    SettingsError
        If the device cannot be used.
    """
    if not distributed.is_torchelastic_launched():
        yield choose_device(device)
        return
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield chosen
    finally:
        distributed.destroy_process_group()


def rank_and_count() -> tuple[int, int]:
    """Tell the number of this process, from 0, and how many there are."""
    if distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if distributed.is_initialized():
        distributed.barrier()


def average_gradients(parameters: Iterable[nn.Parameter], loss: float) -> float:
    """Replace the gradients by their mean over the processes; returns that of the loss."""
    _, count = rank_and_count()
    if count == 1:
        return loss
    gradients = [_gradient(p) for p in parameters if p.requires_grad]
    flat = torch.cat([g.flatten() for g in gradients] + [gradients[0].new_tensor([loss])])
    distributed.all_reduce(flat)
    flat /= count
    means = flat[:-1].split([g.numel() for g in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))
    return float(flat[-1])


def as_in_first(value: float, device: torch.device) -> float:
    """Take the value that the first process has, so that all decide alike by it."""
    _, count = rank_and_count()
    if count == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float32, device=device)
    distributed.broadcast(shared, src=0)
    return float(shared)


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    """Gradient of a parameter, zeros where the loss did not depend on it."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
