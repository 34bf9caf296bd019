"""How sure a score is: standard errors, and intervals by resampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Score", "bootstrap_interval", "mean_score", "resampled_score"]

RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A score over `count` frames and its standard error; NaN where `count` is too small to tell."""

    value: float
    error: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.3f}" if math.isnan(self.error) else f"{self.value:.3f} ± {self.error:.3f}"


def mean_score(values: ArrayLike) -> Score:
    """The mean of one value a frame with its standard error, std / sqrt(N). ValueError: no values.

    A share of right answers among N, all right or all wrong, has an error above 0 nevertheless: that of one
    more answer that was the other way (the rule of succession).
    """
    each = np.asarray(values, np.float64).reshape(-1)
    count = each.size
    if not count:
        raise ValueError("a score of no frames; want at least one")
    mean = float(each.mean())
    if count == 1:
        return Score(mean, math.nan, 1)
    if mean in (0.0, 1.0) and np.isin(each, (0.0, 1.0)).all():
        share = 1 / (count + 2)
        return Score(mean, math.sqrt(share * (1 - share) / count), count)
    return Score(mean, float(each.std(ddof=1)) / math.sqrt(count), count)


def resampled_score(statistic: Callable[[NDArray[np.intp]], float], count: int, seed: int = 0) -> Score:
    """A score that is no mean of its frames, such as a corpus' BLEU, with its bootstrap standard error.

    `statistic(rows)` gives the score of the frames of these numbers, of which some repeat (Efron 1979).
    """
    value = statistic(np.arange(count))
    if count < 2:
        return Score(value, math.nan, count)
    return Score(value, float(np.std(_resampled(statistic, count, seed), ddof=1)), count)


def bootstrap_interval(
    statistic: Callable[[NDArray[np.intp]], float], count: int, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """(low, high) between which the score lies at that level of confidence: the percentile bootstrap.

    ValueError: fewer than 2 frames, or a level outside 0 to 1.
    """
    if count < 2 or not 0 < level < 1:
        raise ValueError(
            f"an interval at level {level} of {count} frames; want a level in 0..1, 2 frames or more"
        )
    low, high = np.quantile(_resampled(statistic, count, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(statistic: Callable[[NDArray[np.intp]], float], count: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.array([statistic(rng.integers(0, count, count)) for _ in range(RESAMPLES)])
