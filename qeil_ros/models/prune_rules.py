"""What one ONNX operator passes on when slices of a tensor's axis are removed.

An axis is described by its *labels*: for each index the unit that it belongs to (a head, a neuron, a
channel), -1 for none. A rule takes the labels of one axis of one tensor of a node and yields those of the
axes that must lose the same units for the node to go on meaning what it meant; where nothing can, it raises
Blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .graph import attribute

__all__ = ["Blocked", "Known", "Labels", "implied", "reshaped", "slice_ranges", "split_ends"]

Labels = NDArray[np.int64]
Implied = Iterator[tuple[str, int, Labels]]


class Blocked(Exception):
    """Slices of this axis cannot be removed; the message says what stands against it."""


class Known(Protocol):
    """What the rules need to know of a graph."""

    opset: int

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, for one image. Raises Blocked where it is not known."""
        ...

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of an initializer; None: the tensor is computed."""
        ...


def implied(known: Known, node: Any, name: str, axis: int, labels: Labels) -> Implied:
    """(tensor, axis, labels) for the other tensors of a node that has `name` among its inputs or outputs."""
    rule = _RULES.get(node.op_type)
    if rule is None or node.domain not in ("", "ai.onnx"):
        raise Blocked(f"{node.op_type} is not known to pass it on")
    places = [i for i, each in enumerate(node.input) if each == name]
    for place in places:
        yield from rule(known, node, place, axis, labels)
    for place in (i for i, each in enumerate(node.output) if each == name):
        yield from rule(known, node, -1 - place, axis, labels)


# Each rule gets the place of the tensor in the node: 0, 1, ... of the inputs, -1, -2, ... of the outputs.


def _elementwise(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    """Shapes are aligned at their last axes; what has one element there serves all."""
    names = [name for name in (*node.input, node.output[0]) if name]
    back = len(known.shape(_at(node, place))) - axis
    if len(labels) == 1 and any(_dim(known, name, back) > 1 for name in names):
        raise Blocked(f"{node.op_type} repeats it")
    for name in names:
        if _dim(known, name, back) == len(labels):
            yield name, len(known.shape(name)) - back, labels


def _first_only(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    """Elementwise in the first input; the others are single values (Clip)."""
    if place > 0:
        raise Blocked(f"it sets {node.op_type}")
    yield node.input[0], axis, labels
    yield node.output[0], axis, labels


def _matmul(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    first, second, out = node.input[0], node.input[1], node.output[0]
    ranks = {name: len(known.shape(name)) for name in (first, second, out)}
    if min(ranks.values()) < 2:
        raise Blocked("MatMul with a vector")
    back = ranks[_at(node, place)] - axis
    if back > 2:  # a batch axis, aligned as elementwise
        for name in (first, second, out):
            if _dim(known, name, back) == len(labels):
                yield name, ranks[name] - back, labels
    elif place == -1:
        source = second if back == 1 else first
        yield source, ranks[source] - back, labels
    elif back == (1 if place == 0 else 2):  # summed over
        yield first, ranks[first] - 1, labels
        yield second, ranks[second] - 2, labels
    else:
        yield out, ranks[out] - back, labels


def _gemm(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    turned = (attribute(node, "transA", 0), attribute(node, "transB", 0))
    if place in (0, 1):
        summed = (axis == 1) == (turned[0] == 0) if place == 0 else (axis == 0) == (turned[1] == 0)
        if summed:
            yield node.input[0], 0 if turned[0] else 1, labels
            yield node.input[1], 1 if turned[1] else 0, labels
            return
        side = place
    elif place == 2:
        side = 1 if axis == len(known.shape(node.input[2])) - 1 else 0
    else:
        side = axis
    if side == 0:
        raise Blocked("rows of a Gemm")
    yield node.input[1], 0 if turned[1] else 1, labels
    yield node.output[0], 1, labels
    if len(node.input) > 2 and node.input[2] and _dim(known, node.input[2], 1) == len(labels):
        yield node.input[2], len(known.shape(node.input[2])) - 1, labels


def _conv(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    groups, weight = attribute(node, "group", 1), known.shape(node.input[1])
    if (place in (0, -1) and axis != 1) or (place == 1 and axis > 1):
        raise Blocked(f"an axis that {node.op_type} runs along")
    # The axes of the weights: (out, in) of a Conv, (in, out) of a ConvTranspose.
    out, into = (1, 0) if node.op_type == "ConvTranspose" else (0, 1)
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    if groups > 1:
        if weight[1] != 1 or weight[0] != groups or (place == 1 and axis == 1):
            raise Blocked("a grouped convolution that is not depthwise")
        ties = [(node.input[0], 1), (node.input[1], 0), (node.output[0], 1)]
        yield from ((name, at, labels) for name, at in [*ties, *([(bias, 0)] if bias else [])])
    elif place == 0 or (place == 1 and axis == into):
        yield node.input[0], 1, labels
        yield node.input[1], into, labels
    else:
        yield node.input[1], out, labels
        yield node.output[0], 1, labels
        if bias:
            yield bias, 0, labels


def _per_channel(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    """Axis 1 of the first input, with one value a channel in the others (BatchNormalization)."""
    if place in (0, -1) and axis != 1:
        raise Blocked(f"an axis that {node.op_type} runs along")
    yield node.input[0], 1, labels
    yield node.output[0], 1, labels
    for name in node.input[1:]:
        if name:
            yield name, 0, labels


def _pool(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    if axis != 1 or place > 0:
        raise Blocked(f"an axis that {node.op_type} runs along")
    yield node.input[0], 1, labels
    yield node.output[0], 1, labels


def _along(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    """Softmax, LayerNormalization and their like: the axes that they normalize along must stay whole."""
    rank = len(known.shape(node.output[0]))
    default = -1 if known.opset >= 13 or node.op_type == "LayerNormalization" else 1
    at = attribute(node, "axis", default) % rank
    flat = node.op_type == "LayerNormalization" or known.opset < 13
    if place > 0 or axis == at or (flat and axis > at):
        raise Blocked(f"{node.op_type} runs along it")
    yield node.input[0], axis, labels
    yield node.output[0], axis, labels


def _transpose(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    rank = len(known.shape(node.input[0]))
    order = list(attribute(node, "perm", list(range(rank))[::-1]))
    if place < 0:
        yield node.input[0], order[axis], labels
    else:
        yield node.output[0], order.index(axis), labels


def _concat(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    out = node.output[0]
    at = attribute(node, "axis", 0) % len(known.shape(out))
    if axis != at:
        for name in (*node.input, out):
            yield name, axis, labels
        return
    ends = np.cumsum([0, *(known.shape(name)[at] for name in node.input)])
    if place < 0:
        for name, low, high in zip(node.input, ends, ends[1:], strict=False):
            yield name, at, labels[low:high]
    else:
        whole = np.full(ends[-1], -1, np.int64)
        whole[ends[place] : ends[place + 1]] = labels
        yield out, at, whole


def _split(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    rank = len(known.shape(node.input[0]))
    at = attribute(node, "axis", 0) % rank
    if place > 0:
        raise Blocked("it sets Split")
    if axis != at:
        for name in (node.input[0], *node.output):
            yield name, axis, labels
        return
    ends = split_ends(known, node, at)
    if place == 0:
        for name, low, high in zip(node.output, ends, ends[1:], strict=False):
            yield name, at, labels[low:high]
    else:
        whole = np.full(ends[-1], -1, np.int64)
        whole[ends[-1 - place] : ends[-place]] = labels
        yield node.input[0], at, whole


def split_ends(known: Known, node: Any, axis: int) -> list[int]:
    """Where the pieces of a Split begin, and where the last one ends."""
    return [0, *np.cumsum([known.shape(name)[axis] for name in node.output]).tolist()]


def _slice(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    if place > 0:
        raise Blocked("it sets Slice")
    ranges = slice_ranges(known, node)
    size = known.shape(node.input[0])[axis]
    begin, end = ranges.get(axis, (0, size))
    if place == 0:
        yield node.output[0], axis, labels[begin:end]
    else:
        whole = np.full(size, -1, np.int64)
        whole[begin:end] = labels
        yield node.input[0], axis, whole


def slice_ranges(known: Known, node: Any) -> dict[int, tuple[int, int]]:
    """Axis -> (begin, end) of a Slice with constant bounds and steps of one. Raises Blocked for others."""
    shape = known.shape(node.input[0])
    given = [known.constant(name) if name else None for name in node.input[1:]]
    if len(given) < 2 or given[0] is None or given[1] is None:
        raise Blocked("a Slice whose bounds are computed")
    begins, ends = given[0].tolist(), given[1].tolist()
    axes = given[2] if len(given) > 2 and node.input[3] else np.arange(len(begins))
    steps = given[3] if len(given) > 3 and node.input[4] else np.ones(len(begins), int)
    if axes is None or steps is None or (steps != 1).any():
        raise Blocked("a Slice with steps")
    found = {}
    for at, begin, end in zip(axes.tolist(), begins, ends, strict=True):
        low, high, _ = slice(begin, end).indices(shape[at])
        found[at % len(shape)] = (low, max(low, high))
    return found


def _gather(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    if place > 0:
        raise Blocked("it is an index")
    at = attribute(node, "axis", 0) % len(known.shape(node.input[0]))
    more = len(known.shape(node.input[1])) - 1
    if place == 0:
        if axis == at:
            raise Blocked("Gather takes from it by number")
        yield node.output[0], axis if axis < at else axis + more, labels
    elif at <= axis <= at + more:
        raise Blocked("Gather makes it")
    else:
        yield node.input[0], axis if axis < at else axis - more, labels


def _reduce(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    shape = known.shape(node.input[0])
    axes = attribute(node, "axes", None)
    if axes is None and len(node.input) > 1 and node.input[1]:
        found = known.constant(node.input[1])
        if found is None:
            raise Blocked("axes that are computed")
        axes = found.tolist()
    gone = {at % len(shape) for at in axes} if axes else set(range(len(shape)))
    kept = list(range(len(shape))) if attribute(node, "keepdims", 1) else sorted({*range(len(shape))} - gone)
    if place > 0:
        raise Blocked(f"it sets {node.op_type}")
    source = axis if place == 0 else kept[axis]
    if source in gone:
        raise Blocked(f"{node.op_type} runs along it")
    yield node.input[0], source, labels
    yield node.output[0], kept.index(source), labels


def _reshape(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    if place > 0:
        raise Blocked(f"it sets {node.op_type}")
    here, there = (node.input[0], node.output[0]) if place == 0 else (node.output[0], node.input[0])
    at, passed = reshaped(known.shape(here), known.shape(there), axis, labels)
    yield there, at, passed


def reshaped(shape: Sequence[int], target: Sequence[int], axis: int, labels: Labels) -> tuple[int, Labels]:
    """(axis, labels) of the axis of `target` along which the same units lie as along `axis` of `shape`.

    Raises:
        Blocked: there is none: a unit's elements make no whole slices there.
    """
    for sources, targets in _segments(shape, target):
        if axis not in sources:
            continue
        sizes = [shape[i] for i in sources]
        along = [1] * len(sizes)
        along[sources.index(axis)] = -1
        block = np.broadcast_to(labels.reshape(along), sizes).reshape([target[i] for i in targets])
        for at in range(len(targets)):
            line = np.moveaxis(block, at, 0).reshape(block.shape[at], -1)
            if (line == line[:, :1]).all():
                return targets[at], np.ascontiguousarray(line[:, 0])
    raise Blocked(f"{list(shape)} is reshaped to {list(target)}, where it is no whole slice")


def _segments(shape: Sequence[int], target: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Shortest runs of axes on both sides that hold the same elements."""
    i = j = 0
    while i < len(shape) or j < len(target):
        left, right = [i] if i < len(shape) else [], [j] if j < len(target) else []
        i, j = i + len(left), j + len(right)
        a = shape[left[0]] if left else 1
        b = target[right[0]] if right else 1
        while a != b:
            if a < b and i < len(shape):
                a, left, i = a * shape[i], [*left, i], i + 1
            elif b < a and j < len(target):
                b, right, j = b * target[j], [*right, j], j + 1
            else:
                raise Blocked(f"{list(shape)} does not fit {list(target)}")
        if left and right:
            yield left, right


def _refuse_shape(known: Known, node: Any, place: int, axis: int, labels: Labels) -> Implied:
    rank = len(known.shape(node.input[0]))
    begin, end, _ = slice(attribute(node, "start", 0), attribute(node, "end", None)).indices(rank)
    if begin <= axis < end:
        raise Blocked("its length is computed with")
    yield from ()


def _at(node: Any, place: int) -> str:
    return str(node.input[place] if place >= 0 else node.output[-1 - place])


def _dim(known: Known, name: str, back: int) -> int:
    """The size of the axis `back` from the end; 0 where there is none."""
    shape = known.shape(name)
    return shape[-back] if back <= len(shape) else 0


Rule = Callable[[Known, Any, int, int, Labels], Implied]
_OPERATORS: dict[Rule, str] = {
    _elementwise: """
    Add Sub Mul Div Pow Min Max Sum Mean Mod PRelu Where Equal Less Greater LessOrEqual GreaterOrEqual And Or
    Abs Cast Ceil Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg
    Not Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Swish Tanh ThresholdedRelu
    """,
    _first_only: "Clip Dropout",
    _matmul: "MatMul",
    _gemm: "Gemm",
    _conv: "Conv ConvTranspose",
    _per_channel: "BatchNormalization InstanceNormalization",
    _pool: "AveragePool MaxPool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool",
    _along: "Softmax LogSoftmax LayerNormalization LpNormalization RMSNormalization",
    _transpose: "Transpose",
    _concat: "Concat",
    _split: "Split",
    _slice: "Slice",
    _gather: "Gather",
    _reduce: "ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceProd",
    _reshape: "Reshape Flatten Squeeze Unsqueeze",
    _refuse_shape: "Shape",
}
_RULES: dict[str, Rule] = {op: rule for rule, ops in _OPERATORS.items() for op in ops.split()}
