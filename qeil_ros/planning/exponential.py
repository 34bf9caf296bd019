"""How exponential the magnitudes of some weights really are.

Paper: quantization-aware co-inference, arXiv 2602.13052, Eq 3: magnitudes theta = |w| have the density
lambda exp(-lambda theta). The fit is the paper's (maximum likelihood); the tests of it are ours, because
trained weights follow the assumption only in part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExponentialFit", "fit", "quantiles"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExponentialFit:
    """An exponential fitted to magnitudes.

    Attributes:
        rate: lambda, 1 / unit of the weights.
        rate_error: its standard error, lambda / sqrt(n).
        count: magnitudes.
        ks: Kolmogorov-Smirnov distance, 0 to 1: where the two distribution functions differ most.
        kurtosis: of the signed weights about zero; 6 where they are Laplacian as assumed, 3 where Gaussian.
    """

    rate: float
    rate_error: float
    count: int
    ks: float
    kurtosis: float


def fit(weights: NDArray[np.floating]) -> ExponentialFit:
    """Fits |weights| of any shape. Zeros count: a pruned weight is a magnitude like any other.

    Raises:
        ValueError: fewer than two weights, one that is not finite, or all of them zero.
    """
    theta = np.sort(_magnitudes(weights))
    n, mean = len(theta), float(theta.mean())
    if mean == 0:
        raise ValueError("all weights are zero: no exponential fits them")
    model = -np.expm1(-theta / mean)
    ranks = np.arange(n + 1) / n
    ks = float(max((ranks[1:] - model).max(), (model - ranks[:-1]).max()))
    scaled = theta / theta[-1]  # so that fourth powers neither overflow nor vanish
    kurtosis = float((scaled**4).mean() / (scaled**2).mean() ** 2)
    return ExponentialFit(1.0 / mean, 1.0 / mean / n**0.5, n, ks, kurtosis)


def quantiles(weights: NDArray[np.floating], points: int = 200) -> tuple[Floats, Floats]:
    """Data of a QQ plot: (quantiles of the fitted exponential, of the magnitudes), [points] each, ascending.

    On the diagonal the assumption holds.
    """
    if points < 2:
        raise ValueError(f"points is {points}; want 2 or more")
    theta = _magnitudes(weights)
    levels = (np.arange(points) + 0.5) / points
    return np.asarray(-np.log1p(-levels) * theta.mean()), np.asarray(np.quantile(theta, levels))


def _magnitudes(weights: NDArray[np.floating]) -> Floats:
    theta = np.abs(np.asarray(weights, np.float64)).ravel()
    if len(theta) < 2 or not np.isfinite(theta).all():
        raise ValueError(f"want 2 or more finite weights, got {len(theta)}")
    return theta
