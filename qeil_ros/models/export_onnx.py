"""A torch module as an ONNX file that was run and found to give the same."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .extras import require
from .runtime import Runtime
from .schema import ModelError

__all__ = ["OPSET", "TOLERANCE", "deviation", "to_onnx"]

OPSET = 18
TOLERANCE = 1e-4
"""Largest deviation of an exported graph from torch, as relative L2 error of its output in float32."""
MAX_FILE_BYTES = 1_900_000_000
"""Weights beyond this go into a file of their own: a protobuf message ends at 2 GiB."""


def to_onnx(
    module: torch.nn.Module, example: torch.Tensor, path: Path, *, names: tuple[str, str], open_batch: bool
) -> tuple[float, NDArray[Any]]:
    """Writes `path` (and `path`.data, where the weights are too many); runs it on `example` [B, ...].

    Args:
        names: of the input and the output.
        open_batch: whether the graph takes any number of rows; else as many as `example` has.

    Returns:
        (deviation from torch, what torch gave).

    Raises:
        ModelError: torch cannot export the module, or the file gives something else than torch.
    """
    module = module.eval()
    with torch.no_grad():
        wanted = module(example).float().numpy()
        # Tied tensors count twice: that errs on the safe side.
        size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
        shapes = ({0: torch.export.Dim("batch", min=1, max=65536)},) if open_batch else None
        try:
            with _quiet():
                torch.onnx.export(
                    module,
                    (example,),
                    str(path),
                    input_names=[names[0]],
                    output_names=[names[1]],
                    opset_version=OPSET,
                    dynamic_shapes=shapes,
                    external_data=size > MAX_FILE_BYTES,
                    dynamo=True,
                    verbose=False,
                )
        except Exception as error:  # torch's exporter lets through whatever went wrong in any of its stages
            raise ModelError(f"torch cannot export {path.name}: {error}") from error
    _forget_origins(path)
    found = Runtime(path).run({names[0]: example.numpy()}, names[1])
    if (off := deviation(found, wanted)) > TOLERANCE:
        raise ModelError(
            f"{path.name} deviates from torch by {off:.2g} (relative L2); {TOLERANCE:.0e} is allowed"
        )
    return off, wanted


def _forget_origins(path: Path) -> None:
    """Takes out what the exporter notes at each node: lines of source code, folders of this disk."""
    onnx = require("onnx", extra="torch")
    model = onnx.load(str(path), load_external_data=False)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def deviation(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """|found - wanted| / |wanted|, Euclidean; infinite where shapes differ or something is not finite."""
    if found.shape != wanted.shape or not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return float("inf")
    difference = np.linalg.norm(found.astype(np.float64) - wanted)
    return float(difference / max(np.linalg.norm(wanted.astype(np.float64)), 1e-30))


@contextlib.contextmanager
def _quiet() -> Any:
    """Without the exporter's notes on packages that are not needed and on its own deprecations."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
