"""The networks on OpenVINO, for CPUs: converted in memory from the torch modules they replace."""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.models.sam import ImageEncoder, Sam
from napari_mobilesam.models.transformer import Projected, TwoWayTransformer

if TYPE_CHECKING:
    from openvino import CompiledModel

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


def check_openvino(device: torch.device) -> None:
    """Say what is missing before anything is loaded.

    Raises
    ------
    SettingsError
        If OpenVINO is not installed, or a device other than the CPU is asked for.
    """
    if find_spec("openvino") is None:
        raise SettingsError(
            "OpenVINO is not installed",
            expected="the package openvino",
            got="none",
            remedy='Run pip install "napari-mobilesam[openvino]", or choose engine="torch".',
        )
    if device.type != "cpu":
        raise SettingsError(
            "the engine openvino runs on the CPU alone",
            expected='device "cpu"',
            got=repr(str(device)),
            remedy='Choose device="cpu", or engine="torch".',
        )


def on_openvino(sam: Sam, dtype: torch.dtype) -> Sam:
    """Let OpenVINO run the encoder, the transformer and the up-scaling of a network, in place.

    Prompts and the small heads of the decoder stay with torch. Each part is compiled when it first
    meets an input of its kind.
    """
    decoder = sam.mask_decoder
    transformer = ConvertedTransformer(decoder.transformer, dtype)
    upscaling = Converted(decoder.output_upscaling, (3,), dtype)
    sam.set_submodule("image_encoder", ConvertedEncoder(sam.image_encoder, dtype))
    sam.set_submodule("mask_decoder.transformer", transformer)
    sam.set_submodule("mask_decoder.output_upscaling", upscaling)
    return sam


class Converted(nn.Module):
    """A module that OpenVINO runs.

    Parameters
    ----------
    module : Module
        From tensors to a tensor or several.
    free : sequence of int
        For each input, how many of its leading dimensions vary from call to call.
    dtype : torch.dtype
        What to compute in; inputs and outputs are float32.
    """

    def __init__(self, module: nn.Module, free: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module
        self._free = free
        self._hint = _HINTS[dtype]
        self._compiled: dict[tuple[torch.Size, ...], CompiledModel] = {}

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the module; a tuple if it has several outputs."""
        kind = tuple(x.shape[free:] for x, free in zip(inputs, self._free, strict=False))
        if kind not in self._compiled:
            self._compiled[kind] = self._compile(inputs)
        # A request of its own owns the outputs and makes this safe in any number of threads.
        request = self._compiled[kind].create_infer_request()
        arrays = [x.contiguous().numpy() for x in inputs]
        results = request.infer(arrays, share_inputs=True, share_outputs=True)
        outputs = tuple(torch.from_numpy(results[i]) for i in range(len(results)))
        return outputs if len(outputs) > 1 else outputs[0]

    def _compile(self, inputs: Sequence[Tensor]) -> "CompiledModel":
        """Trace and convert by the front end itself: `convert_model` reports to its makers."""
        from openvino import Core, PartialShape
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with (
            warnings.catch_warnings(),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")  # the trace is deprecated, and OpenVINO needs it
            example = tuple(x.clone() for x in inputs)
            traced = torch.jit.trace(self.module, example, check_trace=False)
            front_end = FrontEndManager().load_by_framework("pytorch")
            decoder = TorchScriptPythonDecoder(traced, example_input=example)
            model = front_end.convert(front_end.load(decoder))
        for node, x, free in zip(model.inputs, inputs, self._free, strict=False):
            shape = PartialShape([-1] * free + list(x.shape[free:]))
            node.get_node().set_partial_shape(shape)
        model.validate_nodes_and_infer_types()
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self._hint}
        return Core().compile_model(model, "CPU", settings)


class ConvertedEncoder(Converted):
    """An image encoder, run by OpenVINO."""

    def __init__(self, encoder: ImageEncoder, dtype: torch.dtype) -> None:
        super().__init__(encoder, (0,), dtype)
        self.embedding_stride = encoder.embedding_stride


class ConvertedTransformer(nn.Module):
    """The two-way transformer, run by OpenVINO."""

    def __init__(self, transformer: TwoWayTransformer, dtype: torch.dtype) -> None:
        super().__init__()
        self.transformer = transformer
        self.project: Callable[[Tensor, Tensor], Projected] = transformer.project
        self.converted = Converted(FlatTransformer(transformer), (2, 1, 0, 0, 0), dtype)

    def forward(
        self, tokens: Tensor, image: Tensor, image_pe: Tensor, projected: Projected | None
    ) -> tuple[Tensor, ...]:
        """See :meth:`TwoWayTransformer.forward`."""
        outputs: tuple[Tensor, ...] = self.converted(tokens, image, image_pe, *(projected or ()))
        return outputs


class FlatTransformer(nn.Module):
    """The transformer with nothing but tensors as arguments, as tracing needs it."""

    def __init__(self, transformer: TwoWayTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        image_pe: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`TwoWayTransformer.forward`."""
        projected = None if keys is None or values is None else (keys, values)
        tokens, image = self.transformer(tokens, image, image_pe, projected)
        return tokens, image
