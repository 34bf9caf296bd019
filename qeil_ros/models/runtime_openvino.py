"""One ONNX model run by OpenVINO, on the processor or another of its devices.

Imported only where that backend is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extras import require
from .runtime import Bound, TensorInfo, named
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
        device: as OpenVINO names it: `CPU`, `GPU`, `NPU`, `GPU.1`.

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
        device: str = "CPU",
    ) -> None:
        openvino = require("openvino", extra="openvino")
        self.path = model if isinstance(model, Path) else Path(name)
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "CPU":
            hints |= {
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
            compiled = core.compile_model(graph, device, hints)
        except Exception as error:  # OpenVINO's exceptions share no base class but this one
            raise ModelError(f"{self.path}: OpenVINO cannot compile it for {device}: {error}") from error
        self._compiled, self._request = compiled, compiled.create_infer_request()
        self.device = f"openvino {openvino.__version__.partition('-')[0]} {device}"
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
        return self.run_all(feeds, [output])[0]

    def run_all(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The same for several outputs."""
        self._request.infer(dict(feeds), share_inputs=True)
        return [np.array(self._request.get_output_tensor(self._ports[name]).data) for name in outputs]

    def bound(self, feeds: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Bound:
        """A call that runs the graph from these arrays into those.

        All must be contiguous, of the graph's types and of the shapes that a run gives.
        """
        tensor = require("openvino", extra="openvino").Tensor
        request = self._compiled.create_infer_request()
        held: dict[str, NDArray[Any]] = {}

        def bind(arrays: Mapping[str, NDArray[Any]]) -> None:
            for name, array in arrays.items():
                request.set_tensor(name, tensor(array, shared_memory=True))
            held.update(arrays)

        def run(feeds: Mapping[str, NDArray[Any]] | None = None, /) -> None:
            if feeds:
                bind(feeds)
            request.infer()

        bind({**feeds, **outputs})
        return run


def _info(port: Any) -> TensorInfo:
    shape = tuple(
        size.get_length() if size.is_static and size.get_length() > 0 else None for size in port.partial_shape
    )
    kind = port.element_type.to_dtype().name
    return TensorInfo(port.any_name, shape, kind)
