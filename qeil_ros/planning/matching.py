"""Work and device matched: the roofline of a device, from its data sheet or fitted to measured passes.

Paper: QEIL, arXiv 2602.06057, Eq 8: an intensity I [FLOP/byte] below C / B is bound by memory. The start-up
time of a pass, which small work consists of, and the fit are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .regression import regress_positive
from .scaling import Fit

__all__ = ["Roofline", "fit_matching"]

Floats = NDArray[np.float64]
_TRIED = 3
"""Ridges that get a robust fit, of those whose plain fit is best."""


@dataclass(frozen=True)
class Roofline:
    """Seconds of a pass: start_s + max(FLOP / C, bytes / B).

    Attributes:
        flops_s: C; inf where no pass was bound by it. bandwidth_bytes_s: B; likewise. start_s: of any pass.
    """

    flops_s: float
    bandwidth_bytes_s: float
    start_s: float = 0.0

    @property
    def ridge(self) -> float:
        """C / B [FLOP/byte]; NaN where either is not known."""
        known = math.isfinite(self.flops_s) and math.isfinite(self.bandwidth_bytes_s)
        return self.flops_s / self.bandwidth_bytes_s if known else math.nan

    def __call__(self, flops: ArrayLike, moved_bytes: ArrayLike) -> Floats:
        """Seconds, for arguments that broadcast."""
        work, moved = np.asarray(flops, np.float64), np.asarray(moved_bytes, np.float64)
        return np.asarray(self.start_s + np.maximum(work / self.flops_s, moved / self.bandwidth_bytes_s))

    def bound(self, flops: ArrayLike, moved_bytes: ArrayLike) -> NDArray[np.bool_]:
        """Whether memory, not arithmetic, takes the time."""
        work, moved = np.asarray(flops, np.float64), np.asarray(moved_bytes, np.float64)
        return np.asarray(moved / self.bandwidth_bytes_s > work / self.flops_s)


def fit_matching(flops: ArrayLike, moved_bytes: ArrayLike, seconds: ArrayLike) -> Fit[Roofline]:
    """Fits the roofline: which passes either roof bounds is tried for the ridges between their intensities.

    The estimates are `s_per_flop`, `s_per_byte` and `start_s`; their intervals hold for the ridge that was
    found.

    Args:
        flops, moved_bytes, seconds: [n] each, above 0.

    Raises:
        ValueError: a value is impossible, or the points are too few.
    """
    work, moved, took = (np.asarray(a, np.float64) for a in (flops, moved_bytes, seconds))
    for name, array in (("flops", work), ("moved_bytes", moved), ("seconds", took)):
        if array.ndim != 1 or array.shape != took.shape or not (np.isfinite(array) & (array > 0)).all():
            raise ValueError(f"{name} must be a list of positive numbers, as many as there are seconds")
    ridges = (-math.inf, *np.unique(work / moved))
    likely = sorted(ridges, key=lambda ridge: _loss(_columns(ridge, work, moved), took))[:_TRIED]
    fits = [regress_positive(_columns(ridge, work, moved), took) for ridge in likely]
    found, left_out = min(fits, key=lambda fit: float(np.abs(fit[0].residuals).sum()))
    per = {name: estimate.value for name, estimate in found.estimates.items()}
    law = Roofline(
        _inverse(per.get("s_per_flop", 0.0)), _inverse(per.get("s_per_byte", 0.0)), per.get("start_s", 0.0)
    )
    note = "relative errors, Huber regression" + (f"; left out: {', '.join(left_out)}" if left_out else "")
    ranges = {
        "flops": (float(work.min()), float(work.max())),
        "moved_bytes": (float(moved.min()), float(moved.max())),
    }
    return Fit(law, found, ranges, note)


def _columns(ridge: float, work: Floats, moved: Floats) -> dict[str, Floats]:
    """What the seconds are fitted by if arithmetic bounds the passes of a higher intensity than the ridge."""
    arithmetic = work / moved > ridge
    columns = {
        "s_per_byte": np.where(arithmetic, 0.0, moved),
        "s_per_flop": np.where(arithmetic, work, 0.0),
        "start_s": np.ones_like(work),
    }
    return {name: column for name, column in columns.items() if column.any()}


def _loss(columns: Mapping[str, Floats], took: Floats) -> float:
    """The sum of relative errors of a plain fit: enough to tell likely ridges from others."""
    x = np.column_stack(list(columns.values())) / took[:, None]
    size = np.linalg.norm(x, axis=0)
    found = np.linalg.lstsq(x / size, np.ones_like(took), rcond=None)[0]
    return float(np.abs(1.0 - x / size @ found).sum())


def _inverse(value: float) -> float:
    return 1.0 / value if value > 0 else math.inf
