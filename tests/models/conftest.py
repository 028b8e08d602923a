"""Reference implementations that nobody here wrote, given random weights."""

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

CLASSIFICATION_HEAD = ("image_encoder.norm_head.", "image_encoder.head.")


@pytest.fixture(scope="session", autouse=True)
def two_threads() -> None:
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def mobile_sam() -> ModuleType:
    return importlib.import_module("mobile_sam")


@pytest.fixture(scope="session")
def randomize() -> Callable[[nn.Module], nn.Module]:
    return _randomize


@pytest.fixture(scope="session")
def mobile_sam_v1(mobile_sam: ModuleType) -> nn.Module:
    return _randomize(mobile_sam.sam_model_registry["vit_t"]())


@pytest.fixture(scope="session")
def mobile_sam_weights(mobile_sam_v1: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of MobileSAM without TinyViT's classification head."""
    return {
        name: tensor
        for name, tensor in mobile_sam_v1.state_dict().items()
        if not name.startswith(CLASSIFICATION_HEAD)
    }


def _randomize(module: nn.Module) -> nn.Module:
    """Give every parameter and statistic a random value that keeps activations near one."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim > 1 and name.endswith("weight"):
            tensor.normal_(0.0, tensor[0].numel() ** -0.5, generator=generator)
        else:
            tensor.normal_(0.0, 0.3, generator=generator)
    return module.eval()  # TinyViT gathers its attention biases here
