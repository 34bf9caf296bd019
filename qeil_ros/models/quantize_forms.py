"""How the product of a layer is written for a runtime: nodes in the place of a MatMul or Gemm.

A rewriter is called as `rewriter(node, layer, add)`, adds its nodes with `add`, and afterwards holds the
constants that they need in `initializers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .extras import require

__all__ = ["Int8", "Qdq"]

Add = Callable[[Any], None]


class Int8:
    """Inputs quantized to uint8 as they come, an integer product, scaled back.

    onnxruntime fuses these nodes, and a bias after them, to one. Layers that read the same tensor share its
    codes.
    """

    def __init__(self) -> None:
        self._onnx = require("onnx", extra="models")
        self._quantized: set[str] = set()
        self.initializers: dict[str, Any] = {}

    def __call__(self, node: Any, layer: Any, add: Add) -> None:
        make, x, y = self._onnx.helper.make_node, node.input[0], node.output[0]
        codes, scale, zero = (f"{x}.{what}" for what in ("uint8", "scale", "zero"))
        if x not in self._quantized:
            add(make("DynamicQuantizeLinear", [x], [codes, scale, zero], name=codes))
            self._quantized.add(x)
        total, real, both = (f"{y}.{what}" for what in ("int32", "float", "scale"))
        scaled = f"{y}.product" if layer.op == "Gemm" and len(node.input) > 2 else y
        add(make("MatMulInteger", [codes, f"{layer.name}.int8", zero], [total], name=total))
        add(make("Cast", [total], [real], name=real, to=self._onnx.TensorProto.FLOAT))
        add(make("Mul", [scale, f"{layer.name}.scale"], [both], name=both))
        add(make("Mul", [real, both], [scaled], name=f"{y}.scaled"))
        if scaled != y:
            add(make("Add", [scaled, node.input[2]], [y], name=f"{y}.biased"))


class Qdq:
    """int8 weights behind DequantizeLinear; inputs through QuantizeLinear where their range is known.

    Args:
        ranges: (least, largest) value of tensors that layers are applied to.
    """

    def __init__(self, ranges: Mapping[str, tuple[float, float]]) -> None:
        self._onnx, self._ranges = require("onnx", extra="models"), ranges
        self._made: set[str] = set()
        self.initializers: dict[str, Any] = {}

    def __call__(self, node: Any, layer: Any, add: Add) -> None:
        x = self._codes(node.input[0], add) if node.input[0] in self._ranges else node.input[0]
        if layer.name not in self._made:
            pair = [f"{layer.name}.int8", f"{layer.name}.scale"]
            add(self._onnx.helper.make_node("DequantizeLinear", pair, [layer.name], name=layer.name, axis=1))
            self._made.add(layer.name)
        same = self._onnx.NodeProto()
        same.CopyFrom(node)
        same.input[0] = x
        for attribute in same.attribute:
            if attribute.name == "transB":  # int8 weights stand as [inputs, channels]
                attribute.i = 0
        add(same)

    def _codes(self, x: str, add: Add) -> str:
        make, array = self._onnx.helper.make_node, self._onnx.numpy_helper.from_array
        codes, scale, zero, back = (f"{x}.{what}" for what in ("uint8", "scale", "zero", "quantized"))
        if x not in self._made:
            low, high = min(self._ranges[x][0], 0.0), max(self._ranges[x][1], 0.0)
            step = (high - low) / 255 or 1.0
            self.initializers[scale] = array(np.array(step, np.float32), scale)
            self.initializers[zero] = array(np.array(round(-low / step), np.uint8), zero)
            add(make("QuantizeLinear", [x, scale, zero], [codes], name=codes))
            add(make("DequantizeLinear", [codes, scale, zero], [back], name=back))
            self._made.add(x)
        return back
