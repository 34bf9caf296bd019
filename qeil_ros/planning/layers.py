"""How the errors of a network's weights reach its output, and how many bits each layer should have.

Paper: quantization-aware co-inference, arXiv 2602.13052, Eq 13 to 17: for L fully connected layers without
bias, ||x||_1 <= 1, a 1-Lipschitz activation with sigma(0) = 0,

    ||f(x, W) - f(x, W^)||_1 <= sum_l A_l ||W_l - W^_l||_1                              (13)
    A_l = prod_{j<l} ||W_j||_1 prod_{k>l} (||W_k||_1 + tau_k),  tau_k >= ||W_k - W^_k||_1  (14)

The norm of a matrix is there the sum of its magnitudes. Ours: the same with the induced norm (the largest
column sum), which is valid by the same argument and much tighter; and a width for each layer (`allocate`).
Matrices are [outputs, inputs].
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rate_distortion import distortion_upper

__all__ = [
    "Allocation",
    "Sensitivity",
    "allocate",
    "bounds_of_widths",
    "errors_of_widths",
    "log_sensitivities",
    "matrix_norm",
    "output_bound",
    "sensitivity",
    "surrogate",
]

Floats = NDArray[np.float64]
Norm = Literal["entrywise", "induced"]


def matrix_norm(matrix: ArrayLike, norm: Norm = "entrywise") -> float:
    """||W||_1: the sum of magnitudes (the paper's), or the largest column sum of magnitudes ("induced")."""
    magnitudes = np.abs(np.asarray(matrix, np.float64))
    if magnitudes.ndim != 2 or not np.isfinite(magnitudes).all():
        raise ValueError(f"want a matrix of finite numbers, got the shape {list(magnitudes.shape)}")
    return float(magnitudes.sum() if norm == "entrywise" else magnitudes.sum(axis=0).max())


def log_sensitivities(
    weights: Sequence[ArrayLike], errors: Sequence[float] | None = None, norm: Norm = "entrywise"
) -> Floats:
    """ln A_l of each layer (Eq 14) [L]; logarithms, because products of many norms overflow.

    Args:
        errors: tau_k, bounds of ||W_k - W^_k||_1 in the same norm; None: zeros, which is the first order.
    """
    taus = np.zeros(len(weights)) if errors is None else np.asarray(errors, np.float64)
    if len(taus) != len(weights) or not (taus >= 0).all():
        raise ValueError(f"{len(taus)} errors for {len(weights)} layers; want as many, none negative")
    norms = np.array([matrix_norm(matrix, norm) for matrix in weights])
    with np.errstate(divide="ignore"):
        before = np.concatenate([[0.0], np.cumsum(np.log(norms))[:-1]])
        after = np.concatenate([np.cumsum(np.log(norms + taus)[::-1])[::-1][1:], [0.0]])
    return np.asarray(before + after)


def output_bound(
    weights: Sequence[ArrayLike], quantized: Sequence[ArrayLike], norm: Norm = "entrywise"
) -> float:
    """The right side of Eq 13, with tau_k the errors themselves; inf where it overflows."""
    errors = [matrix_norm(np.subtract(w, q), norm) for w, q in zip(weights, quantized, strict=True)]
    logs = log_sensitivities(weights, errors, norm)
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.exp(logs + np.log(errors)).sum())


def surrogate(weights: Sequence[ArrayLike], quantized: Sequence[ArrayLike]) -> float:
    """d(W, W^) = sum |theta - theta^| over all weights (Eq 15), theta = |w|."""
    return float(
        sum(
            np.abs(np.abs(np.asarray(w, np.float64)) - np.abs(np.asarray(q, np.float64))).sum()
            for w, q in zip(weights, quantized, strict=True)
        )
    )


@dataclass(frozen=True)
class Sensitivity:
    """The constant H of ||f - f^|| <= H d(W, W^) to first order (Eq 16, 17), from pairs of distortions.

    Attributes:
        bound: the largest ratio seen: the inequality held everywhere with it.
        typical: the median ratio. slope: least squares through the origin.
        correlation: of the logarithms; near 1 where parameter distortion predicts output distortion.
    """

    bound: float
    typical: float
    slope: float
    correlation: float
    count: int


def sensitivity(parameter: ArrayLike, output: ArrayLike) -> Sensitivity:
    """H from measured parameter distortions (Eq 15) and output distortions, one pair each.

    Raises:
        ValueError: fewer than two pairs, or one that is not positive and finite.
    """
    d, y = (np.asarray(values, np.float64).ravel() for values in (parameter, output))
    if len(d) != len(y) or len(d) < 2:
        raise ValueError(f"{len(d)} parameter and {len(y)} output distortions; want 2 or more pairs")
    if not (np.isfinite(d).all() and np.isfinite(y).all() and (d > 0).all() and (y > 0).all()):
        raise ValueError("distortions must be positive and finite: leave out what was not quantized")
    logs = np.log(d), np.log(y)
    spread = float(logs[0].std() * logs[1].std())
    covariance = float(((logs[0] - logs[0].mean()) * (logs[1] - logs[1].mean())).mean())
    return Sensitivity(
        float((y / d).max()),
        float(np.median(y / d)),
        float((d * y).sum() / (d * d).sum()),
        covariance / spread if spread > 0 else 0.0,
        len(d),
    )


@dataclass(frozen=True)
class Allocation:
    """A width for each layer, their mean over all weights, and the sum of the layers' errors."""

    bits: tuple[int, ...]
    mean_bits: float
    error: float


def bounds_of_widths(weights: Sequence[ArrayLike], most_bits: int, norm: Norm = "entrywise") -> Floats:
    """A_l times the bound of layer l's error at 1 to `most_bits` bits, up to a common factor: [L, most_bits].

    The layer's error is its size times D_U(b - 1) (Eq 26), lambda fitted to the layer; at one bit, where D_U
    is infinite, the error of the best single magnitude, ln 2 / lambda. A table for `allocate` where no
    errors were measured. Entrywise, A_l ||W_l|| is the same for all layers: relative errors count alike.
    """
    logs = log_sensitivities(weights, None, norm)
    rows = []
    for matrix, log in zip(weights, logs - logs.max(), strict=True):
        size, mean = np.size(matrix), float(np.abs(np.asarray(matrix, np.float64)).mean())
        if not mean > 0:
            raise ValueError("a layer of zeros has no error to share out")
        rate_bits = np.arange(1.0, most_bits)
        unit = np.concatenate([[math.log(2.0)], distortion_upper(rate_bits, 1.0)])
        rows.append(math.exp(log) * size * mean * unit)
    return np.array(rows)


def errors_of_widths(
    weights: Sequence[ArrayLike],
    quantize: Callable[[Floats, int], Floats],
    most_bits: int,
    norm: Norm = "entrywise",
) -> Floats:
    """A_l ||W_l - W^_l||_1 as measured with a quantizer at 1 to `most_bits` bits, up to a common factor.

    [L, most_bits], a table for `allocate`. Their sum bounds the output's error (Eq 13). The layers' errors
    being independent, though, the error to expect is nearer to the root of the sum of squares: give
    `allocate` the squares of this table where the error itself counts and not its bound.
    """
    logs = log_sensitivities(weights, None, norm)
    matrices = [np.asarray(matrix, np.float64) for matrix in weights]
    errors = [
        [matrix_norm(quantize(matrix, bits) - matrix, norm) for bits in range(1, most_bits + 1)]
        for matrix in matrices
    ]
    return np.asarray(np.exp(logs - logs.max())[:, None] * np.array(errors))


def allocate(sizes: Sequence[int], errors: ArrayLike, mean_bits: float) -> Allocation:
    """Widths with the least sum of errors, at no more than `mean_bits` bits a weight on average.

    Greedy: from one bit each, the step that takes most error away per bit is taken, until no step fits; a
    step may span several widths, so that a table that is not convex cannot trap it (the steps are those of
    each row's lower convex hull). What is then left of the budget is spent by single steps. Optimal among all
    allocations where the budget ends between two steps; and never worse than the single width
    floor(mean_bits), which is taken where it is better.

    Args:
        sizes: weights of each layer [L].
        errors: [L, B], the layer's share of the output's error at 1 to B bits: A_l times its error.
    """
    table, n = np.asarray(errors, np.float64), [int(size) for size in sizes]
    if table.ndim != 2 or table.shape[0] != len(n) or not np.isfinite(table).all() or min(n, default=0) < 1:
        raise ValueError(f"errors {list(table.shape)} for layers of {n} weights; want a finite row each")
    if not mean_bits >= 1:
        raise ValueError(f"mean_bits is {mean_bits}; a weight takes at least one")
    most = table.shape[1]
    total = sum(n)
    budget = math.floor(mean_bits * total + 1e-9) - total
    bits = [1] * len(n)
    steps = [(-gain / n[layer], layer, a, b) for layer in range(len(n)) for a, b, gain in _hull(table[layer])]
    heapq.heapify(steps)
    while steps:
        _, layer, a, b = heapq.heappop(steps)
        if bits[layer] == a and (b - a) * n[layer] <= budget:
            bits[layer] = b
            budget -= (b - a) * n[layer]
    while best := max(
        (
            ((table[layer, bits[layer] - 1] - table[layer, b - 1]) / n[layer], layer, b)
            for layer in range(len(n))
            for b in range(bits[layer] + 1, most + 1)
            if (b - bits[layer]) * n[layer] <= budget and table[layer, b - 1] < table[layer, bits[layer] - 1]
        ),
        default=None,
    ):
        _, layer, b = best
        budget -= (b - bits[layer]) * n[layer]
        bits[layer] = b
    single = min(math.floor(mean_bits), most)

    def error(widths: Sequence[int]) -> float:
        return float(sum(table[layer, b - 1] for layer, b in enumerate(widths)))

    if error([single] * len(n)) < error(bits):
        bits = [single] * len(n)
    mean = sum(size * b for size, b in zip(n, bits, strict=True)) / total
    return Allocation(tuple(bits), mean, error(bits))


def _hull(row: Floats) -> list[tuple[int, int, float]]:
    """The falling part of the lower convex hull of errors at 1, 2, ... bits: (from, to, gain per bit)."""
    steps: list[tuple[int, int, float]] = []
    at = 0
    while at < len(row) - 1:
        gains = (row[at] - row[at + 1 :]) / np.arange(1, len(row) - at)
        best = int(gains.argmax())
        if not gains[best] > 0:
            break
        steps.append((at + 1, at + 2 + best, float(gains[best])))
        at += 1 + best
    return steps
