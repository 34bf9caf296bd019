"""The rate-distortion function of any sampled source under absolute error, computed numerically.

Blahut's and Arimoto's iteration (1972) on a regular grid. The kernel exp(-beta |x - y|) is a pair of
first-order recursive filters, so that a step takes time proportional to the grid's size, not to its square:
only that makes grids affordable whose step is far below the distortion, as a trustworthy D(R) demands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

__all__ = ["Point", "Source", "at_rate", "at_slope", "exponential", "from_samples"]

Floats = NDArray[np.float64]

_NEGLIGIBLE = 1e-300
_SLOPES = 60


@dataclass(frozen=True)
class Source:
    """A source on a regular grid: `probability` [n] of the values `start + step * i`."""

    start: float
    step: float
    probability: Floats

    def __post_init__(self) -> None:
        p = self.probability
        if not self.step > 0 or p.ndim != 1 or len(p) < 2 or not np.all(p >= 0):
            raise ValueError(f"a source wants a positive step and 2 or more probabilities, got {len(p)}")
        if not np.isclose(p.sum(), 1.0, rtol=0, atol=1e-9):
            raise ValueError(f"the probabilities sum to {p.sum()}, not to 1")


@dataclass(frozen=True)
class Point:
    """One point of D(R).

    Attributes:
        slope: beta, the slope -dR/dD in nats.
        rate_bits, distortion: of the best test channel found at that slope.
        gap_bits: R is above the true R(D) of the grid by no more than this.
        step: of the grid, to be held against `distortion`.
    """

    slope: float
    rate_bits: float
    distortion: float
    gap_bits: float
    step: float
    iterations: int


def exponential(rate: float, step: float, tail: float = 1e-7) -> Source:
    """The exponential source of that rate, integrated over the cells of a grid that ends at the tail.

    A cell's value is its middle; the tail's mass goes into the last cell.
    """
    if not (rate > 0 and step > 0 and 0 < tail < 1):
        raise ValueError(f"rate {rate}, step {step}, tail {tail}: all must be positive, the tail below 1")
    cells = int(np.ceil(-np.log(tail) / rate / step))
    edges = np.exp(-rate * step * np.arange(cells + 1))
    edges[-1] = 0.0
    return Source(step / 2, step, -np.diff(edges))


def from_samples(samples: NDArray[np.floating], step: float) -> Source:
    """The histogram of samples. Raises ValueError where there are none or one is not finite."""
    x = np.asarray(samples, np.float64).ravel()
    if not len(x) or not np.isfinite(x).all() or not step > 0:
        raise ValueError(f"want finite samples and a positive step, got {len(x)} samples and step {step}")
    start = float(np.floor(x.min() / step) * step)
    counts = np.bincount(((x - start) / step).astype(np.int64), minlength=2).astype(np.float64)
    return Source(start + step / 2, step, counts / counts.sum())


def at_slope(source: Source, slope: float, *, gap_bits: float = 1e-3, iterations: int = 20_000) -> Point:
    """The point of R(D) with slope -`slope` (nats per unit of distortion).

    Stops when Blahut's bounds say that the rate is within `gap_bits` of the optimum, or after `iterations`;
    the point tells which.
    """
    if not slope > 0:
        raise ValueError(f"the slope is {slope}; it must be positive")
    p, decay = source.probability, float(np.exp(-slope * source.step))
    q = np.full(len(p), 1.0 / len(p))
    bound, done = np.inf, 0
    while done < iterations:
        done += 1
        growth = _smooth(p / np.maximum(_smooth(q, decay), _NEGLIGIBLE), decay)
        # R - R(D) <= log max c - sum q c log c (Blahut, theorem 6)
        used = q * growth
        bound = float(np.log(growth.max()) - (used * np.log(np.maximum(growth, _NEGLIGIBLE))).sum())
        q = used / used.sum()
        if bound <= gap_bits * np.log(2.0):
            break
    mass = np.maximum(_smooth(q, decay), _NEGLIGIBLE)
    distortion = float((p * _distance(q, decay, source.step) / mass).sum())
    # R = sum p(x) Q(y|x) log(Q(y|x)/q(y)) with Q = q exp(-beta d) / Z
    rate = -slope * distortion - float((p * np.log(mass)).sum())
    nats = math.log(2.0)
    return Point(slope, max(rate, 0.0) / nats, distortion, bound / nats, source.step, done)


def at_rate(
    source: Source, rate_bits: float, *, tolerance_bits: float = 1e-3, gap_bits: float = 1e-3
) -> Point:
    """The point of D(R) at that rate, or as near to it as 60 slopes come; the point tells.

    Raises ValueError where the grid is too coarse to carry so high a rate.
    """
    if not rate_bits > 0:
        raise ValueError(f"the rate is {rate_bits} bits; it must be positive")
    p = source.probability[source.probability > 0]
    most = float(-(p * np.log2(p)).sum())
    if rate_bits > most - 1.0:
        raise ValueError(f"{rate_bits} bits from a grid of {most:.2f} bits: make its step smaller")
    mean = float((source.probability * np.arange(len(source.probability))).sum() * source.step)
    # The rate is nearly straight in the logarithm of the slope: regula falsi, halved (Illinois) where one end
    # stays.
    ends = [[np.log(1e-3 / mean), -rate_bits], [np.log(4.0 / source.step), most - rate_bits]]
    kept = None
    # First where Shannon's lower bound, R = h - log2(2e/slope), has that rate; h of a density on this grid.
    first = np.log(2 * np.e) + (rate_bits - most - np.log2(source.step)) * np.log(2)
    for tried in range(_SLOPES):
        (low, below), (high, above) = ends
        straight = (low * above - high * below) / (above - below)
        slope = float(np.exp(straight if tried else min(max(first, low), high)))
        point = at_slope(source, slope, gap_bits=gap_bits)
        excess = point.rate_bits - rate_bits
        if abs(excess) <= tolerance_bits or high - low < 1e-9:
            break
        side = int(excess > 0)
        ends[side] = [np.log(slope), excess]
        if kept == 1 - side:
            ends[1 - side][1] /= 2
        kept = 1 - side
    return point


def _smooth(x: Floats, decay: float) -> Floats:
    """sum_j x_j decay^|i-j|."""
    ahead, behind = lfilter([1.0], [1.0, -decay], np.stack([x, x[::-1]]))
    return np.asarray(ahead + behind[::-1] - x)


def _distance(x: Floats, decay: float, step: float) -> Floats:
    """sum_j x_j |i-j| step decay^|i-j|: the smoothing of before, differentiated by its exponent."""
    numerator, denominator = [0.0, decay], [1.0, -2.0 * decay, decay * decay]
    ahead, behind = lfilter(numerator, denominator, np.stack([x, x[::-1]]))
    return np.asarray(step * (ahead + behind[::-1]))
