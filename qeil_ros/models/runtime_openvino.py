"""One ONNX model run by OpenVINO on the processor. Imported only where that backend is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extras import require
from .runtime import TensorInfo, named
from .schema import ModelError

__all__ = ["OpenVinoRuntime"]

_GROUP = 64
"""Values that share a scale where OpenVINO quantizes float activations as they come, for int8 weights."""


class OpenVinoRuntime:
    """A compiled model. The same use as `runtime.Runtime`; one thread at a time.

    Args:
        model: the ONNX file, or the serialized model itself.
        name: what messages call a serialized model.
        threads: threads it may use, 1 or more.
        shape: of its only input, which it is then compiled for; None: as the graph says.

    Raises:
        ModelError: OpenVINO is not installed or cannot compile the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        name: str | Path = "",
        threads: int = 1,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        openvino = require("openvino", extra="openvino")
        self.path = model if isinstance(model, Path) else Path(name)
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(_GROUP),
        }
        try:
            core = openvino.Core()
            graph = core.read_model(model)
            if shape is not None:
                graph.reshape(list(shape))
            compiled = core.compile_model(graph, "CPU", hints)
        except Exception as error:  # OpenVINO's exceptions share no base class but this one
            raise ModelError(f"{self.path}: OpenVINO cannot compile it: {error}") from error
        self._request = compiled.create_infer_request()
        self.device = f"openvino {openvino.__version__.partition('-')[0]} CPU"
        self.inputs = [_info(port) for port in compiled.inputs]
        self.outputs = [_info(port) for port in compiled.outputs]
        self._ports = {info.name: index for index, info in enumerate(self.outputs)}

    def input(self, name: str = "") -> TensorInfo:
        """The input of that name; without a name the only one. Raises ModelError."""
        return named(self.inputs, name, "input", self.path)

    def output(self, name: str = "") -> TensorInfo:
        """The output of that name; without a name the only one. Raises ModelError."""
        return named(self.outputs, name, "output", self.path)

    def run(self, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """Runs the graph. Contiguous inputs are read in place."""
        self._request.infer(dict(feeds), share_inputs=True)
        return np.array(self._request.get_output_tensor(self._ports[output]).data)


def _info(port: Any) -> TensorInfo:
    shape = tuple(
        size.get_length() if size.is_static and size.get_length() > 0 else None for size in port.partial_shape
    )
    kind = port.element_type.to_dtype().name
    return TensorInfo(port.any_name, shape, kind)
