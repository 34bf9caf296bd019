"""Small ONNX graphs to split: `graph(nodes, ...)` and a few networks with what makes splitting hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="splitting needs the Python package onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


def model(
    nodes: Sequence[tuple],
    inputs: Mapping[str, tuple],
    outputs: Mapping[str, tuple],
    constants: Mapping[str, Any] | None = None,
    opset: int = 13,
) -> Any:
    """nodes: (op, inputs, outputs[, attributes]); inputs and outputs: name -> (dtype, shape)."""
    made = [helper.make_node(op, ins, outs, **(rest[0] if rest else {})) for op, ins, outs, *rest in nodes]
    ends = [
        [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, (dtype, shape) in values.items()]
        for values in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    built = helper.make_model(
        helper.make_graph(made, "test", *ends, tensors), opset_imports=[helper.make_opsetid("", opset)]
    )
    built.ir_version = 8
    onnx.checker.check_model(built)
    return built


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    fan_in = int(np.prod(shape[1:])) or 1
    return (np.random.default_rng(seed).standard_normal(shape) / fan_in**0.5).astype(np.float32)


def residual(batch: int | str = 1) -> Any:
    """conv -> relu -> (conv -> relu -> conv) + skip -> relu -> pool -> classes; weights through a constant
    node, too."""
    return model(
        [
            ("Conv", ["image", "w1"], ["a"], {"pads": [1, 1, 1, 1]}),
            ("Relu", ["a"], ["b"]),
            ("Conv", ["b", "w2", "bias"], ["c"], {"pads": [1, 1, 1, 1]}),
            ("Relu", ["c"], ["d"]),
            ("Conv", ["d", "w3"], ["e"], {"pads": [1, 1, 1, 1]}),
            ("Add", ["b", "e"], ["f"]),
            ("Relu", ["f"], ["g"]),
            ("GlobalAveragePool", ["g"], ["h"]),
            ("Flatten", ["h"], ["i"]),
            ("Transpose", ["w4"], ["w4t"]),
            ("MatMul", ["i", "w4t"], ["scores"]),
        ],
        {"image": ("float32", [batch, 3, 8, 8])},
        {"scores": ("float32", [batch, 10])},
        {
            "w1": weights(8, 3, 3, 3),
            "w2": weights(4, 8, 3, 3, seed=1),
            "bias": weights(4),
            "w3": weights(8, 4, 3, 3, seed=2),
            "w4": weights(10, 8, seed=3),
        },
    )


def tokens(batch: int | str = "batch") -> Any:
    """A small vision transformer as exporters write it: the batch read off a Shape, a class token expanded to
    it, positions added, attention, the class token gathered."""
    return model(
        [
            ("Conv", ["image", "patch"], ["grid"], {"strides": [4, 4]}),
            ("Shape", ["grid"], ["grid_shape"]),
            ("Gather", ["grid_shape", "zero"], ["b"]),
            ("Unsqueeze", ["b", "axis0"], ["b1"]),
            ("Concat", ["b1", "width", "minus"], ["flat_shape"], {"axis": 0}),
            ("Reshape", ["grid", "flat_shape"], ["columns"]),
            ("Transpose", ["columns"], ["rows"], {"perm": [0, 2, 1]}),
            ("Concat", ["b1", "one1", "width"], ["class_shape"], {"axis": 0}),
            ("Expand", ["class", "class_shape"], ["classes"]),
            ("Concat", ["classes", "rows"], ["sequence"], {"axis": 1}),
            ("Add", ["sequence", "positions"], ["x"]),
            ("MatMul", ["x", "wq"], ["q"]),
            ("MatMul", ["x", "wk"], ["k"]),
            ("Transpose", ["k"], ["kt"], {"perm": [0, 2, 1]}),
            ("MatMul", ["q", "kt"], ["logits"]),
            ("Softmax", ["logits"], ["attention"], {"axis": -1}),
            ("MatMul", ["attention", "x"], ["mixed"]),
            ("Add", ["x", "mixed"], ["y"]),
            ("Relu", ["y"], ["z"]),
            # The length again, from a tensor that lies before most cuts.
            ("Shape", ["x"], ["x_shape"]),
            ("Slice", ["x_shape", "axis0", "two"], ["bt"]),
            ("Concat", ["bt", "width"], ["again"], {"axis": 0}),
            ("Reshape", ["z", "again"], ["same"]),
            ("Gather", ["same", "zero"], ["first"], {"axis": 1}),
            ("MatMul", ["first", "head"], ["scores"]),
        ],
        {"image": ("float32", [batch, 3, 8, 8])},
        {"scores": ("float32", [batch, 5])},
        {
            "patch": weights(6, 3, 4, 4),
            "zero": np.array(0, np.int64),
            "axis0": np.array([0], np.int64),
            "two": np.array([2], np.int64),
            "one1": np.array([1], np.int64),
            "width": np.array([6], np.int64),
            "minus": np.array([-1], np.int64),
            "class": weights(1, 1, 6, seed=1),
            "positions": weights(1, 5, 6, seed=2),
            "wq": weights(6, 6, seed=3),
            "wk": weights(6, 6, seed=4),
            "head": weights(6, 5, seed=5),
        },
    )


def branches() -> Any:
    """Two ways from the image to the output: nothing but pairs of tensors can be cut."""
    return model(
        [
            ("Conv", ["image", "w1"], ["a"]),
            ("Relu", ["a"], ["left"]),
            ("MaxPool", ["image"], ["b"], {"kernel_shape": [4, 4], "strides": [4, 4]}),
            ("Conv", ["b", "w2"], ["right"]),
            ("GlobalAveragePool", ["left"], ["l"]),
            ("GlobalAveragePool", ["right"], ["r"]),
            ("Add", ["l", "r"], ["s"]),
            ("Flatten", ["s"], ["scores"]),
        ],
        {"image": ("float32", ["n", 3, 8, 8])},
        {"scores": ("float32", ["n", 4])},
        {"w1": weights(4, 3, 3, 3), "w2": weights(4, 3, 1, 1, seed=1)},
    )


def quantized(seed: int = 0) -> Any:
    """Quantized convolutions as converters write them: conv, clip, quantize, dequantize."""
    random = np.random.default_rng(seed)
    nodes: list[tuple] = [("DequantizeLinear", ["image", "s_in", "z_in"], ["x0"])]
    constants: dict[str, Any] = {
        "s_in": np.float32(1 / 64),
        "z_in": np.uint8(128),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    for layer in range(4):
        x, channels = f"x{layer}", 3 if layer == 0 else 16
        constants |= {
            f"w{layer}": random.integers(1, 256, (16, channels, 3, 3), np.uint8),
            f"ws{layer}": np.float32(0.004),
            f"wz{layer}": np.uint8(127),
            f"s{layer}": np.float32(6 / 255 * (0.93 + 0.02 * layer)),
            f"z{layer}": np.uint8(0),
        }
        nodes += [
            ("DequantizeLinear", [f"w{layer}", f"ws{layer}", f"wz{layer}"], [f"wd{layer}"]),
            ("Conv", [x, f"wd{layer}"], [f"c{layer}"], {"pads": [1, 1, 1, 1]}),
            ("Clip", [f"c{layer}", "zero", "six"], [f"r{layer}"]),
            ("QuantizeLinear", [f"r{layer}", f"s{layer}", f"z{layer}"], [f"q{layer}"]),
            ("DequantizeLinear", [f"q{layer}", f"s{layer}", f"z{layer}"], [f"x{layer + 1}"]),
        ]
    nodes += [
        ("GlobalAveragePool", ["x4"], ["pool"]),
        ("Reshape", ["pool", "flat"], ["vector"]),
        ("QuantizeLinear", ["vector", "s3", "z3"], ["answer"]),
    ]
    constants["flat"] = np.array([1, 16], np.int64)
    return model(nodes, {"image": ("uint8", [1, 3, 12, 12])}, {"answer": ("uint8", [1, 16])}, constants)


def with_prompt() -> Any:
    """An image and a prompt: features meet the tokens half way."""
    return model(
        [
            ("Conv", ["image", "w1"], ["a"]),
            ("GlobalAveragePool", ["a"], ["b"]),
            ("Flatten", ["b"], ["features"]),
            ("Gather", ["words", "tokens"], ["embedded"]),
            ("ReduceMean", ["embedded"], ["said"], {"axes": [1], "keepdims": 0}),
            ("Add", ["features", "said"], ["both"]),
            ("MatMul", ["both", "head"], ["logits"]),
        ],
        {"image": ("float32", ["B", 3, 8, 8]), "tokens": ("int64", ["B", "T"])},
        {"logits": ("float32", ["B", 6])},
        {"w1": weights(4, 3, 3, 3), "words": weights(6, 4), "head": weights(4, 6, seed=1)},
    )
