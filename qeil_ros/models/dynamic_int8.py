"""Matrix products of an ONNX graph in int8, by onnxruntime's own quantization."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .extras import require

__all__ = ["dynamic_int8"]


def dynamic_int8(source: Path, target: Path) -> Path:
    """Writes `target`: the graph with the weights of its matrix products in int8, a scale a channel.

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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to prepare the graph first."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
