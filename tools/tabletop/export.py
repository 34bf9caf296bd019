"""From trained modules to ONNX parts."""

from __future__ import annotations

import hashlib
import logging
import warnings
from functools import partial
from pathlib import Path

import onnx
import torch
from torch import nn

from qeil_ros.models import tabletop
from qeil_ros.models.datasets import Dataset, Example
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.quantize import Progress, Report, WeightPlan, quantize_graph
from qeil_ros.models.quantize_folder import prepared_images
from tools.tabletop.dataset import SIDE
from tools.tabletop.model import FEATURES, Decoder, NextToken, Tower

OPSET = 18
WEIGHT_BITS = (8, 7, 6, 5, 4, 3, 2)
CALIBRATION = 256  # scenes


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


def pack(folder: Path, progress: Progress | None = None) -> Report:
    """The agent part with packed weights, `agent.qwt`, from `agent_fp32.onnx` of the same folder.

    Calibrated on scenes that training saw: the frozen ones must stay unseen.
    """
    scenes = Dataset("training scenes", [partial(_training_scene, index) for index in range(CALIBRATION)])
    images = prepared_images(ModelFolder.load(folder), scenes)
    source, target = folder / "agent_fp32.onnx", folder / "agent.qwt"
    return quantize_graph(source, target, WeightPlan(WEIGHT_BITS), images=images, progress=progress)


def _training_scene(index: int) -> Example:
    _, picture = tabletop.photograph(index, tabletop.TRAINING_STREAM)
    return Example(f"training scene {index}", picture)


def sha256(file: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
