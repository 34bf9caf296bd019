"""Scalar quantizers for weights: a matrix of floats to codes of 1 to 8 bits, a table of levels, and scales.

    found = quantize(weights, bits=4, quantizer="mse")     # weights [channels, inputs]
    found.codes, found.levels, found.scales                # uint8 [channels, inputs], [16], [channels, 1]
    found.dequantize()                                     # levels[codes] * scales

A row of the matrix is an output channel. Every quantizer is a *shape* (its levels, for a scale of one) and a
*rule* for the scale of each tensor, row or group of a row; the code of a weight is that of the nearest level.
Paper B (arXiv 2602.13052) names two: uniform and power-of-two; clip range and granularity it leaves open.

| name | levels at b bits | scale |
|---|---|---|
| `uniform` | 2^b, odd multiples of half a step (mid-rise) | largest magnitude |
| `symmetric` | 2^b - 1 multiples of a step, zero among them (mid-tread) | largest magnitude |
| `mse` | as `uniform` | of a row of clip ranges the one with the least squared error |
| `sign_magnitude` | the sign, and 2^(b-1) magnitudes from zero up | largest magnitude; 1 bit: the mean |
| `power_of_two` | zero and +-2^-k, k < 2^(b-1) - 1 (PoT; INQ, arXiv 1702.03044) | a power of two |
| `lloyd_max` | least squared error for these very weights (Lloyd 1982, Max 1960) | root mean square |
| `lloyd_laplace`, `lloyd_gauss` | the same for a Laplacian or Gaussian of variance 1 | root mean square |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRANULARITIES", "QUANTIZERS", "Quantized", "encode", "lloyd_max", "quantize", "snap", "spread"]

Floats = NDArray[np.float32]

GRANULARITIES = ("tensor", "channel", "group")
GRID = 127
"""The largest magnitude of an int8 level."""
LONGEST_OCTAVES = 14
"""Powers of two reach down to 2^-14 of the scale: weights below that are as good as zero."""
_CLIPS = np.linspace(1.0, 0.02, 99)
_BINS = 4096
_LLOYD_ROUNDS = 2000


@dataclass(frozen=True)
class Quantized:
    """A quantized matrix: `levels[codes] * scales`, each scale for a run of `group` inputs of a row.

    Attributes:
        codes: uint8 [channels, inputs].
        levels: float32 [2^bits], ascending; the last one repeats where there are fewer.
        scales: float32 [1, 1], [channels, 1] or [channels, groups]; representable as float16 times a power
            of two that all share.
        group: inputs that share a scale; the last run of a row may be shorter.
    """

    codes: NDArray[np.uint8]
    levels: Floats
    scales: Floats
    group: int
    bits: int

    def dequantize(self) -> Floats:
        """float32 [channels, inputs]."""
        found: Floats = self.levels[self.codes]
        found *= spread(self.scales, self.codes.shape[1], self.group)
        return found


@dataclass(frozen=True)
class _Rule:
    least_bits: int
    levels: Callable[[int], Floats] | None
    """None: from the weights."""
    scale: Callable[[Floats, int], Floats]
    """Scales [rows, groups] of weights [rows, groups, inputs]; padding is zero."""


def quantize(
    weights: NDArray[Any],
    bits: int,
    quantizer: str = "uniform",
    granularity: str = "channel",
    *,
    group: int = 64,
    grid: bool = False,
) -> Quantized:
    """Quantizes a matrix [channels, inputs].

    Args:
        bits: width of a code, 1 to 8.
        quantizer: a name of the table above.
        granularity: what shares a scale: the `tensor`, a `channel` (a row) or a `group` of a row's inputs.
        group: inputs that share a scale, for granularity `group`; 8 or more.
        grid: round the levels to int8 multiples of a step, as a file stores them (`snap`).

    Raises:
        ValueError: an argument is none of these, or a weight is not finite.
    """
    rule = _rule(quantizer, bits)
    matrix = _checked(weights)
    runs, size = _runs(matrix, granularity, group)
    scales = half_precision(rule.scale(runs, bits))
    levels = _fitted(runs, scales, bits) if rule.levels is None else _padded(rule.levels(bits), bits)
    if grid:
        table, step = snap(levels)
        levels, scales = table.astype(np.float32), half_precision(scales * np.float32(step))
    return Quantized(encode(matrix, levels, scales, size), levels, scales, size, bits)


def encode(matrix: Floats, levels: Floats, scales: Floats, group: int) -> NDArray[np.uint8]:
    """The code of the nearest level for each weight; the lower one of two that are equally near."""
    wide = spread(scales, matrix.shape[1], group)
    relative = np.divide(matrix, wide, out=np.zeros_like(matrix), where=wide > 0)
    return np.searchsorted(_middles(levels), relative, side="left").astype(np.uint8)


def snap(levels: Floats) -> tuple[NDArray[np.int8], float]:
    """Levels as int8 multiples of a step, (table, step): what integer products can multiply with.

    Of the steps that put the largest magnitude on 64 to 127 the one with the least squared error: levels
    that are equally spaced are hit exactly where their number allows.
    """
    largest = float(np.abs(levels).max())
    if largest == 0:
        return np.zeros(levels.shape, np.int8), 1.0
    tops = np.arange(GRID, GRID // 2, -1)
    scaled = levels.astype(np.float64)[None] * (tops / largest)[:, None]
    errors = np.square((scaled - np.rint(scaled)) / tops[:, None]).sum(1)
    best = int(np.argmin(np.round(errors, 12)))
    return np.rint(scaled[best]).astype(np.int8), largest / int(tops[best])


def half_precision(scales: NDArray[Any]) -> Floats:
    """The nearest scales that float16 times a common power of two can tell; none becomes larger than 2."""
    unit = scale_unit(scales)
    rounded: Floats = (np.asarray(scales) / unit).astype(np.float16).astype(np.float32) * np.float32(unit)
    return rounded


def scale_unit(scales: NDArray[Any]) -> float:
    """The power of two that brings the largest scale to 0.5 ... 1, where float16 has its full precision."""
    largest = float(np.max(scales, initial=0.0))
    return float(2.0 ** np.frexp(largest)[1]) if largest > 0 else 1.0


def spread(scales: Floats, inputs: int, group: int) -> Floats:
    """Scales for each weight: [1 or channels, 1 or inputs], ready to multiply with."""
    if scales.shape[1] == 1:
        return scales
    return np.repeat(scales, group, axis=1)[:, :inputs]


def lloyd_max(values: NDArray[Any], counts: NDArray[Any], levels: int) -> NDArray[Any]:
    """The levels of least squared error for values (ascending) that occur `counts` times (Lloyd's method I).

    Starts from the density's cube root, the best asymptotically (Panter and Dite 1951).
    """
    values, counts = np.asarray(values, np.float64), np.asarray(counts, np.float64)
    density = np.cbrt(counts / np.gradient(values)) * np.gradient(values)
    reach = np.cumsum(density) - density / 2
    found: NDArray[Any] = np.interp((np.arange(levels) + 0.5) / levels * density.sum(), reach, values)
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * values)])
    for _ in range(_LLOYD_ROUNDS):
        edges = np.concatenate([[0], np.searchsorted(values, (found[1:] + found[:-1]) / 2), [len(values)]])
        mass = np.diff(weight[edges])
        moved: NDArray[Any] = np.divide(np.diff(moment[edges]), mass, out=found.copy(), where=mass > 0)
        if np.abs(moved - found).max() <= 1e-6 * np.abs(moved).max():
            return moved
        found = moved
    return found


# ---------------------------------------------------------------- shapes


def _mid_rise(bits: int) -> Floats:
    count = 1 << bits
    return ((2 * np.arange(count) + 1 - count) / count).astype(np.float32)


def _mid_tread(bits: int) -> Floats:
    most = (1 << (bits - 1)) - 1
    return (np.arange(-most, most + 1) / most).astype(np.float32)


def _signed_magnitudes(bits: int) -> Floats:
    if bits == 1:
        return np.array([-1, 1], np.float32)
    magnitudes = np.arange(1 << (bits - 1)) / ((1 << (bits - 1)) - 1)
    return np.concatenate([-magnitudes[:0:-1], [0.0], magnitudes[1:]]).astype(np.float32)


def _powers(bits: int) -> Floats:
    octaves = min((1 << (bits - 1)) - 1, LONGEST_OCTAVES + 1)
    magnitudes = 2.0 ** -np.arange(octaves)
    return np.concatenate([-magnitudes, [0.0], magnitudes[::-1]]).astype(np.float32)


@cache
def _optimal(density: str, bits: int) -> Floats:
    values = (np.arange(-60_000, 60_000) + 0.5) * 2e-4
    mass = np.exp(-np.sqrt(2) * np.abs(values)) if density == "laplace" else np.exp(-values * values / 2)
    return lloyd_max(values, mass + 1e-30, 1 << bits).astype(np.float32)


def _fitted(runs: Floats, scales: Floats, bits: int) -> Floats:
    """Lloyd-Max for the weights at hand: all of them share the levels, each run has its scale."""
    wide = np.broadcast_to(scales[:, :, None], runs.shape)
    relative = np.divide(runs, wide, out=np.zeros(runs.shape, np.float32), where=wide > 0)
    power = np.square(wide, dtype=np.float32)
    counts, edges = np.histogram(relative, _BINS, weights=power)
    levels = lloyd_max((edges[1:] + edges[:-1]) / 2, counts + 1e-12 * counts.max(), 1 << bits)
    return levels.astype(np.float32)


# ---------------------------------------------------------------- scales


def _largest(runs: Floats, bits: int) -> Floats:
    found: Floats = np.abs(runs).max(2)
    return found


def _magnitude(runs: Floats, bits: int) -> Floats:
    if bits > 1:
        return _largest(runs, bits)
    return _mean(np.abs(runs), runs)


def _power_of_two(runs: Floats, bits: int) -> Floats:
    """2^floor(log2(4 s / 3)), s the largest magnitude: the power that s is nearest to (INQ, equation 3)."""
    largest = _largest(runs, bits)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(4 * largest / 3))
    return np.where(largest > 0, np.exp2(exponent), 0).astype(np.float32)


def _rms(runs: Floats, bits: int) -> Floats:
    found: Floats = np.sqrt(_mean(np.square(runs), runs))
    return found


def _mean(values: Floats, runs: Floats) -> Floats:
    """Over the weights of each run; padding, and weights pruned away, do not count."""
    count = np.maximum(np.count_nonzero(runs, axis=2), 1)
    found: Floats = (values.sum(2, dtype=np.float64) / count).astype(np.float32)
    return found


def _least_squares(runs: Floats, bits: int) -> Floats:
    """The clip range, of 99 from the largest magnitude down, with the least squared error (mid-rise)."""
    largest = _largest(runs, bits)
    half = np.float32(1 << bits) / 2
    best, least = largest, np.full(largest.shape, np.inf)
    for share in _CLIPS:
        scale = (largest * share).astype(np.float32)
        safe = np.where(scale > 0, scale, 1)[:, :, None]
        cells = np.clip(np.floor(runs / safe * half), -half, half - 1) + 0.5
        error = np.square(runs - cells * (safe / half)).sum(2)
        better = error < least
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best


_RULES: dict[str, _Rule] = {
    "uniform": _Rule(1, _mid_rise, _largest),
    "symmetric": _Rule(2, _mid_tread, _largest),
    "mse": _Rule(1, _mid_rise, _least_squares),
    "sign_magnitude": _Rule(1, _signed_magnitudes, _magnitude),
    "power_of_two": _Rule(2, _powers, _power_of_two),
    "lloyd_max": _Rule(1, None, _rms),
    "lloyd_laplace": _Rule(1, lambda bits: _optimal("laplace", bits), _rms),
    "lloyd_gauss": _Rule(1, lambda bits: _optimal("gauss", bits), _rms),
}
QUANTIZERS = tuple(_RULES)


def _rule(quantizer: str, bits: int) -> _Rule:
    if quantizer not in _RULES:
        raise ValueError(f"no quantizer {quantizer!r}; there are {', '.join(QUANTIZERS)}")
    rule = _RULES[quantizer]
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 8:
        raise ValueError(f"bits is {bits!r}; whole numbers from 1 to 8 are possible")
    if bits < rule.least_bits:
        raise ValueError(
            f"{quantizer} needs {rule.least_bits} bits or more: with {bits} its only level would be zero"
        )
    return rule


def _checked(weights: NDArray[Any]) -> Floats:
    matrix = np.ascontiguousarray(weights, np.float32)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"weights of shape {np.shape(weights)}; want a matrix [channels, inputs]")
    if not np.isfinite(matrix).all():
        raise ValueError("a weight is not a number or infinite")
    return matrix


def _runs(matrix: Floats, granularity: str, group: int) -> tuple[Floats, int]:
    """Weights [rows, runs, inputs], padded with zeros, and the inputs in a run."""
    rows, inputs = matrix.shape
    if granularity == "tensor":
        return matrix.reshape(1, 1, -1), inputs
    if granularity == "channel":
        return matrix[:, None, :], inputs
    if granularity != "group":
        raise ValueError(f"no granularity {granularity!r}; there are {', '.join(GRANULARITIES)}")
    if group < 8:
        raise ValueError(f"a group of {group} inputs; 8 or more are possible")
    runs = -(-inputs // group)
    padded = np.zeros((rows, runs * group), np.float32)
    padded[:, :inputs] = matrix
    return padded.reshape(rows, runs, group), group


def _padded(levels: Floats, bits: int) -> Floats:
    return np.concatenate([levels, np.full((1 << bits) - len(levels), levels[-1], np.float32)])


def _middles(levels: Floats) -> Floats:
    found: Floats = (levels[1:] + levels[:-1]) / np.float32(2)
    return found
