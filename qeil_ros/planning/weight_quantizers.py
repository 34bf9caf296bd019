"""The paper's two weight quantizers, measured against its bounds.

Paper: quantization-aware co-inference, arXiv 2602.13052. Signs are kept and magnitudes quantized at
R = b - 1 bits, uniformly or to powers of two (PoT-log, as INQ, arXiv 1702.03044). Clip range and granularity
are not given: here one range for all weights, and where none is named the one of least mean absolute error,
which is the distortion that the bounds are about.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .exponential import fit
from .rate_distortion import distortion_lower, distortion_upper

__all__ = ["Measured", "measure", "power_of_two", "uniform"]

Floats = NDArray[np.float64]

_CLIPS = np.linspace(0.02, 1.0, 99)
_OCTAVES = 12
_SAMPLE = 16384


def uniform(weights: ArrayLike, bits: int, clip: float | None = None) -> Floats:
    """Sign and one of 2^(bits-1) equal cells of [0, clip], each given back as its middle; same shape.

    Args:
        clip: None: the range of least mean absolute error, of 99.
    """
    w = _checked(weights, bits)
    theta = np.abs(w)
    largest = float(theta.max())
    if clip is not None:
        if not clip > 0:
            raise ValueError(f"clip is {clip}; it must be positive")
        return _signed(w, _uniform(theta, bits, clip))
    if largest == 0:
        return np.zeros_like(w)
    sample = _sample(theta)
    errors = [float(np.abs(_uniform(sample, bits, c * largest) - sample).mean()) for c in _CLIPS]
    return _signed(w, _uniform(theta, bits, float(_CLIPS[int(np.argmin(errors))]) * largest))


def power_of_two(weights: ArrayLike, bits: int, top: int | None = None) -> Floats:
    """Sign and zero or one of 2^(bits-1) - 1 powers of two, the largest of them 2^top; same shape.

    A magnitude goes to the nearest of these. With one bit all that is left is the sign, and the single
    magnitude is 2^top.

    Args:
        top: None: of the powers at most 4/3 of the largest magnitude (INQ's) the one of least mean absolute
            error, which for few bits is a smaller one.
    """
    w = _checked(weights, bits)
    theta = np.abs(w)
    largest = float(theta.max())
    if largest == 0:
        return np.zeros_like(w)
    if top is None:
        most = math.floor(math.log2(largest * 4 / 3))
        sample = _sample(theta)
        errors = [
            float(np.abs(_powers(sample, bits, most - lower) - sample).mean()) for lower in range(_OCTAVES)
        ]
        top = most - int(np.argmin(errors))
    return _signed(w, _powers(theta, bits, top))


@dataclass(frozen=True)
class Measured:
    """A quantizer at a width: its mean absolute error beside the bounds at its rate.

    Attributes:
        rate_bits: R = bits - 1, of a magnitude. entropy_bits: of the magnitudes as quantized: what an
            entropy coder would need.
        lower, upper: D_L(R) and D_U(R) (Eq 24, 26) with lambda fitted to these weights.
    """

    quantizer: str
    bits: int
    rate_bits: int
    entropy_bits: float
    distortion: float
    lower: float
    upper: float


def measure(weights: ArrayLike, bits: Sequence[int]) -> list[Measured]:
    """Both quantizers at each of these widths."""
    w = np.asarray(weights, np.float64)
    rate = fit(w).rate
    found = []
    quantizers: tuple[tuple[str, Callable[[ArrayLike, int], Floats]], ...] = (
        ("uniform", uniform),
        ("power_of_two", power_of_two),
    )
    for name, quantize in quantizers:
        for width in bits:
            quantized = quantize(w, width)
            counts = np.unique(np.abs(quantized), return_counts=True)[1] / w.size
            found.append(
                Measured(
                    name,
                    width,
                    width - 1,
                    float(-(counts * np.log2(counts)).sum()),
                    float(np.abs(quantized - w).mean()),
                    float(distortion_lower(width - 1, rate)),
                    float(distortion_upper(width - 1, rate)),
                )
            )
    return found


def _uniform(theta: Floats, bits: int, clip: float) -> Floats:
    cells = 2 ** (bits - 1)
    step = clip / cells
    return np.asarray((np.minimum(np.floor(theta / step), cells - 1) + 0.5) * step)


def _powers(theta: Floats, bits: int, top: int) -> Floats:
    if bits == 1:
        return np.full_like(theta, 2.0**top)
    levels = np.concatenate([[0.0], np.exp2(np.arange(top - 2 ** (bits - 1) + 2, top + 1.0))])
    middles = (levels[1:] + levels[:-1]) / 2
    return levels[np.searchsorted(middles, theta)]


def _sample(theta: Floats) -> Floats:
    """Enough of the magnitudes to choose a range by."""
    flat = theta.ravel()
    return flat if flat.size <= _SAMPLE else flat[:: flat.size // _SAMPLE]


def _signed(weights: Floats, magnitudes: Floats) -> Floats:
    return np.where(np.signbit(weights), -magnitudes, magnitudes)


def _checked(weights: ArrayLike, bits: int) -> Floats:
    w = np.asarray(weights, np.float64)
    if not w.size or not np.isfinite(w).all():
        raise ValueError(f"want finite weights, got {w.size}")
    if not 1 <= bits <= 16:
        raise ValueError(f"bits is {bits}; want 1 to 16")
    return w
