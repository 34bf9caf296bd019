"""Which parts of a network can be taken out whole: attention heads, hidden neurons, channels of convolutions.

Taking a channel out of one tensor forces it out of others: the weights that make it, the weights that read
it, and whatever is added to it. `PruneGraph.groups` follows these ties through the graph (the dependency
graph of DepGraph, Fang et al. 2023, arXiv 2301.12900, for ONNX and with labels instead of pairs of layers).
Channels that a residual path couples form one group and leave together. Where the ties reach something that
must keep its size (an output, the axis of a LayerNormalization), the group is left alone, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extras import require
from .graph import Graph
from .graph_shapes import load_session, measure
from .prune_rules import Blocked, Labels, implied, slice_ranges, split_ends
from .schema import ModelError

__all__ = ["KINDS", "Group", "PruneGraph", "kept"]

KINDS = ("heads", "neurons", "channels")
_COMPARED = 1e-4
"""Largest relative L2 difference between the smaller graph and the one with zeros, in float32."""

Keep = Mapping[tuple[str, int], NDArray[np.bool_]]


@dataclass(frozen=True)
class Group:
    """Units that can be removed one by one, and where each of them lies.

    Attributes:
        name: of the tensor that they were found in.
        kind: heads, neurons or channels.
        units: how many there are.
        labels: (tensor, axis) -> the unit of each index, -1 for none.
    """

    name: str
    kind: str
    units: int
    labels: Mapping[tuple[str, int], Labels]


def kept(removed: Sequence[tuple[Group, NDArray[np.bool_]]]) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """(tensor, axis) -> which indices stay without the units that are marked, [units], for each group."""
    found: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for group, units in removed:
        gone = np.append(units, False)  # label -1
        for place, labels in group.labels.items():
            found[place] = ~gone[labels] & found.get(place, True)
    return found


class PruneGraph:
    """An ONNX graph in float32 whose weights can be looked at, changed and made fewer.

    Args:
        model: an onnx.ModelProto; not changed. Weights that several nodes share are copied for each.
        width, height: of the image [pixels], where the graph leaves them open.

    Attributes:
        weights: the initializers by name.

    Raises:
        ModelError: the graph cannot be run on an image, or is quantized already.
    """

    def __init__(self, model: Any, *, width: int | None = None, height: int | None = None) -> None:
        self._onnx = require("onnx", extra="models")
        self.model = self._onnx.ModelProto()
        self.model.CopyFrom(model)
        self._fold_constants()
        graph = self.model.graph
        if quantized := sorted({node.op_type for node in graph.node if "Quantize" in node.op_type}):
            raise ModelError(f"the graph is quantized already ({quantized[0]}): prune it before that")
        to_array = self._onnx.numpy_helper.to_array
        self.weights: dict[str, NDArray[Any]] = {t.name: to_array(t) for t in graph.initializer}
        self._shared = self._unshare()
        del graph.initializer[:]
        names = set(self.weights)
        inputs = [value for value in graph.input if value.name not in names]
        del graph.input[:]
        graph.input.extend(inputs)
        self.graph = Graph(self.to_model())
        self.opset = self.graph.opset
        self._shapes = {
            name: tensor.shape
            for name, tensor in measure(self.graph, width=width, height=height).tensors.items()
        }
        self._touching: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in dict.fromkeys((*node.input, *node.output)):
                self._touching.setdefault(name, []).append(node)

    # --- what the rules ask

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self.weights:
            return self.weights[name].shape
        if name not in self._shapes:
            raise Blocked(f"the shape of {name!r} is not known")
        return self._shapes[name]

    def constant(self, name: str) -> NDArray[Any] | None:
        return self.weights.get(name)

    # --- groups

    def groups(self) -> tuple[list[Group], dict[str, str]]:
        """(the groups, in the graph's order; tensor -> why its channels must stay)."""
        found: list[Group] = []
        taken: dict[tuple[str, int], NDArray[np.bool_]] = {}
        blocked: dict[str, str] = {}
        for kind, name, axis in self._seeds():
            if (name, axis) in taken:
                continue
            try:
                labels = self._follow(name, axis)
            except Blocked as reason:
                blocked[name] = str(reason)
                continue
            if any((taken[place] & (each >= 0)).any() for place, each in labels.items() if place in taken):
                blocked[name] = "it is tied to a group that was found before"
                continue
            # Branches that are concatenated are groups of their own, side by side on one axis.
            for place, each in labels.items():
                taken[place] = (each >= 0) | taken.get(place, False)
            units = 1 + max(int(each.max()) for each in labels.values())
            found.append(Group(name, kind, units, labels))
        order = {name: i for i, node in enumerate(self.graph.path) for name in node.output}
        found.sort(key=lambda group: order[group.name])
        return found, blocked

    def _seeds(self) -> Iterator[tuple[str, str, int]]:
        """(kind, tensor, axis) that may be the channels of a group: heads first, for they tie columns."""
        for node in self.graph.path:
            if node.op_type == "Softmax" and node.output[0] in self._shapes:
                rank = len(self.shape(node.output[0]))
                # Scores are [batch, heads, tokens, tokens], or [heads, tokens, tokens].
                if rank in (3, 4) and self.shape(node.output[0])[rank - 3] > 1:
                    yield "heads", node.output[0], rank - 3
        for node in self.graph.path:
            if len(node.input) < 2 or node.input[1] not in self.weights or node.output[0] not in self._shapes:
                continue
            rank = len(self.shape(node.output[0]))
            if node.op_type in ("MatMul", "Gemm") and self.shape(node.output[0])[-1] > 1:
                yield "neurons", node.output[0], rank - 1
            elif node.op_type in ("Conv", "ConvTranspose") and self.shape(node.output[0])[1] > 1:
                yield "channels", node.output[0], 1

    def _follow(self, name: str, axis: int) -> dict[tuple[str, int], Labels]:
        """Labels of every axis that loses slices with this one. Raises Blocked."""
        found: dict[tuple[str, int], Labels] = {}
        waiting = [(name, axis, np.arange(self.shape(name)[axis], dtype=np.int64))]
        while waiting:
            name, axis, labels = waiting.pop()
            if (labels < 0).all():
                continue
            if (labels == labels[0]).all():
                raise Blocked(f"nothing would be left of {name!r}")
            if name in self.graph.inputs or name in self.graph.outputs:
                raise Blocked(f"{name!r} is an {'in' if name in self.graph.inputs else 'out'}put")
            known = found.get((name, axis))
            if known is not None:
                if ((known >= 0) & (labels >= 0) & (known != labels)).any():
                    raise Blocked(f"different units meet in {name!r}")
                labels = np.maximum(known, labels)
                if np.array_equal(labels, known):
                    continue
            found[name, axis] = labels
            for node in self._touching[name]:
                waiting += implied(self, node, name, axis, labels)
        return found

    # --- changing the graph

    def to_model(self) -> Any:
        """The onnx.ModelProto with the weights as they are now."""
        model = self._onnx.ModelProto()
        model.CopyFrom(self.model)
        renamed = self._joined()
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = renamed.get(name, name)
        for name, array in self.weights.items():
            if renamed.get(name, name) == name:
                model.graph.initializer.append(self._onnx.numpy_helper.from_array(array, name))
        return model

    def zeroed(self, keep: Keep) -> Any:
        """The model at its old size, with zeros for the weights that removal would take out."""
        whole = dict(self.weights)
        try:
            for (name, axis), mask in keep.items():
                if name in whole:
                    shape = [1] * self.weights[name].ndim
                    shape[axis] = -1
                    zeroed = np.where(mask.reshape(shape), self.weights[name], 0)
                    self.weights[name] = zeroed.astype(self.weights[name].dtype)
            return self.to_model()
        finally:
            self.weights = whole

    def remove(self, keep: Keep) -> PruneGraph:
        """The graph without the indices that `keep` marks false: smaller weights, smaller products.

        Raises:
            ModelError: nothing would be left of a tensor, or the graph no longer computes what the one with
                zeros in these places does.
        """
        for (name, _), mask in keep.items():
            if not mask.any():
                raise ModelError(f"nothing would be left of tensor {name!r}")
        dense = self.zeroed(keep)
        smaller = _Removal(self, keep).model()
        self._compare(dense, smaller)
        return PruneGraph(smaller, **self._image_size())

    def _image_size(self) -> dict[str, int]:
        shape = self._shapes[self.graph.image]
        height, width = shape[1:3] if shape[3] in (1, 3) and shape[1] not in (1, 3) else shape[2:4]
        return {"width": width, "height": height}

    def _compare(self, dense: Any, smaller: Any) -> None:
        image = np.random.default_rng(0).standard_normal(self._shapes[self.graph.image]).astype(np.float32)
        feeds = {self.graph.image: image}
        a, b = (load_session(each, "the pruned graph").run(None, feeds) for each in (dense, smaller))
        for name, x, y in zip(self.graph.outputs, a, b, strict=True):
            size = max(float(np.linalg.norm(x)), 1e-30)
            off = float(np.linalg.norm(x - y)) / size if x.shape == y.shape else np.inf
            if not off <= _COMPARED:
                raise ModelError(
                    f"without these slices {name!r} differs from the graph with zeros by {off:.2g} "
                    "(relative L2); the model is not pruned"
                )

    # --- tidying

    def _fold_constants(self) -> None:
        graph = self.model.graph
        nodes = list(graph.node)
        kept = []
        for node in nodes:
            constant = node.op_type == "Constant"
            value = next((a for a in node.attribute if constant and a.name == "value"), None)
            if value is None:
                kept.append(node)
            else:
                tensor = self._onnx.TensorProto()
                tensor.CopyFrom(value.t)
                tensor.name = node.output[0]
                graph.initializer.append(tensor)
        copies = []
        for node in kept:
            copy = self._onnx.NodeProto()
            copy.CopyFrom(node)
            copies.append(copy)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(copies)

    def _unshare(self) -> dict[str, str]:
        """Gives each node a copy of its own of weights that several use: exporters join what is equal by
        chance (biases of zero), and a slice of one is not one of the other. Copy -> original.
        """
        copies: dict[str, str] = {}
        used: set[str] = set()
        for node in self.model.graph.node:
            for i, name in enumerate(node.input):
                if name not in self.weights or self.weights[name].size <= 1:
                    continue
                if name in used:
                    copy = f"{name}_{len(copies)}"
                    while copy in self.weights:
                        copy += "_"
                    self.weights[copy], copies[copy] = self.weights[name], name
                    node.input[i] = copy
                used.add(name)
        return copies

    def _joined(self) -> dict[str, str]:
        """Copy -> an equal one that stays."""
        renamed: dict[str, str] = {}
        stays: dict[str, list[str]] = {}
        for copy, original in self._shared.items():
            for other in stays.setdefault(original, [original]):
                a, b = self.weights[copy], self.weights[other]
                if a is b or (a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b)):
                    renamed[copy] = other
                    break
            else:
                stays[original].append(copy)
        return renamed


class _Removal:
    """Makes the smaller graph: weights cut, and the nodes that state sizes told the new ones."""

    def __init__(self, source: PruneGraph, keep: Keep) -> None:
        self._source, self._keep = source, keep
        self._onnx = require("onnx", extra="models")
        self._new: dict[str, NDArray[Any]] = {}

    def model(self) -> Any:
        source = self._source
        model = self._onnx.ModelProto()
        model.CopyFrom(source.model)
        rewrite = {
            "Reshape": self._reshape,
            "Slice": self._slice,
            "Split": self._split,
            "Conv": self._conv,
            "ConvTranspose": self._conv,
        }
        touched = {name for name, _ in self._keep}
        for node in model.graph.node:
            if node.op_type in rewrite and touched.intersection((*node.input, *node.output)):
                rewrite[node.op_type](node)
        weights = dict(source.weights)
        for (name, axis), mask in self._keep.items():
            if name in weights:
                weights[name] = np.compress(mask, weights[name], axis)
        used = {name for node in model.graph.node for name in node.input}
        for name, array in (weights | self._new).items():
            if name in used:
                model.graph.initializer.append(self._onnx.numpy_helper.from_array(array, name))
        return model

    def _reshape(self, node: Any) -> None:
        stated = self._source.constant(node.input[1])
        shape = list(self._source.shape(node.output[0]))
        sizes = [int(self._mask(node.output[0], axis, size).sum()) for axis, size in enumerate(shape)]
        if stated is None:  # computed from the batch, the only size that may be open
            wanted = [-1, *sizes[1:]]
        else:
            given = stated.tolist()
            wanted = [
                old if old == -1 or new == size else new
                for old, new, size in zip(given, sizes, shape, strict=True)
            ]
        node.input[1] = self._fresh(wanted)

    def _slice(self, node: Any) -> None:
        ranges = slice_ranges(self._source, node)
        shape = self._source.shape(node.input[0])
        for axis, (begin, end) in ranges.items():
            mask = self._mask(node.input[0], axis, shape[axis])
            ranges[axis] = (int(mask[:begin].sum()), int(mask[:end].sum()))
        begins, ends = zip(*ranges.values(), strict=True)
        names = [self._fresh(list(values)) for values in (begins, ends, ranges)]
        del node.input[1:]
        node.input.extend(names)

    def _split(self, node: Any) -> None:
        shape = self._source.shape(node.input[0])
        found = next((a.i for a in node.attribute if a.name == "axis"), 0)
        axis = found % len(shape)
        ends = split_ends(self._source, node, axis)
        before = np.cumsum([0, *self._mask(node.input[0], axis, shape[axis])])
        sizes = np.diff(before[ends]).tolist()
        kept = [a for a in node.attribute if a.name not in ("split", "num_outputs")]
        attributes = [self._copy(a) for a in kept]
        del node.attribute[:]
        node.attribute.extend(attributes)
        if self._source.opset >= 13:
            del node.input[1:]
            node.input.append(self._fresh(sizes))
        else:
            node.attribute.append(self._onnx.helper.make_attribute("split", sizes))

    def _conv(self, node: Any) -> None:
        weight = self._source.shape(node.input[1])
        for a in node.attribute:
            if a.name == "group" and a.i > 1:
                a.i = int(self._mask(node.input[1], 0, weight[0]).sum())

    def _mask(self, name: str, axis: int, size: int) -> NDArray[np.bool_]:
        return self._keep.get((name, axis), np.ones(size, bool))

    def _fresh(self, values: list[int]) -> str:
        name = f"pruned_{len(self._new)}"
        while name in self._source.weights or name in self._new:
            name += "_"
        self._new[name] = np.array(values, np.int64)
        return name

    def _copy(self, message: Any) -> Any:
        copy = type(message)()
        copy.CopyFrom(message)
        return copy
