"""Robust linear regression with intervals, as fits of scaling laws need it: few points, some of them wild.

A Huber M-estimator by reweighted least squares. What a coefficient is worth is told by its 95 % interval,
what the data cannot tell by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

__all__ = ["Estimate", "Regression", "independent", "regress", "regress_positive"]

Floats = NDArray[np.float64]

HUBER = 1.345
"""Residuals beyond so many scales count by their absolute value: 95 % as efficient as least squares on normal
errors."""
LEVEL = 0.95
_CONSISTENT = 0.6745
"""The median absolute deviation of normal errors in their standard deviations."""
_ROUNDS = 50
_SETTLED = 1e-9
_CLOSE = 1e-6
_RANK = 1e-9
"""A column whose part that the others do not explain is smaller than this share of it tells nothing new."""


@dataclass(frozen=True)
class Estimate:
    """A coefficient, its standard error, and the ends of its 95 % interval."""

    value: float
    error: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, eq=False)
class Regression:
    """A fit of y = sum of coefficient x column.

    Attributes:
        estimates: by name; without those that the data do not determine.
        unidentified: names of columns that are constant or follow from the ones before: set to zero.
        r_squared: 1 - squared residuals / squared deviations from the mean; NaN where y is constant.
        scale: standard deviation of the residuals, robust.
        residuals: [n], y less the fit.
        outliers: how many residuals were clipped.
        freedom: points less coefficients.
    """

    estimates: Mapping[str, Estimate]
    unidentified: tuple[str, ...]
    r_squared: float
    scale: float
    residuals: Floats
    outliers: int
    freedom: int


def regress(columns: Mapping[str, ArrayLike], y: ArrayLike) -> Regression:
    """Fits y by the columns; name one of them for the constant, and give it as ones.

    The covariance is Huber's: that of least squares on the pseudo-values, with his correction for few points
    (P. J. Huber, Robust Statistics, section 7.6). Half the points at least must not be wild.

    Args:
        columns: by name, [n] each; the ones before win where two say the same.
        y: [n].

    Raises:
        ValueError: lengths differ, a value is not finite, or there are no more points than coefficients.
    """
    target = np.asarray(y, np.float64)
    arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    _check(arrays, target)
    kept, left_out = independent(arrays)
    n, p = len(target), len(kept)
    if n <= p:
        raise ValueError(f"{n} points for {p} coefficients ({', '.join(kept)}); want more points")
    x = np.column_stack([arrays[name] for name in kept])
    units = np.linalg.norm(x, axis=0)  # columns of one length: their units must not upset the arithmetic
    x /= units
    found, weights, scale = _huber(x, target)
    residuals = target - x @ found
    errors = _errors(x, residuals, weights) / units
    found = found / units
    reach = float(student.ppf(0.5 + LEVEL / 2, n - p))
    estimates = {
        name: Estimate(float(b), float(e), float(b - reach * e), float(b + reach * e))
        for name, b, e in zip(kept, found, errors, strict=True)
    }
    spread = float(((target - target.mean()) ** 2).sum())
    explained = 1.0 - float((residuals**2).sum()) / spread if spread > 0 else float("nan")
    return Regression(estimates, left_out, explained, scale, residuals, int((weights < 1).sum()), n - p)


def regress_positive(columns: Mapping[str, ArrayLike], y: ArrayLike) -> tuple[Regression, tuple[str, ...]]:
    """Fits positive values by columns none of which may take anything away; each point counts by its error
    relative to the fit.

    Args:
        columns: as `regress` has them. y: [n], above 0.

    Returns:
        the fit, whose residuals are relative and whose `r_squared` is that of logarithms; and the names of
        columns whose coefficient would be below 0: they are left out.

    Raises:
        ValueError: as `regress`, or a value of y is not positive.
    """
    target = np.asarray(y, np.float64)
    arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    _check(arrays, target)
    if not (target > 0).all():
        raise ValueError("what is fitted by relative errors must be positive")
    left_out: list[str] = []
    expected = target
    for _ in range(_ROUNDS):
        found = regress({name: column / expected for name, column in arrays.items()}, target / expected)
        below = [name for name, estimate in found.estimates.items() if estimate.value < 0]
        if below:
            worst = min(below, key=lambda name: found.estimates[name].value / found.estimates[name].error)
            left_out.append(worst)
            del arrays[worst]
            continue
        # Errors are relative to what is expected: dividing by the measured values would favour small ones.
        fitted = sum(estimate.value * arrays[name] for name, estimate in found.estimates.items())
        before, expected = expected, np.asarray(fitted)
        if np.abs(expected / before - 1).max() <= _CLOSE:
            break
    logs = np.log(target)
    rest = logs - np.log(np.maximum(expected, np.finfo(np.float64).tiny))
    spread = float(((logs - logs.mean()) ** 2).sum())
    explained = 1.0 - float((rest**2).sum()) / spread if spread > 0 else float("nan")
    return replace(found, r_squared=explained), tuple(left_out)


def _check(arrays: Mapping[str, Floats], y: Floats) -> None:
    for name, column in (*arrays.items(), ("y", y)):
        if column.shape != y.shape or y.ndim != 1:
            raise ValueError(f"{name} has the shape {column.shape}, y has {y.shape}; want [n] for all")
        if not np.isfinite(column).all():
            raise ValueError(f"{name} holds a value that is not finite")


def independent(arrays: Mapping[str, Floats]) -> tuple[list[str], tuple[str, ...]]:
    """Names of columns that tell something beyond the ones before, and of the others."""
    kept: list[str] = []
    left_out: list[str] = []
    basis: list[Floats] = []
    for name, column in arrays.items():
        rest = column.copy()
        for direction in (*basis, *basis):  # twice: once leaves rounding errors behind
            rest -= direction * (direction @ rest)
        size = float(np.linalg.norm(rest))
        if size <= _RANK * max(float(np.linalg.norm(column)), 1e-300):
            left_out.append(name)
            continue
        kept.append(name)
        basis.append(rest / size)
    return kept, tuple(left_out)


def _huber(x: Floats, y: Floats) -> tuple[Floats, Floats, float]:
    """Coefficients [p], the last weights [n], 0 to 1, and the scale of the residuals."""
    weights = np.ones(len(y))
    found: Floats = np.linalg.lstsq(x, y, rcond=None)[0].astype(np.float64)
    scale = 0.0
    for _ in range(_ROUNDS):
        residuals = y - x @ found
        scale = _scale(residuals, x.shape[1])
        size = np.abs(residuals)
        # Exact data have residuals of rounding errors only: no point of them is wild.
        clip = HUBER * max(scale, 1e-12 * float(np.abs(y).max(initial=1e-300)))
        weights = np.minimum(1.0, clip / np.maximum(size, 1e-300))
        root = np.sqrt(weights)
        before = found
        found = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0].astype(np.float64)
        if np.abs(found - before).max(initial=0.0) <= _SETTLED * np.abs(found).max(initial=1e-300):
            break
    return found, weights, scale


def _scale(residuals: Floats, coefficients: int) -> float:
    """The residuals' standard deviation from the median of their sizes, the p smallest left out: as many are
    near zero because the fit went through them."""
    sizes = np.sort(np.abs(residuals))[coefficients - 1 :]
    return float(np.median(sizes)) / _CONSISTENT


def _errors(x: Floats, residuals: Floats, weights: Floats) -> Floats:
    """Standard errors [p]."""
    n, p = x.shape
    inside = float((weights == 1.0).mean())
    inflated = 1.0 + p / n * (1.0 - inside) / inside if inside > 0 else float("inf")
    squares = float(((weights * residuals) ** 2).sum()) / (n - p)
    inverse = np.linalg.pinv(x.T @ x)
    return np.asarray(inflated * np.sqrt(squares * np.diag(inverse)) / max(inside, 1e-300))
