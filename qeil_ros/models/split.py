"""Cuts an ONNX graph in two: an agent part, image to features, and a server part, features to answer.

What travels is one tensor [1, ...]. A single tensor with the frame on its first axis travels as it is; any
other is given a first axis of 1, and the tensors of a cut through several branches are flattened and joined;
the server part undoes that.

Where a cut lies inside a quantized network (QuantizeLinear, DequantizeLinear), runtimes compute the layer in
front of a quantization in integers, and only if they see the quantization. So a float tensor that is about to
be quantized travels with the values that the quantization leaves, and one that comes from a quantized tensor
is told to the server part as such. The halves then compute the same integers as the whole. At the quantized
tensor itself the features are its uint8 or int8 values, which eight bits carry without loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .extras import require
from .folder_splits import DTYPES
from .graph import Graph
from .graph_shapes import Shapes
from .schema import ModelError

__all__ = ["Halves", "split", "why_not"]

_MAX_FILE_BYTES = (2 << 30) - 1  # protobuf's limit
_MAX_RANK = 8
_SAME_VALUES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_ELEMENTWISE = ("Clip", "Relu")
"""Between a layer and its quantization: they commute with it, see `_Side.snapped`."""


@dataclass(frozen=True)
class Halves:
    """The two parts (onnx.ModelProto) of a graph cut at `tensors`, and the features between them.

    Attributes:
        image: the agent part's input.
        sent: the agent part's output.
        received: the server part's input for it.
        shape: of one frame's features, without the batch.
    """

    tensors: tuple[str, ...]
    agent: Any
    server: Any
    image: str
    sent: str
    received: str
    shape: tuple[int, ...]
    dtype: str

    def write(self, agent: Path, server: Path) -> None:
        """Raises ModelError for a part that a file cannot hold."""
        for model, path in ((self.agent, agent), (self.server, server)):
            size = model.ByteSize()
            if size > _MAX_FILE_BYTES:
                raise ModelError(
                    f"the {path.stem} part is {size} bytes, an ONNX file holds at most {_MAX_FILE_BYTES}"
                )
            path.write_bytes(model.SerializeToString())


def why_not(graph: Graph, shapes: Shapes, tensors: Sequence[str]) -> str:
    """Empty where these tensors can be cut and sent; else the reason, for the user."""
    if problem := graph.is_cut(tensors):
        return problem
    if unknown := [name for name in tensors if name not in shapes.tensors]:
        return f"{unknown[0]!r} is no tensor but a sequence or a map of tensors"
    found = [shapes.tensors[name] for name in tensors]
    if len({tensor.dtype for tensor in found}) > 1:
        kinds = ", ".join(f"{name!r} is {tensor.dtype}" for name, tensor in zip(tensors, found, strict=True))
        return f"tensors of several types cannot travel as one: {kinds}"
    if found[0].dtype not in DTYPES:
        return f"{tensors[0]!r} is {found[0].dtype}; features can be {', '.join(DTYPES)}"
    if len(found) == 1 and not found[0].elements:
        return f"{tensors[0]!r} has no elements"
    if len(found) == 1 and len(found[0].frame) > _MAX_RANK:
        return f"{tensors[0]!r} has {len(found[0].frame)} dimensions; features have at most {_MAX_RANK}"
    return ""


def split(graph: Graph, shapes: Shapes, tensors: Sequence[str]) -> Halves:
    """Cuts the graph at these tensors. Raises ModelError where that is not possible; it says why."""
    if problem := why_not(graph, shapes, tensors):
        raise ModelError(problem)
    found = [shapes.tensors[name] for name in tensors]
    plain = len(tensors) == 1 and found[0].batched and len(found[0].frame) > 0
    shape = found[0].frame or (1,) if len(found) == 1 else (sum(tensor.elements for tensor in found),)
    side = _Side(graph, shapes, tuple(tensors))
    sent, agent_nodes = side.pack(plain)
    received, server_nodes = side.unpack(plain)
    info = require("onnx.helper", extra="models").make_tensor_value_info
    rows = _rows(graph) if shapes.dynamic and side.batched else 1
    ends = [info(name, _type_code(found[0].dtype), [rows, *shape]) for name in (sent, received)]
    agent = side.extract(tensors, (), [graph.value(graph.image)], agent_nodes, ends[:1])
    outputs = [graph.value(name) for name in graph.outputs]
    server = side.extract(graph.outputs, tensors, ends[1:], server_nodes, outputs)
    return Halves(tuple(tensors), agent, server, graph.image, sent, received, tuple(shape), found[0].dtype)


def _rows(graph: Graph) -> str:
    """The name of the open batch dimension."""
    name: str = graph.value(graph.image).type.tensor_type.shape.dim[0].dim_param
    return name or "batch"


class _Side:
    """Builds both parts of one cut. New tensors and nodes get names that the graph does not use."""

    def __init__(self, graph: Graph, shapes: Shapes, tensors: tuple[str, ...]) -> None:
        self.graph, self.shapes, self.tensors = graph, shapes, tensors
        self.onnx = require("onnx", extra="models")
        require("onnx.helper", extra="models")
        self._taken = {name for node in graph.nodes for name in (node.name, *node.output, *node.input)}
        self._taken |= set(graph.initializers) | set(graph.inputs)
        self.batched = all(shapes.tensors[name].batched for name in tensors)
        self.constants: list[Any] = []

    # --- what is put behind the agent part and before the server part

    def pack(self, plain: bool) -> tuple[str, list[Any]]:
        """(the agent part's output, the nodes that make it of the cut's tensors)."""
        nodes: list[Any] = []
        sources = [self.snapped(name, nodes) for name in self.tensors]
        if plain:
            return sources[0], nodes
        target = self.fresh("features")
        if len(sources) == 1:
            tensor = self.shapes.tensors[self.tensors[0]]
            shape = [-1, 1] if tensor.batched else [1, *(tensor.shape or (1,))]
            nodes.append(self.node("Reshape", [sources[0], self.integers(shape)], [target]))
            return target, nodes
        flat = []
        for source, name in zip(sources, self.tensors, strict=True):
            tensor = self.shapes.tensors[name]
            flat.append(self.fresh("flat"))
            shape = [-1 if self.batched else 1, tensor.elements]
            nodes.append(self.node("Reshape", [source, self.integers(shape)], [flat[-1]]))
        nodes.append(self.node("Concat", flat, [target], axis=1))
        return target, nodes

    def unpack(self, plain: bool) -> tuple[str, list[Any]]:
        """(the server part's input, the nodes that make the cut's tensors of it)."""
        nodes: list[Any] = []
        grids = [self._grid_of(name) for name in self.tensors]
        if plain and grids[0] is None:
            return self.tensors[0], nodes
        features = self.fresh("features")
        if plain:
            self.quantized(features, grids[0], nodes, self.tensors[0])
            return features, nodes
        tensors = [self.shapes.tensors[name] for name in self.tensors]
        pieces = [features]
        if len(tensors) > 1:
            pieces = [self.fresh("piece") for _ in tensors]
            sizes = [tensor.elements for tensor in tensors]
            if self.graph.opset >= 13:
                nodes.append(self.node("Split", [features, self.integers(sizes)], pieces, axis=1))
            else:
                nodes.append(self.node("Split", [features], pieces, axis=1, split=sizes))
        for piece, name, tensor, grid in zip(pieces, self.tensors, tensors, grids, strict=True):
            shape = self.integers([-1, *tensor.frame] if self.batched else list(tensor.shape))
            received = self.fresh("received") if grid is not None else name
            nodes.append(self.node("Reshape", [piece, shape], [received]))
            if grid is not None:
                self.quantized(received, grid, nodes, name)
        return features, nodes

    def snapped(self, name: str, nodes: list[Any]) -> str:
        """The tensor as its quantization leaves it, where quantization is all that awaits it.

        With Q the rounding to the grid and f the elementwise node (Clip, Relu) before it, Q(f(Q(f(x)))) =
        Q(f(x)), since f is monotone and moves a rounded value by half a step at most: nothing is lost.
        """
        chain, at = [], name
        while True:
            users = [node for node in self.graph.path if at in self.graph.reads(node)]
            if len(users) != 1 or at in self.graph.outputs:
                return name
            (user,) = users
            if user.op_type == "QuantizeLinear":
                break
            if user.op_type in _ELEMENTWISE:
                chain.append(user)
            elif user.op_type not in _SAME_VALUES:
                return name
            if user.input[0] != at:
                return name
            at = user.output[0]
        if user.input[0] != at or not self._scalar_grid(user):
            return name
        for node in chain:
            copy = self.onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name, copy.input[0], copy.output[0] = self.fresh("snap"), name, self.fresh("snap")
            nodes.append(copy)
            name = copy.output[0]
        return self.quantized(name, user, nodes, self.fresh("snapped"))

    def quantized(self, name: str, like: Any, nodes: list[Any], target: str) -> str:
        """`name` quantized and dequantized with the scale and zero point of the node `like`."""
        middle = self.fresh("quantized")
        parameters = list(like.input[1:])
        nodes.append(self.node("QuantizeLinear", [name, *parameters], [middle]))
        nodes.append(self.node("DequantizeLinear", [middle, *parameters], [target]))
        return target

    def _grid_of(self, name: str) -> Any:
        """The DequantizeLinear whose values the tensor has, moved at most; None: it has none."""
        node = self.graph.producer.get(name)
        while node is not None and node.op_type in (*_SAME_VALUES, "MaxPool"):
            node = self.graph.producer.get(node.input[0])
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self.graph.content:
            return None
        return node if self._scalar_grid(node) else None

    def _scalar_grid(self, node: Any) -> bool:
        """Whether the node has one constant scale, and eight bits."""
        if any(name in self.graph.content for name in node.input[1:] if name):
            return False
        scale = self.graph.initializers.get(node.input[1])
        if scale is None or int(np.prod(scale.dims)) != 1 or scale.data_type != self.onnx.TensorProto.FLOAT:
            return False
        types = self.shapes.tensors
        quantized = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        return quantized in types and types[quantized].dtype in ("uint8", "int8")

    # --- the parts themselves

    def extract(
        self,
        wanted: Sequence[str],
        stop: Sequence[str],
        inputs: list[Any],
        added: list[Any],
        outputs: list[Any],
    ) -> Any:
        """The model that computes `wanted` without what lies before `stop`; `added` nodes join the two."""
        graph = self.graph
        kept = graph.upstream(wanted, stop=stop) if stop else set(graph.content)
        needed: set[str] = set()
        lengths: list[Any] = []
        waiting = [*wanted, *(name for node in added for name in node.input)]
        while waiting:
            name = waiting.pop()
            if name in needed or name in stop:
                continue
            needed.add(name)
            node = graph.producer.get(name)
            if node is None:
                continue
            source = node.input[0] if node.op_type in ("Shape", "Size") else ""
            if source in graph.content and source not in kept:
                lengths += self.length_of(node, inputs[0].name)
            else:
                waiting += graph.all_inputs(node)
        made = {name for node in lengths for name in node.output} | {c.name for c in self.constants}
        nodes = [n for n in graph.nodes if any(o in needed and o not in made for o in n.output)]
        before, after = ([*lengths, *added], []) if stop else (lengths, added)
        foreign = [graph.value(n) for n in graph.inputs if n in needed and n != inputs[0].name]
        return self.model([*before, *nodes, *after], [*inputs, *foreign], outputs, needed)

    def length_of(self, node: Any, features: str) -> list[Any]:
        """Nodes that say what a Shape or Size said of a tensor that stays on the other side.

        It is a constant, or grows with the batch, which the features' first dimension tells.
        """
        source, target = node.input[0], node.output[0]

        def said(shape: Sequence[int]) -> Any:
            if node.op_type == "Size":
                return np.array(np.prod(shape), np.int64)
            attrs = {attr.name: attr.i for attr in node.attribute}
            return np.array(shape[attrs.get("start", 0) : attrs.get("end", len(shape))], np.int64)

        one = said(self.shapes.tensors[source].shape)
        two = said(self.shapes.second.get(source, self.shapes.tensors[source].shape))
        step = two - one
        if not step.any():
            self.constants.append(self.onnx.numpy_helper.from_array(one, target))
            return []
        length, batch, product = (self.fresh(what) for what in ("shape", "batch", "product"))
        first = self.constant(np.array(0, np.int64))
        return [
            self.node("Shape", [features], [length]),
            self.node("Gather", [length, first], [batch]),
            self.node("Mul", [batch, self.constant(step)], [product]),
            self.node("Add", [product, self.constant(one - step)], [target]),
        ]

    def model(self, nodes: list[Any], inputs: list[Any], outputs: list[Any], needed: set[str]) -> Any:
        """A model of these nodes with the weights that they use."""
        used = {name for node in nodes for name in self.graph.all_inputs(node)} | needed
        source = self.graph.model
        made = [constant for constant in self.constants if constant.name in used]
        names = {constant.name for constant in made}
        graph = self.onnx.helper.make_graph(nodes, source.graph.name or "part", inputs, outputs, made)
        graph.initializer.extend(t for t in source.graph.initializer if t.name in used - names)
        graph.sparse_initializer.extend(
            t for t in source.graph.sparse_initializer if t.values.name in used - names
        )
        model = self.onnx.helper.make_model(graph, opset_imports=source.opset_import)
        model.ir_version = max(4, source.ir_version)  # from 4 on weights need not be listed as inputs
        model.functions.extend(source.functions)
        model.producer_name = "qeil"
        return model

    # --- small things

    def node(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
        return self.onnx.helper.make_node(op, inputs, outputs, name=self.fresh(op.lower()), **attributes)

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def constant(self, array: Any) -> str:
        name = self.fresh("constant")
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def fresh(self, name: str) -> str:
        count, candidate = 0, name
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate


def _type_code(dtype: str) -> int:
    code: int = require("onnx.helper", extra="models").np_dtype_to_tensor_dtype(np.dtype(dtype))
    return code
