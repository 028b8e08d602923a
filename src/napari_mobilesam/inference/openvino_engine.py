"""The networks on OpenVINO, for CPUs: converted in memory from the torch modules they replace."""

import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.models.mask_decoder import (
    DecoderImage,
    GridWindow,
    MaskDecoder,
    upscale_windows,
)
from napari_mobilesam.models.sam import ImageEncoder, Sam

if TYPE_CHECKING:
    from openvino import CompiledModel

Outputs = tuple[Tensor, ...]

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
    """Let OpenVINO run the encoder, the mask decoder and the embedding of masks, in place.

    Points and boxes stay with torch. Each part is compiled when it first meets an input of its
    kind.
    """
    masks = Converted(sam.prompt_encoder.mask_downscaling, (1,), torch.float32)
    sam.set_submodule("prompt_encoder.mask_downscaling", masks)
    sam.set_submodule("image_encoder", ConvertedEncoder(sam.image_encoder, dtype))
    sam.set_submodule("mask_decoder", ConvertedDecoder(sam.mask_decoder, dtype))
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


class ConvertedDecoder(nn.Module):
    """A mask decoder, run by OpenVINO: as a whole, or up to its features where windows are cut."""

    def __init__(self, decoder: MaskDecoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.prepare = decoder.prepare
        self._upscale = Converted(Upscale(decoder), (3, 2), dtype)
        self._parts = {
            (masked, multimask, whole): Converted(
                FlatDecoder(decoder, multimask=multimask, whole=whole),
                (2, 0, 0, 1) if masked else (2, 0, 0, 0, 0),
                dtype,
            )
            for masked, multimask, whole in product((False, True), repeat=3)
        }

    def forward(
        self,
        image: DecoderImage,
        sparse: Tensor,
        dense: Tensor | None = None,
        *,
        multimask: bool,
        windows: Sequence[GridWindow] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`MaskDecoder.forward`."""
        run = self._parts[dense is not None, multimask, windows is None]
        if dense is None:
            outputs = run(sparse, image.encoding, image.unmasked, *image.projected)
        else:
            outputs = run(sparse, image.encoding, image.embedding, dense)
        if windows is None:
            logits, iou = outputs
            return logits, iou
        features, filters, iou = outputs
        return upscale_windows(self._upscale, features, filters, windows), iou


class FlatDecoder(nn.Module):
    """The decoder with nothing but tensors as arguments, as tracing needs it."""

    def __init__(self, decoder: MaskDecoder, *, multimask: bool, whole: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.multimask = multimask
        self.whole = whole

    def forward(self, sparse: Tensor, encoding: Tensor, image: Tensor, *more: Tensor) -> Outputs:
        """Decode an embedding and a mask for each prompt, or one without masks, projected.

        Parameters
        ----------
        sparse : Tensor
            (B, n, 256)
        encoding, image : Tensor
            (1, h * h, 256), the embedding being ``unmasked`` if it is projected.
        *more : Tensor
            The embedded masks (B, 256, h, h), or keys and values.

        Returns
        -------
        tuple of Tensor
            What :meth:`MaskDecoder.forward` returns or, unless ``whole``, ``attend``.
        """
        side = math.isqrt(image.shape[1])
        dense, projected = (
            (None, (more[0], more[1])) if len(more) > 1 else (more[0], (image, image))
        )
        flat = DecoderImage((side, side), image, encoding, image, projected)
        if self.whole:
            outputs: Outputs = self.decoder(flat, sparse, dense, multimask=self.multimask)
            return outputs
        return self.decoder.attend(flat, sparse, dense, multimask=self.multimask)


class Upscale(nn.Module):
    """The decoder's up-scaling as a module."""

    def __init__(self, decoder: MaskDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Tensor, filters: Tensor) -> Tensor:
        """See :meth:`MaskDecoder.upscale`."""
        return self.decoder.upscale(features, filters)
