"""How little distortion a rate allows: bounds for weights whose magnitudes are exponential.

Paper: quantization-aware co-inference, arXiv 2602.13052. Signs are kept, magnitudes theta = |w| with density
lambda exp(-lambda theta) (Eq 3) are quantized, and distortion is the mean absolute error of a magnitude
(Eq 15), so a weight of `b` bits has a magnitude of rate R = b - 1. All rates are in bits, all distortions in
the unit of the weights. Every function takes numbers or arrays and gives float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "distortion_lower",
    "distortion_upper",
    "entropy_bits",
    "gap",
    "rate_lower_bits",
    "rate_upper_bits",
]

Floats = NDArray[np.float64]


def entropy_bits(rate: ArrayLike) -> Floats:
    """Differential entropy of an exponential magnitude, h = log2(e / lambda)."""
    return np.asarray(np.log2(np.e / _positive(rate, "lambda")))


def rate_lower_bits(distortion: ArrayLike, rate: ArrayLike) -> Floats:
    """R_L(D) = -log2(2 lambda D) (Eq 23), at least 0: no code of a lower rate reaches D."""
    d, lam = _positive(distortion, "distortion"), _positive(rate, "lambda")
    return np.asarray(np.maximum(-np.log2(2 * lam * d), 0.0))


def distortion_lower(rate_bits: ArrayLike, rate: ArrayLike) -> Floats:
    """D_L(R) = 1 / (lambda 2^(R+1)) (Eq 24), the inverse of `rate_lower_bits` for R >= 0."""
    return np.asarray(np.exp2(-1.0 - _rate(rate_bits)) / _positive(rate, "lambda"))


def rate_upper_bits(distortion: ArrayLike, rate: ArrayLike) -> Floats:
    """R_U(D) = log2(1/(lambda D) + lambda D/(lambda D + 1)) (Eq 25): a code of this rate reaches D.

    Computed as log2(1 + 1/(u (u+1))), u = lambda D, which is the same and stays exact for large D.
    """
    u = _positive(distortion, "distortion") * _positive(rate, "lambda")
    return np.asarray(np.log1p(1.0 / (u * (u + 1.0))) / np.log(2.0))


def distortion_upper(rate_bits: ArrayLike, rate: ArrayLike) -> Floats:
    """D_U(R) = (sqrt(1 + 4/(2^R - 1)) - 1) / (2 lambda) (Eq 26), the inverse of `rate_upper_bits`.

    Infinite at R = 0. Computed without the difference of nearly equal numbers, which at R > 40 would be 0.
    """
    lam = _positive(rate, "lambda")
    levels = np.expm1(_rate(rate_bits) * np.log(2.0))  # 2^R - 1
    with np.errstate(divide="ignore"):
        x = 4.0 / levels
    finite = np.where(np.isinf(x), 0.0, x)
    return np.asarray(np.where(np.isinf(x), np.inf, finite / (np.sqrt(1.0 + finite) + 1.0)) / (2.0 * lam))


def gap(bits: ArrayLike, rate: ArrayLike) -> Floats:
    """What problem P1 minimises: D_U(b-1) - D_L(b-1) for weights of `b` bits, sign included; inf at b = 1.

    It falls strictly with b and does not depend on any clock, so the best b is the largest feasible one.
    """
    magnitude_bits = np.asarray(bits, np.float64) - 1.0
    return np.asarray(distortion_upper(magnitude_bits, rate) - distortion_lower(magnitude_bits, rate))


def _positive(value: ArrayLike, name: str) -> Floats:
    array = np.asarray(value, np.float64)
    if not np.all(array > 0):
        raise ValueError(f"{name} is {value!r}; it must be positive")
    return array


def _rate(value: ArrayLike) -> Floats:
    array = np.asarray(value, np.float64)
    if not np.all(array >= 0):
        raise ValueError(f"the rate is {value!r} bits; it must not be negative")
    return array
