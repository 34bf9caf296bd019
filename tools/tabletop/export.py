"""From trained modules to ONNX parts."""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from tools.tabletop.dataset import SIDE
from tools.tabletop.model import FEATURES, Decoder, NextToken, Tower

OPSET = 18


def export_tower(tower: Tower, file: Path) -> None:
    """The agent part in float32: `pixel_values` [B, 3, 64, 64] to `features` [B, 17, 128]."""
    example = (torch.zeros(2, 3, SIDE, SIDE),)
    _export(tower, example, file, ["pixel_values"], ["features"], ({0: torch.export.Dim("batch")},))


def export_decoder(decoder: Decoder, file: Path) -> None:
    """A decoder: `features` [B, 17, 128] and `tokens` [B, T] to `logits` [B, V] of the next token."""
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=1, max=16)
    example = (torch.zeros(2, *FEATURES), torch.ones(2, 5, dtype=torch.long))
    shapes = ({0: batch}, {0: batch, 1: length})
    _export(NextToken(decoder), example, file, ["features", "tokens"], ["logits"], shapes)


def _export(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    file: Path,
    inputs: list[str],
    outputs: list[str],
    shapes: tuple[dict[int, object], ...],
) -> None:
    # The exporter reports on packages that are not needed and on its own deprecated calls.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name")
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    # The exporter's source positions and stack traces: larger than some weights, different on every machine.
    del proto.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        del value.metadata_props[:]
    onnx.checker.check_model(proto)
    file.write_bytes(proto.SerializeToString(deterministic=True))


def quantize(source: Path, target: Path) -> None:
    """Dynamic int8, per channel, matrix products only: weights in int8, activations scaled at run time.

    The raw export goes in: onnxruntime's own preparation would first fuse products and biases to Gemm, and
    then nothing would match. Raises RuntimeError when the file did not become smaller: that is how it shows.
    """
    logging.disable(logging.WARNING)  # it would advise that very preparation
    try:
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
        )
    finally:
        logging.disable(logging.NOTSET)
    before, after = source.stat().st_size, target.stat().st_size
    if after > 0.45 * before:
        raise RuntimeError(
            f"{target} has {after} bytes of {source}'s {before}: the weights were not quantised"
        )


def sha256(file: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
