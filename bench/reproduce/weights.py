"""The weights of ONNX files: read, and replaced by quantized ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from qeil_ros.models.extras import require
from qeil_ros.models.folder import ModelFolder, Split
from qeil_ros.models.quantize_graph import LEAST_ELEMENTS, WeightGraph
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError

__all__ = ["FloatAgent", "float_agent", "published_weights"]

Floats = NDArray[np.float32]

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_IN_MEMORY_BYTES = 1_900_000_000
"""A graph beyond this is written to disk, its weights beside it: a protobuf message ends at 2 GiB."""


def published_weights(path: Path) -> dict[str, Floats]:
    """The weights of every product of an ONNX file by name, dequantized where they are stored in 8 bits.

    Biases and tensors of fewer than 256 elements are left out.
    """
    onnx = require("onnx", extra="models")
    graph = onnx.load(str(path)).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}

    def array(name: str) -> Any:
        if name in constants:
            return onnx.numpy_helper.to_array(constants[name])
        node = producer.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return None
        values, scale, zero = (array(each) for each in node.input)
        if values is None:
            return None
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if np.ndim(scale) == 1 and scale.size > 1:
            shape = [-1 if i == axis else 1 for i in range(values.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return (values.astype(np.float32) - np.float32(zero)) * scale

    found: dict[str, Floats] = {}
    for node in graph.node:
        weights = array(node.input[1]) if node.op_type in _PRODUCTS else None
        if weights is not None and weights.size >= LEAST_ELEMENTS and np.any(weights):
            found[node.input[1]] = np.asarray(weights, np.float32)
    return found


def float_agent(folder: ModelFolder, split: Split) -> Path:
    """The float32 graph of an agent part: its file, or the one that `extra.agent_fp32` of model.yaml names.

    Raises:
        ModelError: its weights are packed, and nothing tells from which graph they came.
    """
    if split.agent.kind == "onnx":
        return folder.part_path(split, "agent")
    notes = yaml.safe_load((folder.path / "model.yaml").read_text(encoding="utf-8")).get("extra") or {}
    if "agent_fp32" not in notes:
        raise ModelError(
            f"{folder.path / split.agent.file}: its weights are quantized already; give the folder as "
            "`qeil export` wrote it, with a float32 agent part"
        )
    return folder.verified(notes["agent_fp32"]["file"], notes["agent_fp32"]["sha256"])


class FloatAgent:
    """A float32 agent part whose weights can be replaced.

    Attributes:
        weights: by name, as they are stored; those that `qeil quantize` would quantize.

    Raises:
        ModelError: the file cannot be read or has no float32 weights.
    """

    def __init__(self, path: Path) -> None:
        self._onnx = require("onnx", extra="models")
        self.path = path
        self._model = self._onnx.load(str(path))
        self._tensors = {tensor.name: tensor for tensor in self._model.graph.initializer}
        for node in self._model.graph.node:
            value = next((a for a in node.attribute if a.name == "value"), None)
            if node.op_type == "Constant" and value is not None:
                self._tensors[node.output[0]] = value.t
        names = [layer.name for layer in WeightGraph(path).layers]
        self.weights: dict[str, Floats] = {
            name: self._onnx.numpy_helper.to_array(self._tensors[name]).copy() for name in names
        }

    def array(self, name: str) -> NDArray[Any]:
        """Another tensor of the graph, a bias for example. KeyError: there is none of that name."""
        return np.asarray(self._onnx.numpy_helper.to_array(self._tensors[name]))

    def runtime(self, weights: Mapping[str, NDArray[Any]] | None = None, *, threads: int = 1) -> Runtime:
        """The part, with these weights in place of its own."""
        for name, own in self.weights.items():
            values = np.ascontiguousarray((weights or {}).get(name, own), np.float32)
            if values.shape != own.shape:
                raise ValueError(f"weights {name!r}: {values.shape}, want {own.shape}")
            tensor = self._tensors[name]
            for field in ("float_data", "raw_data", "external_data"):
                tensor.ClearField(field)
            tensor.raw_data = values.tobytes()
            tensor.data_location = self._onnx.TensorProto.DEFAULT
        size = sum(len(tensor.raw_data) for tensor in self._tensors.values())
        if size < _IN_MEMORY_BYTES:
            return Runtime(self._model.SerializeToString(), name=self.path, threads=threads)
        with TemporaryDirectory(prefix="qeil-reproduce-") as scratch:
            file = Path(scratch) / "agent.onnx"
            copy = self._onnx.ModelProto()
            copy.CopyFrom(self._model)
            self._onnx.save(copy, str(file), save_as_external_data=True, location="agent.data")
            return Runtime(file, threads=threads)
