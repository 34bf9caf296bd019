"""Shares of trials that fit p = 1 - exp(-exp(x b)): binomial regression with the complementary log-log link.

The link that coverage by repeated sampling has by its form (QEIL, arXiv 2602.06057, Eq 1). By Fisher scoring
(P. McCullagh, J. A. Nelder, Generalized Linear Models, chapter 4), with their overdispersion factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy
from scipy.stats import t as student

from .regression import LEVEL, Estimate, Regression, independent

__all__ = ["regress_shares"]

Floats = NDArray[np.float64]

_ROUNDS = 100
_SETTLED = 1e-10
_MOST_LOG = 3.5
"""exp(-exp(3.5)) is 4e-15: a share of 1."""


def regress_shares(columns: Mapping[str, ArrayLike], share: ArrayLike, trials: ArrayLike) -> Regression:
    """Fits shares of trials by the columns, by maximum likelihood.

    Intervals are of the asymptotic normal kind, widened by what the shares vary more than binomial counts do.

    Args:
        columns: by name, [n] each; the ones before win where two say the same. share: [n], 0 to 1.
        trials: [n] or one number, above 0.

    Returns:
        residuals are those of the deviance [n], which stay finite where a share of nearly 1 is expected;
        `r_squared` is McFadden's, of the likelihood; `scale` the square root of
        the overdispersion, 1 at least; no outliers.

    Raises:
        ValueError: shapes differ, a value is impossible, no more points than coefficients, or no maximum: the
            data are all 0 or all 1 beyond some value.
    """
    y = np.asarray(share, np.float64)
    count = np.broadcast_to(np.asarray(trials, np.float64), y.shape)
    arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    if any(column.shape != y.shape for column in arrays.values()) or y.ndim != 1:
        raise ValueError("columns and shares must have the same shape [n]")
    if not ((y >= 0) & (y <= 1)).all() or not (np.isfinite(count) & (count > 0)).all():
        raise ValueError("shares must be from 0 to 1, trials above 0")
    kept, left_out = independent(arrays)
    n, p = len(y), len(kept)
    if n <= p:
        raise ValueError(f"{n} points for {p} coefficients ({', '.join(kept)}); want more points")
    x = np.column_stack([arrays[name] for name in kept])
    found, information = _score(x, y, count)
    fitted = _share(x @ found)
    residuals = _residuals(fitted, y, count)
    scale = math.sqrt(max(1.0, float((residuals**2).sum()) / (n - p)))
    errors = scale * np.sqrt(np.diag(np.linalg.inv(information)))
    reach = float(student.ppf(0.5 + LEVEL / 2, n - p))
    estimates = {
        name: Estimate(float(b), float(e), float(b - reach * e), float(b + reach * e))
        for name, b, e in zip(kept, found, errors, strict=True)
    }
    overall = np.full(n, float((count * y).sum() / count.sum()))
    null = _likelihood(overall, y, count)
    explained = 1.0 - _likelihood(fitted, y, count) / null if null < 0 else float("nan")
    return Regression(estimates, left_out, explained, scale, residuals, 0, n - p)


def _share(eta: Floats) -> Floats:
    return np.asarray(-np.expm1(-np.exp(np.minimum(eta, _MOST_LOG))))


def _likelihood(p: Floats, y: Floats, count: Floats) -> float:
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return float((count * (y * np.log(p) + (1 - y) * np.log1p(-p))).sum())


def _residuals(p: Floats, y: Floats, count: Floats) -> Floats:
    """Signed roots of what each share adds to the deviance; about normal where the law holds."""
    p = np.clip(p, 1e-15, 1 - 1e-15)
    deviance = 2 * count * (xlogy(y, y / p) + xlogy(1 - y, (1 - y) / (1 - p)))
    return np.asarray(np.sign(y - p) * np.sqrt(np.maximum(deviance, 0.0)))


def _score(x: Floats, y: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Coefficients [p] and Fisher's information [p, p]."""
    start = np.clip(y, 0.5 / (count + 1), 1 - 0.5 / (count + 1))  # shares of 0 and 1 pulled inwards
    found = np.linalg.lstsq(x, np.log(-np.log1p(-start)), rcond=None)[0]
    best = _likelihood(_share(x @ found), y, count)
    for _ in range(_ROUNDS):
        eta = np.minimum(x @ found, _MOST_LOG)
        p = np.clip(_share(eta), 1e-12, 1 - 1e-12)
        slope = np.exp(eta - np.exp(eta))  # dp / d eta
        weight = count * slope**2 / (p * (1 - p))
        information = (x * weight[:, None]).T @ x
        step = np.linalg.lstsq(information, x.T @ (count * slope * (y - p) / (p * (1 - p))), rcond=None)[0]
        size = 1.0
        while size > 1e-6:  # halved until the likelihood does not fall
            likelihood = _likelihood(_share(x @ (found + size * step)), y, count)
            if likelihood >= best - 1e-12 * abs(best):
                break
            size /= 2
        found, best = found + size * step, max(best, likelihood)
        if np.abs(size * step).max() <= _SETTLED * max(1.0, float(np.abs(found).max())):
            return found, information
    raise ValueError("the shares have no best fit: they are all 0 or all 1 on one side; widen the data")
