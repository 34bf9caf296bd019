"""What a network costs, node by node: floating point operations, weights, activations.

A multiply-accumulate is two operations. Convolutions and matrix products are counted exactly, bias included;
elementwise nodes as one operation an element (`_PER_ELEMENT` says where it is more); what only moves data as
none. A quantized network counts as the float one that it stands for. Memory is what the graph states:
a runtime that fuses nodes or works in place needs less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import Graph, attribute
from .graph_shapes import Shapes

__all__ = ["NodeCost", "SideCost", "node_costs", "side_costs"]


@dataclass(frozen=True)
class NodeCost:
    """What one node takes for one image.

    Attributes:
        name: the node's name, its first output's where it has none.
        macs: multiply-accumulates; `flops` holds two for each, and the other operations.
        weight_bytes: of the weights that no earlier node has used, as they are stored.
        activation_bytes: of the node's outputs.
        counted: false where nothing is known of the operator, and one operation an element was assumed.
    """

    name: str
    op: str
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    counted: bool = True


@dataclass(frozen=True)
class SideCost:
    """What one side of a cut takes: `memory_bytes` are its weights and the most of activations at a time."""

    flops: int
    weight_bytes: int
    activation_bytes: int

    @property
    def memory_bytes(self) -> int:
        return self.weight_bytes + self.activation_bytes


_OPERATIONS_PER_ELEMENT = {
    0: """
    Reshape Transpose Concat Gather GatherElements GatherND Slice Split Squeeze Unsqueeze Flatten Identity Pad
    Expand Tile DepthToSpace SpaceToDepth Cast Dropout ScatterND ScatterElements
    """,
    1: """
    Add Sub Mul Div Relu LeakyRelu PRelu Clip Neg Abs Min Max Equal Less Greater LessOrEqual GreaterOrEqual
    Where And Or Not Ceil Floor Round Sign Sum Mean Mod Reciprocal ThresholdedRelu
    Exp Log Sqrt Pow Tanh Sigmoid Erf Sin Cos HardSigmoid Elu Softplus
    """,
    2: "QuantizeLinear DequantizeLinear DynamicQuantizeLinear BatchNormalization",
    4: "HardSwish Gelu FastGelu QuickGelu BiasGelu Swish Selu Mish",
    5: "Softmax LogSoftmax",
    8: """
    LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LpNormalization LRN
    SimplifiedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization
    """,
}
_PER_ELEMENT = {op: count for count, ops in _OPERATIONS_PER_ELEMENT.items() for op in ops.split()}

Shape = tuple[int, ...]
_Find = Callable[[str], Shape]


def node_costs(graph: Graph, shapes: Shapes) -> list[NodeCost]:
    """The cost of each node of `graph.path`, for one image. Weight initializers are found through whatever
    constant nodes (dequantization, transposition) lie between them and the node that uses them.
    """
    weights = weight_users(graph)
    first_use: dict[int, int] = {}
    for name, users in weights.items():
        first_use[users[0]] = first_use.get(users[0], 0) + weight_bytes(graph.initializers[name])

    def shape(name: str) -> Shape:
        if name in shapes.tensors:
            return shapes.tensors[name].shape
        return _constant_shape(graph, name)

    costs = []
    for index, node in enumerate(graph.path):
        macs, other, counted = _operations(node, shape)
        costs.append(
            NodeCost(
                name=node.name or node.output[0],
                op=node.op_type,
                macs=macs,
                flops=2 * macs + other,
                weight_bytes=first_use.get(index, 0),
                activation_bytes=sum(tensor_bytes(shapes, name) for name in node.output),
                counted=counted,
            )
        )
    return costs


def side_costs(
    graph: Graph, shapes: Shapes, costs: Sequence[NodeCost]
) -> Callable[[int], tuple[SideCost, SideCost]]:
    """A function from `Cut.position` to what the agent's side and the server's side take."""
    count = len(costs)
    users = weight_users(graph)
    flops = np.cumsum([0, *(cost.flops for cost in costs)], dtype=np.int64)
    agent_weights, server_weights = (np.zeros(count + 1, np.int64) for _ in range(2))
    for name, nodes in users.items():
        size = weight_bytes(graph.initializers[name])
        agent_weights[nodes[0] + 1 :] += size
        server_weights[: nodes[-1] + 1] += size
    live = _live_bytes(graph, shapes)
    before = np.maximum.accumulate([0, *live])
    after = np.maximum.accumulate([*live, 0][::-1])[::-1]

    def at(position: int) -> tuple[SideCost, SideCost]:
        return (
            SideCost(int(flops[position]), int(agent_weights[position]), int(before[position])),
            SideCost(int(flops[-1] - flops[position]), int(server_weights[position]), int(after[position])),
        )

    return at


def weight_users(graph: Graph) -> dict[str, list[int]]:
    """Initializer -> where in `graph.path` the nodes are that use it, directly or through constants."""
    users: dict[str, list[int]] = {}
    behind: dict[str, frozenset[str]] = {}  # constant tensor -> the initializers that it is made of

    def made_of(name: str) -> frozenset[str]:
        if name not in behind:
            node = graph.producer.get(name)
            inputs = [] if node is None or name in graph.content else list(graph.all_inputs(node))
            own = {name} if name in graph.initializers else set()
            behind[name] = frozenset(own.union(*(made_of(n) for n in inputs)))
        return behind[name]

    for index, node in enumerate(graph.path):
        for name in sorted(frozenset().union(*(made_of(n) for n in graph.all_inputs(node)))):
            users.setdefault(name, []).append(index)
    return users


def weight_bytes(tensor: Any) -> int:
    """Size of an initializer [bytes]; types of four bits take half a byte a value."""
    from onnx import TensorProto, helper

    elements = int(np.prod(tensor.dims)) if len(tensor.dims) else 1
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1):
        return (elements + 1) // 2
    return elements * int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)


def _live_bytes(graph: Graph, shapes: Shapes) -> list[int]:
    """Bytes of all tensors that exist while each node of the path runs."""
    last = {name: index for index, node in enumerate(graph.path) for name in graph.reads(node)}
    last |= {name: len(graph.path) for name in graph.outputs}
    alive = {graph.image: tensor_bytes(shapes, graph.image)}
    live = []
    for index, node in enumerate(graph.path):
        alive |= {name: tensor_bytes(shapes, name) for name in node.output}
        live.append(sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > index}
    return live


def tensor_bytes(shapes: Shapes, name: str) -> int:
    """Size of an activation of one image [bytes]; 0 where it was not measured."""
    tensor = shapes.tensors.get(name)
    return tensor.elements * tensor.itemsize if tensor is not None else 0


def _constant_shape(graph: Graph, name: str) -> Shape:
    """The shape of a weight, seen through the constant nodes that keep or permute it."""
    if name in graph.initializers:
        return tuple(graph.initializers[name].dims)
    node = graph.producer.get(name)
    if node is None:
        return ()
    if node.op_type == "Constant":
        value = attribute(node, "value", None)
        return tuple(value.dims) if value is not None else ()
    shape = _constant_shape(graph, node.input[0]) if node.input else ()
    if node.op_type == "Transpose":
        permutation = attribute(node, "perm", list(range(len(shape)))[::-1])
        return tuple(shape[axis] for axis in permutation) if len(permutation) == len(shape) else shape
    return shape


def _operations(node: Any, shape: _Find) -> tuple[int, int, bool]:
    """(multiply-accumulates, other operations, whether the operator is known)."""
    op = node.op_type
    inputs = [shape(name) if name else () for name in node.input]
    out = int(np.prod(shape(node.output[0]))) if shape(node.output[0]) else 1
    if op in _PER_ELEMENT:
        return 0, _PER_ELEMENT[op] * out, True
    if op in _MACS:
        weight, bias = _MACS[op]
        has_bias = 0 <= bias < len(inputs) and bool(node.input[bias])
        return _products(node, op, inputs, weight, shape(node.output[0])), out * has_bias, True
    if op in ("MaxPool", "AveragePool", "LpPool"):
        return 0, out * int(np.prod(attribute(node, "kernel_shape", [1]))), True
    if op.startswith("Global") or op.startswith("Reduce") or op in ("ArgMax", "ArgMin", "TopK", "CumSum"):
        return 0, int(np.prod(inputs[0])), True
    if op in ("Resize", "Upsample"):
        return 0, out * {"linear": 7, "cubic": 31}.get(attribute(node, "mode", "nearest"), 0), True
    if op == "Einsum":
        return _einsum(attribute(node, "equation", ""), inputs), 0, True
    if op in ("Attention", "MultiHeadAttention"):
        return *_attention(node, inputs), True
    return 0, out, False


# operator -> (which input is the weight, which the bias; -1: none)
_MACS = {
    "Conv": (1, 2),
    "FusedConv": (1, 2),
    "ConvInteger": (1, -1),
    "QLinearConv": (3, 8),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "FusedGemm": (1, 2),
    "MatMul": (1, -1),
    "FusedMatMul": (1, -1),
    "MatMulInteger": (1, -1),
    "QLinearMatMul": (3, -1),
    "MatMulNBits": (1, -1),
}


def _products(node: Any, op: str, inputs: list[Shape], weight: int, out: Shape) -> int:
    if op == "ConvTranspose":  # every input value is multiplied with every kernel value of its channel
        return int(np.prod(inputs[0])) * int(np.prod(inputs[weight][1:]))
    if op.endswith("Conv") or op == "ConvInteger":
        return int(np.prod(out)) * int(np.prod(inputs[weight][1:]))
    if op.endswith("Gemm"):
        inner = inputs[0][0] if attribute(node, "transA", 0) else inputs[0][-1]
    elif op == "FusedMatMul" and attribute(node, "transA", 0):
        inner = inputs[0][-2]
    else:
        inner = inputs[0][-1]
    return int(np.prod(out)) * inner


def _einsum(equation: str, inputs: list[Shape]) -> int:
    """Products of the naive sum: one for each combination of all indices. An ellipsis is not counted."""
    terms = re.sub(r"[\s.]", "", equation).split("->")[0].split(",")
    sizes = {index: size for term, shape in zip(terms, inputs, strict=True)
             for index, size in zip(term[::-1], shape[::-1], strict=False)}  # fmt: skip
    return int(np.prod(list(sizes.values())))


def _attention(node: Any, inputs: list[Shape]) -> tuple[int, int]:
    """Scores and their product with the values; com.microsoft's Attention projects its input first."""
    if node.domain == "com.microsoft" and node.op_type == "Attention":
        batch, length, width = inputs[0]
        projected = inputs[1][-1]
        macs = batch * length * width * projected + 2 * batch * length * length * (projected // 3)
        return macs, 5 * batch * attribute(node, "num_heads", 1) * length * length
    query, key, value = inputs[0], inputs[1] or inputs[0], inputs[2] or inputs[0]
    heads = query[1] if len(query) == 4 else attribute(node, "num_heads", attribute(node, "q_num_heads", 1))
    scores = int(np.prod(query)) * key[-2]
    return scores + query[0] * (heads if len(value) == 4 else 1) * query[-2] * value[-2] * value[-1], (
        5 * query[0] * heads * query[-2] * key[-2]
    )
