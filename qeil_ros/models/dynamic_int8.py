"""Graphs in int8 by onnxruntime's own quantization, for parts that no packed weights are made of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .extras import require

__all__ = ["calibrated_int8", "dynamic_int8", "has_convolutions", "is_quantized"]


def dynamic_int8(source: Path, target: Path) -> Path:
    """Writes `target`: the graph with the weights of its matrix products in int8, activations scaled as they
    come.

    The graph goes in as it was exported: onnxruntime's preparation would fuse products with their biases, and
    then nothing would match. Where it has no product of float32 weights, `target` is as `source`.

    Raises:
        ModelError: the package `onnx` is missing.
    """
    require("onnx", extra="models")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    return target


def calibrated_int8(source: Path, target: Path, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> Path:
    """Writes `target`: weights and activations in int8, the ranges of these as they are for `feeds`.

    Convolutions gain from this, for which onnxruntime has no fast dynamic form.

    Raises:
        ModelError: the package `onnx` is missing.
    """
    require("onnx", extra="models")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Feeds(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(feeds)

        def get_next(self) -> Mapping[str, NDArray[Any]] | None:
            return next(self._left, None)

    with _quiet():
        quantize_static(
            source,
            target,
            Feeds(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return target


def has_convolutions(source: Path) -> bool:
    return "Conv" in _operators(source)


def is_quantized(source: Path) -> bool:
    return any("Quant" in op or "Integer" in op for op in _operators(source))


def _operators(source: Path) -> set[str]:
    onnx = require("onnx", extra="models")
    model = onnx.load(str(source), load_external_data=False)
    return {node.op_type for node in model.graph.node}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to prepare the graph first."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
