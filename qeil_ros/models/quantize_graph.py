"""The graph of an agent part before its weights are packed: which weights there are, and the graph without
them, in the forms that runtimes want. Needs the package `onnx`; what loads the result does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import weights_proto
from .extras import require
from .quantize_forms import Int8, Qdq
from .schema import ModelError

__all__ = ["Kept", "Layer", "WeightGraph"]

LEAST_ELEMENTS = 256
"""Smaller tensors stay as they are: nothing is to be won."""
_INLINE_BYTES = 128
_INT8_OPSET, _QDQ_OPSET = 11, 13


@dataclass(frozen=True)
class Layer:
    """A weight that can be quantized.

    Attributes:
        name: of the initializer.
        op: MatMul, Gemm or Conv.
        axis: of the initializer, along the output channels.
        input: the tensor that it is applied to.
        product: it can be multiplied as int8.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    axis: int
    input: str
    product: bool


@dataclass(frozen=True)
class Kept:
    """An initializer that stays as it is; `data_type` as TensorProto counts them."""

    name: str
    data_type: int
    shape: tuple[int, ...]
    data: bytes


class WeightGraph:
    """An ONNX model whose float32 weights are to be quantized.

    Args:
        source: the file; weights stored beside it are read too.
        least: tensors of fewer elements stay as they are.

    Attributes:
        layers: the weights, in the order of the graph.
        kept: the other tensors that leave the graph.

    Raises:
        ModelError: it cannot be read or has no float32 weights (it is quantized already, for example).
    """

    def __init__(self, source: Path, least: int = LEAST_ELEMENTS) -> None:
        self._onnx = require("onnx", extra="models")
        try:
            self._model = self._onnx.load(str(source))
        except Exception as error:  # protobuf's own, whose class depends on its implementation
            raise ModelError(f"{source}: cannot be read as an ONNX model: {error}") from error
        self._opset = max(
            (o.version for o in self._model.opset_import if o.domain in ("", "ai.onnx")), default=1
        )
        self._tidy()
        tensors = {tensor.name: tensor for tensor in self._model.graph.initializer}
        found = (self._layer(name, tensors[name], least) for name in self._in_order(tensors))
        self.layers = [layer for layer in found if layer is not None]
        if not self.layers:
            raise ModelError(
                f"{source}: has no float32 weights of a MatMul, Gemm or Conv with {least} elements or more; "
                "give the graph as it was before quantization"
            )
        names = {layer.name for layer in self.layers}
        array = self._onnx.numpy_helper.to_array
        self._weights = {name: array(tensors[name]) for name in names}
        leaving = [t for t in tensors.values() if t.name not in names and self._leaves(t)]
        self.kept = [Kept(t.name, t.data_type, tuple(t.dims), array(t).tobytes()) for t in leaving]
        staying = [t for t in tensors.values() if t.name not in names and not self._leaves(t)]
        self._replace(self._model.graph, "initializer", staying)

    def matrix(self, layer: Layer) -> NDArray[np.float32]:
        """The weights [channels, inputs] of a layer."""
        array = self._weights[layer.name]
        return np.ascontiguousarray(np.moveaxis(array, layer.axis, 0).reshape(array.shape[layer.axis], -1))

    def whole(self, outputs: Sequence[str] = ()) -> bytes:
        """The model with its weights as they were, and with these tensors among its outputs."""
        model = self._copy()
        there = {value.name for value in (*model.graph.output, *model.graph.input)}
        for name in outputs:
            if name not in there:
                model.graph.output.append(self._onnx.helper.make_empty_tensor_value_info(name))
        tensors = [weights_proto.tensor(k.name, k.data_type, k.shape, k.data) for k in self.kept]
        for name, array in self._weights.items():
            tensors.append(weights_proto.tensor(name, weights_proto.FLOAT, array.shape, array))
        return weights_proto.model(model.SerializeToString(), tensors)

    def skeletons(self, ranges: Mapping[str, tuple[float, float]] | None = None) -> dict[str, bytes]:
        """The serialized graph of each form without its weights.

        Args:
            ranges: (least, largest) value of layers' inputs; then the form `qdq` quantizes activations to
                these, else it leaves that to the runtime.
        """
        rewriters: dict[str, Any] = {"float": None}
        if self._opset >= _INT8_OPSET:
            rewriters["int8"] = Int8()
        if self._opset >= _QDQ_OPSET:
            rewriters["qdq"] = Qdq(ranges or {})
        return {form: self._skeleton(rewriter) for form, rewriter in rewriters.items()}

    # --- what is there

    def _tidy(self) -> None:
        """Constants become initializers, which are no inputs; notes and inner shapes go."""
        model, graph = self._model, self._model.graph
        nodes = []
        for node in graph.node:
            node.doc_string = ""
            if hasattr(node, "metadata_props"):
                del node.metadata_props[:]
            value = next(
                (a for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None
            )
            if value is None:
                nodes.append(node)
                continue
            value.t.name = node.output[0]
            graph.initializer.append(value.t)
        names = {tensor.name for tensor in graph.initializer}
        self._replace(graph, "node", nodes)
        self._replace(graph, "input", [value for value in graph.input if value.name not in names])
        del graph.value_info[:], model.metadata_props[:]
        graph.doc_string = model.doc_string = ""
        # The least version that can say it: older runtimes refuse newer ones even where nothing new is used.
        least = self._onnx.helper.find_min_ir_version_for(model.opset_import, True)
        model.ir_version = min(model.ir_version, max(least, 4))

    def _in_order(self, tensors: Mapping[str, Any]) -> list[str]:
        used = (name for node in self._model.graph.node for name in node.input)
        return [name for name in dict.fromkeys(used) if name in tensors]

    def _layer(self, name: str, tensor: Any, least: int) -> Layer | None:
        shape = tuple(tensor.dims)
        graph = self._model.graph
        if tensor.data_type != self._onnx.TensorProto.FLOAT or math.prod(shape) < least:
            return None
        if name in {value.name for value in graph.output}:
            return None
        users = [node for node in graph.node if name in node.input]
        uses = {self._use(node, name, shape) for node in users}
        use = uses.pop() if len(uses) == 1 else None  # a tensor with two roles stays as it is
        return None if use is None else Layer(name, use[0], shape, use[1], users[0].input[0], use[2])

    def _use(self, node: Any, name: str, shape: tuple[int, ...]) -> tuple[str, int, bool] | None:
        """(op, axis of the output channels, int8 product?) of a weight that a node is applied with."""
        if len(node.input) < 2 or node.input[1] != name or list(node.input).count(name) != 1:
            return None
        if node.op_type == "MatMul" and len(shape) == 2:
            return "MatMul", 1, True
        if node.op_type == "Gemm" and len(shape) == 2:
            plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
            given = {a.name: self._onnx.helper.get_attribute_value(a) for a in node.attribute}
            product = all(given.get(key, value) == value for key, value in plain.items())
            return "Gemm", 0 if given.get("transB", 0) else 1, product
        return ("Conv", 0, False) if node.op_type == "Conv" else None

    def _leaves(self, tensor: Any) -> bool:
        return tensor.data_type in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16) and (
            self._onnx.numpy_helper.to_array(tensor).nbytes >= _INLINE_BYTES
        )

    # --- forms

    def _skeleton(self, rewriter: Any) -> bytes:
        model = self._copy()
        products = {layer.name: layer for layer in self.layers if layer.product}
        if rewriter is not None:
            nodes: list[Any] = []
            for node in self._model.graph.node:
                layer = products.get(node.input[1]) if len(node.input) > 1 else None
                if layer is None:
                    nodes.append(node)
                else:
                    rewriter(node, layer, nodes.append)
            self._replace(model.graph, "node", nodes)
            model.graph.initializer.extend(rewriter.initializers.values())
        found: bytes = model.SerializeToString(deterministic=True)
        return found

    def _copy(self) -> Any:
        model = self._onnx.ModelProto()
        model.CopyFrom(self._model)
        return model

    def _replace(self, message: Any, field: str, values: Sequence[Any]) -> None:
        """Sets a repeated field, also to some of its own entries."""
        copies = []
        for value in values:
            copy = type(value)()
            copy.CopyFrom(value)
            copies.append(copy)
        del getattr(message, field)[:]
        getattr(message, field).extend(copies)
