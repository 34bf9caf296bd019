"""A decoder-only transformer as an ONNX graph with a cache: prompt in, then token by token.

Layer norms without shift before attention and before a feed-forward part of four times the width (ReLU);
sinusoidal positions; nothing else, so that a size is two numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..extras import require
from ..runtime import Runtime
from .questions import VOCABULARY

__all__ = ["Cache", "Decoder", "Size", "Weights", "build", "positions"]

Floats = NDArray[np.float32]
Weights = dict[str, Floats]
Cache = NDArray[np.float32]
"""[layers, 2, B, heads, length, width / heads]: keys and values of the tokens so far."""

LONGEST = 512
"""Tokens for which positions exist."""
_OPSET = 17
_HEAD = 16
_HEADS_MOST = 8


@dataclass(frozen=True)
class Size:
    """A member of the family."""

    width: int
    layers: int

    @property
    def name(self) -> str:
        return f"{self.width}x{self.layers}"

    @property
    def heads(self) -> int:
        return max(1, min(self.width // _HEAD, _HEADS_MOST))

    @property
    def parameters(self) -> int:
        """All weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each weight; matrices are [from, to]."""
        d = self.width
        found: dict[str, tuple[int, ...]] = {"embedding": (VOCABULARY, d)}
        for i in range(self.layers):
            found |= {f"{i}/norm1": (d,), f"{i}/qkv": (d, 3 * d), f"{i}/out": (d, d)}
            found |= {f"{i}/norm2": (d,), f"{i}/up": (d, 4 * d), f"{i}/down": (4 * d, d)}
        return found | {"norm": (d,), "head": (d, VOCABULARY)}

    def random(self, rng: np.random.Generator) -> Weights:
        """Weights to begin with: a standard deviation of one over the root of what goes in, norms 1."""
        found = {}
        for name, shape in self.shapes.items():
            if len(shape) == 1:
                found[name] = np.ones(shape, np.float32)
            else:
                spread = 1.0 if name == "embedding" else shape[0] ** -0.5
                found[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
        return found


def positions(length: int, width: int) -> Floats:
    """Sinusoidal positions (A. Vaswani et al. 2017, section 3.5), [length, width]."""
    at = np.arange(length)[:, None] / 1000.0 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(at), np.cos(at)], axis=2).reshape(length, width).astype(np.float32)


def build(size: Size, weights: Weights) -> bytes:
    """The serialized graph: tokens [B, T] after a cache of length P -> logits [B, V] of the next token, and
    the cache of length P + T.

    Inputs beside them: `start` [1], P; `mask` [T, P + T], added to the attention's scores.

    Raises:
        ModelError: the package onnx is not installed.
    """
    onnx: Any = require("onnx", extra="models")
    require("onnx.helper", extra="models")
    graph = _Graph(onnx)
    helper, kind = onnx.helper, onnx.TensorProto
    for name, value in weights.items():
        graph.constant(name, value)
    graph.constant("positions", positions(LONGEST, size.width))
    each = size.width // size.heads
    graph.constant("split_shape", np.array([0, 0, 3, size.heads, each], np.int64))
    graph.constant("joined_shape", np.array([0, 0, size.width], np.int64))
    graph.constant("scale", np.float32(each**-0.5))
    for i in range(4):
        graph.constant(f"at{i}", np.array([i], np.int64))
    length = graph("Shape", "tokens", start=1, end=2)
    rows = graph("Slice", "positions", "start", graph("Add", "start", length), "at0")
    x = graph("Add", graph("Gather", "embedding", "tokens"), rows)
    kept = []
    for i in range(size.layers):
        x, cache = _layer(graph, i, x)
        kept.append(cache)
    last = graph("Slice", x, graph("Sub", length, "at1"), length, "at1")
    last = graph("Squeeze", last, "at1")
    graph("MatMul", graph("LayerNormalization", last, "norm", axis=-1), "head", to="logits")
    graph("Concat", *kept, to="after", axis=0)
    cached = [size.layers, 2, "batch", size.heads]
    inputs = [
        helper.make_tensor_value_info("tokens", kind.INT64, ["batch", "length"]),
        helper.make_tensor_value_info("start", kind.INT64, [1]),
        helper.make_tensor_value_info("mask", kind.FLOAT, ["length", "seen"]),
        helper.make_tensor_value_info("before", kind.FLOAT, [*cached, "past", each]),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", kind.FLOAT, ["batch", VOCABULARY]),
        helper.make_tensor_value_info("after", kind.FLOAT, [*cached, "seen", each]),
    ]
    made = helper.make_graph(graph.nodes, size.name, inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    return bytes(model.SerializeToString())


class _Graph:
    """Nodes and constants as they are added; a node's output has its own number for a name."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> None:
        self.constants.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))

    def __call__(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        output = to or f"t{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def _layer(graph: _Graph, i: int, x: str) -> tuple[str, str]:
    """One decoder layer: its output, and its cache [1, 2, B, heads, P + T, each]."""
    normed = graph("LayerNormalization", x, f"{i}/norm1", axis=-1)
    qkv = graph("Reshape", graph("MatMul", normed, f"{i}/qkv"), "split_shape")
    qkv = graph("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    query = graph("Squeeze", graph("Slice", qkv, "at0", "at1", "at0"), "at0")
    fresh = graph("Slice", qkv, "at1", "at3", "at0")
    before = graph("Gather", "before", _index(graph, i), axis=0)
    cache = graph("Concat", before, fresh, axis=3)
    keys = graph("Squeeze", graph("Slice", cache, "at0", "at1", "at0"), "at0")
    values = graph("Squeeze", graph("Slice", cache, "at1", "at2", "at0"), "at0")
    scores = graph("Mul", graph("MatMul", query, graph("Transpose", keys, perm=[0, 1, 3, 2])), "scale")
    shares = graph("Softmax", graph("Add", scores, "mask"), axis=-1)
    seen = graph("Transpose", graph("MatMul", shares, values), perm=[0, 2, 1, 3])
    x = graph("Add", x, graph("MatMul", graph("Reshape", seen, "joined_shape"), f"{i}/out"))
    normed = graph("LayerNormalization", x, f"{i}/norm2", axis=-1)
    x = graph("Add", x, graph("MatMul", graph("Relu", graph("MatMul", normed, f"{i}/up")), f"{i}/down"))
    return x, graph("Unsqueeze", cache, "at0")


def _index(graph: _Graph, i: int) -> str:
    name = f"layer{i}"
    graph.constant(name, np.int64(i))
    return name


class Decoder:
    """A size with weights, ready to answer. Raises ModelError.

    Args:
        threads: of one operator.
    """

    def __init__(self, size: Size, weights: Weights, *, threads: int = 1) -> None:
        self.size = size
        self._runtime = Runtime(build(size, weights), name=size.name, threads=threads)

    def empty(self, batch: int) -> Cache:
        """The cache before the first token."""
        size = self.size
        return np.zeros((size.layers, 2, batch, size.heads, 0, size.width // size.heads), np.float32)

    def read(self, tokens: NDArray[np.int64], cache: Cache) -> tuple[Floats, Cache]:
        """Reads tokens [B, T] after those of the cache.

        Returns:
            logits [B, VOCABULARY] of the next token, and the cache with these tokens.
        """
        past, new = cache.shape[4], tokens.shape[1]
        logits, after = self._runtime.run_all(
            {
                "tokens": tokens,
                "start": np.array([past], np.int64),
                "mask": _mask(past, new),
                "before": cache,
            },
            ["logits", "after"],
        )
        return logits, after


@lru_cache(maxsize=2 * LONGEST)
def _mask(past: int, new: int) -> Floats:
    """[new, past + new]: no token sees those that follow it."""
    hidden = np.triu(np.ones((new, past + new), bool), past + 1)
    return np.where(hidden, -1e9, 0.0).astype(np.float32)
