"""A classifier's answer from the features that the robot has anyway: one linear layer, trained in numpy.

Early exits (BranchyNet, Teerapittayanon et al. 2016) let a network answer part of the way. Here the head is
multinomial logistic regression on the agent part's features, fitted to what the whole model says of pictures
without labels (distillation, Hinton et al. 2015, arXiv 1503.02531), or to labels. It costs next to nothing to
run; how good it is depends on how late the cut is, and is measured on pictures that it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .extras import require
from .folder import Split
from .schema import ModelError
from .tasks import softmax

__all__ = ["POOLS", "ExitHead", "fit_exit", "pooled"]

Matrix = NDArray[np.float64]

POOLS = ("mean", "all")
"""`mean`: of each channel over the positions; `all`: every value by itself."""
_MOST_INPUTS = 8192
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
_INNER = 0.25
"""Share of the training pictures on which pooling and penalty are chosen."""
_STEPS = 150
_LEAST = 1e-3
"""Classes with less than this share of all pictures' targets are never answered: they cannot be learned."""
_NEVER = -100.0
_OPSET = 18


@dataclass(frozen=True)
class ExitHead:
    """scores = pooled features @ weights + bias, [inputs, classes]; softmax makes them probabilities."""

    pool: str
    penalty: float
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def scores(self, features: NDArray[Any], split: Split) -> NDArray[np.float32]:
        """[B, classes] of features [B, *split.shape]."""
        rows = pooled(features, split, self.pool)
        return np.asarray(rows @ self.weights + self.bias, np.float32)

    def to_onnx(self, split: Split) -> bytes:
        """The serialized graph: `features` [batch, *split.shape] of the split's type to `scores`."""
        onnx = require("onnx", extra="models")
        helper, numpy_helper, floats = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT
        nodes, at = [], "features"
        weights = [
            numpy_helper.from_array(self.weights, "weights"),
            numpy_helper.from_array(self.bias, "bias"),
        ]
        if split.dtype != "float32":
            nodes.append(helper.make_node("Cast", [at], ["as_float"], to=floats))
            at = "as_float"
        if self.pool == "mean" and (axes := _positions(split)):
            axes_array = np.array([1 + axis for axis in axes], np.int64)
            weights.append(numpy_helper.from_array(axes_array, "positions"))
            nodes.append(helper.make_node("ReduceMean", [at, "positions"], ["means"], keepdims=0))
            at = "means"
        nodes.append(helper.make_node("Flatten", [at], ["rows"], axis=1))
        nodes.append(helper.make_node("Gemm", ["rows", "weights", "bias"], ["scores"]))
        code = helper.np_dtype_to_tensor_dtype(np.dtype(split.dtype))
        graph = helper.make_graph(
            nodes,
            "early_exit",
            [helper.make_tensor_value_info("features", code, ["batch", *split.shape])],
            [helper.make_tensor_value_info("scores", floats, ["batch", len(self.bias)])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        found: bytes = model.SerializeToString(deterministic=True)
        return found


def fit_exit(
    features: NDArray[Any], targets: Matrix, split: Split, *, pools: tuple[str, ...] = POOLS
) -> ExitHead:
    """The head whose probabilities come closest to `targets` [pictures, classes], rows that sum to 1.

    Pooling and penalty are those that do best on the last quarter of the pictures, held back for that; then
    all are fitted to. So pictures come in random order, or, where neighbours are alike, in that of a film.

    Raises:
        ModelError: there are fewer than eight pictures, or no way of pooling keeps to 8,192 inputs.
    """
    if len(features) < 8:
        raise ModelError(f"{len(features)} pictures are too few to fit an answer to; want 8 or more")
    sizes = {pool: pooled(features[:1], split, pool).shape[1] for pool in pools}
    fitting = [pool for pool in pools if sizes[pool] <= _MOST_INPUTS]
    if len({sizes[pool] for pool in fitting}) == 1:
        fitting = fitting[:1]  # there is one position: all ways are the same
    if not fitting:
        raise ModelError(
            f"the features have {min(sizes.values())} values after pooling; {_MOST_INPUTS} may be"
        )
    inner = len(features) - max(2, round(_INNER * len(features)))
    best = (np.inf, fitting[0], _PENALTIES[-1])
    for pool in fitting:
        rows = pooled(features, split, pool)
        for penalty in _PENALTIES:
            weights, bias = _logistic(rows[:inner], targets[:inner], penalty)
            chances = softmax(rows[inner:] @ weights + bias)
            loss = -float((targets[inner:] * np.log(np.maximum(chances, 1e-6))).sum(axis=1).mean())
            best = min(best, (loss, pool, penalty))
    _, pool, penalty = best
    weights, bias = _logistic(pooled(features, split, pool), targets, penalty)
    return ExitHead(pool, penalty, weights.astype(np.float32), bias.astype(np.float32))


def pooled(features: NDArray[Any], split: Split, pool: str) -> Matrix:
    """[B, inputs] of features [B, *split.shape]."""
    axes = tuple(1 + axis for axis in _positions(split)) if pool == "mean" else ()
    rows = features.astype(np.float64)
    return (rows.mean(axis=axes) if axes else rows).reshape(len(features), -1)


def _positions(split: Split) -> tuple[int, ...]:
    """The axes of the split's shape that do not count channels."""
    return tuple(axis for axis in range(len(split.shape)) if axis != split.channel_axis)


def _logistic(rows: Matrix, targets: Matrix, penalty: float) -> tuple[Matrix, Matrix]:
    """(weights [inputs, classes], bias): cross-entropy plus penalty/2 times the weights' squares, for inputs
    of unit variance.

    The best weights are combinations of the pictures' inputs, so it is solved in the space that those span.
    """
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-6 * max(float(scale.max()), 1e-30), scale, np.inf)  # constant: of no use
    left, sizes, right = np.linalg.svd((rows - mean) / scale, full_matrices=False)
    used = sizes > 1e-8 * max(float(sizes[0]), 1e-30)
    inputs, right = left[:, used] * sizes[used], right[used]
    possible = targets.mean(axis=0) >= min(_LEAST, float(targets.mean(axis=0).max()))
    all_classes, targets = targets.shape[1], targets[:, possible]
    count, classes = targets.shape

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        table = flat.reshape(-1, classes)
        logits = inputs @ table[:-1] + table[-1]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        value = -(targets * logits).sum() / count + penalty / 2 * (table[:-1] ** 2).sum()
        error = (np.exp(logits) * targets.sum(axis=1, keepdims=True) - targets) / count
        gradient = np.vstack([inputs.T @ error + penalty * table[:-1], error.sum(axis=0)])
        return float(value), gradient.ravel()

    start = np.zeros((inputs.shape[1] + 1, classes))
    start[-1] = np.log(np.maximum(targets.mean(axis=0), 1e-6))
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    table = found.x.reshape(-1, classes)
    weights, bias = np.zeros((rows.shape[1], all_classes)), np.full(all_classes, _NEVER)
    weights[:, possible] = (right.T @ table[:-1]) / scale[:, None]
    bias[possible] = table[-1] - mean @ weights[:, possible]
    return weights, bias
