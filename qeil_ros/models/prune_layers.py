"""The layers of a network as matrices, and what reaches them on calibration images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import attribute
from .graph_shapes import load_session
from .prune_graph import PruneGraph
from .prune_rules import Labels
from .schema import ModelError

__all__ = ["Layer", "layers_of", "second_moments"]

Matrix = NDArray[np.float64]

_ROWS = 256
"""Positions of a picture that a convolution's inputs are taken at, at most."""
_BATCH_BYTES = 1 << 29


@dataclass(frozen=True)
class Layer:
    """A MatMul, Gemm or Conv with constant weights: outputs = inputs @ matrix + bias.

    Attributes:
        weight: name of the initializer.
        input: the tensor that it is applied to.
        bias: name of the initializer of one value an output that is added; empty: none.
        axis: of the weights, along the inputs' channels.
        kernel: sizes of a convolution's window; empty: a product.
    """

    op: str
    node: Any
    weight: str
    input: str
    bias: str
    axis: int
    kernel: tuple[int, ...] = ()

    def matrix(self, graph: PruneGraph) -> Matrix:
        """The weights [inputs, outputs]; the inputs of a convolution are (channel, place in the window)."""
        weights = graph.weights[self.weight].astype(np.float64)
        return weights.reshape(len(weights), -1).T if self.axis == 1 else weights

    def put(self, graph: PruneGraph, matrix: Matrix) -> None:
        """Sets the weights from a matrix as `matrix` gives it."""
        old = graph.weights[self.weight]
        array = matrix.T if self.axis == 1 else matrix
        graph.weights[self.weight] = array.reshape(old.shape).astype(old.dtype)

    def units(self, labels: Labels) -> Labels:
        """The unit of each row of the matrix, from the labels of its input channels."""
        return np.repeat(labels, int(np.prod(self.kernel, dtype=int)))

    def rows(self, values: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        """What the matrix is multiplied with, [rows, inputs], for the values of the tensor `input`."""
        if not self.kernel:
            return values.reshape(-1, values.shape[-1])
        node, dims = self.node, len(self.kernel)
        pads = attribute(node, "pads", [0] * 2 * dims)
        strides = attribute(node, "strides", [1] * dims)
        dilations = attribute(node, "dilations", [1] * dims)
        padded = np.pad(values, [(0, 0), (0, 0), *((pads[i], pads[i + dims]) for i in range(dims))])
        span = [(k - 1) * d + 1 for k, d in zip(self.kernel, dilations, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, span, tuple(range(2, 2 + dims)))
        steps = tuple(slice(None, None, step) for step in (1, 1, *strides, *dilations))
        windows = windows[steps]
        # [batch, channels, *places, *window] -> [places, channels, window]
        windows = np.moveaxis(windows, 1, 1 + dims)
        places = np.stack(np.meshgrid(*map(np.arange, windows.shape[: 1 + dims]), indexing="ij"), -1)
        places = places.reshape(-1, 1 + dims)
        if len(places) > _ROWS:
            places = places[random.choice(len(places), _ROWS, replace=False)]
        chosen: NDArray[Any] = windows[tuple(places.T)]
        return chosen.reshape(len(places), -1)


def layers_of(graph: PruneGraph, least: int = 0) -> list[Layer]:
    """The layers with float32 weights of `least` elements or more, in the graph's order. Convolutions in
    groups are none: their outputs do not see all inputs.
    """
    found = []
    for node in graph.graph.path:
        if len(node.input) < 2 or node.input[1] not in graph.weights or node.input[0] in graph.weights:
            continue
        weights = graph.weights[node.input[1]]
        if weights.dtype != np.float32 or weights.size < least:
            continue
        name, source = node.input[1], node.input[0]
        third = node.input[2] if len(node.input) > 2 else ""
        if node.op_type == "MatMul" and weights.ndim == 2:
            found.append(Layer("MatMul", node, name, source, _added(graph, node, weights.shape[1]), 0))
        elif node.op_type == "Gemm" and _plain(node):
            axis = 1 if attribute(node, "transB", 0) else 0
            outputs = weights.shape[1 - axis]
            found.append(Layer("Gemm", node, name, source, _bias(graph, third, outputs), axis))
        elif node.op_type == "Conv" and _windows(node):
            bias = _bias(graph, third, len(weights))
            found.append(Layer("Conv", node, name, source, bias, 1, weights.shape[2:]))
    return found


def second_moments(
    graph: PruneGraph, layers: Sequence[Layer], images: Sequence[NDArray[Any]], *, seed: int = 0
) -> dict[str, Matrix]:
    """Weight name -> the mean of x x' over what reaches the layer, x with a 1 at its end for the bias.

    Args:
        images: prepared ones, [1, ...].

    Raises:
        ModelError: the graph cannot be run, or gives values that are not finite.
    """
    onnx_model = graph.to_model()
    there = {value.name for value in onnx_model.graph.output}
    wanted = sorted({layer.input for layer in layers} - {graph.graph.image})
    for name in wanted:
        if name not in there:
            onnx_model.graph.output.add().name = name
    session = load_session(onnx_model, "the graph with its inner tensors as outputs")
    sums: dict[str, Matrix] = {}
    counts: dict[str, int] = {}
    random = np.random.default_rng(seed)
    for image in images:
        found = session.run(wanted, {graph.graph.image: image}) if wanted else []
        values = dict(zip(wanted, found, strict=True))
        values[graph.graph.image] = image
        for layer in layers:
            rows = layer.rows(values[layer.input], random).astype(np.float64)
            rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
            sums[layer.weight] = sums.get(layer.weight, 0) + rows.T @ rows
            counts[layer.weight] = counts.get(layer.weight, 0) + len(rows)
    for layer in layers:
        if not np.isfinite(sums[layer.weight]).all():
            raise ModelError(f"tensor {layer.input!r} is not finite on the calibration images")
    return {name: total / counts[name] for name, total in sums.items()}


def _bias(graph: PruneGraph, name: str, outputs: int) -> str:
    return name if name in graph.weights and graph.weights[name].shape == (outputs,) else ""


def _added(graph: PruneGraph, node: Any, outputs: int) -> str:
    """The bias that an Add right behind a MatMul brings."""
    users = [each for each in graph.graph.nodes if node.output[0] in each.input]
    if len(users) != 1 or users[0].op_type != "Add" or node.output[0] in graph.graph.outputs:
        return ""
    other = [name for name in users[0].input if name != node.output[0]]
    return _bias(graph, other[0], outputs) if other else ""


def _plain(node: Any) -> bool:
    values = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    return all(attribute(node, key, value) == value for key, value in values.items())


def _windows(node: Any) -> bool:
    """Whether the windows can be told from the attributes alone."""
    return attribute(node, "group", 1) == 1 and attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
