"""How far measurements differ from a model, learnt as they come: bounded, and forgotten in time.

Each quantity (agent_s, link_s, ...) has a factor for the machine as a whole and one for each cut, both kept
as logarithms. A measurement moves both towards its error, the common one faster: what is learnt at one cut
holds mostly for the others, so that a cut is not preferred only because its mistakes were never seen. A
single measurement counts for no more than a factor of two, the product stays within `bound`, and without
measurements everything falls back to the model. Time comes in as an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Corrections", "Spread"]

Floats = NDArray[np.float64]

_LARGEST_STEP = math.log(2.0)
_CUT_SHARE = 0.25
"""How fast a cut's own factor learns, relative to the common one."""


@dataclass(frozen=True)
class Spread:
    """How corrected predictions miss, recent ones most.

    Attributes:
        bias: mean of measured/predicted - 1, which corrections take away in time.
        deviation: mean magnitude of what differs from the bias: scatter, which they cannot.
        count: predictions scored.
    """

    bias: float = 0.0
    deviation: float = 0.0
    count: int = 0


class Corrections:
    """Factors on a model's quantities.

    Args:
        gain: share of an error that one measurement corrects, above 0 to 1.
        half_life_s: time in which a correction without measurements falls to its square root [s].
        bound: largest factor, and inverse of the smallest; above 1.
    """

    def __init__(
        self,
        quantities: Sequence[str],
        cuts: Sequence[str],
        *,
        gain: float = 0.2,
        half_life_s: float = 120.0,
        bound: float = 8.0,
    ) -> None:
        if not 0 < gain <= 1 or not half_life_s > 0 or not 1 < bound < math.inf:
            raise ValueError(f"gain {gain}, half_life_s {half_life_s}, bound {bound}: out of range")
        self._gain, self._half_life_s, self._bound = gain, half_life_s, math.log(bound)
        self._row = {quantity: i for i, quantity in enumerate(quantities)}
        self._column = {cut: i for i, cut in enumerate(cuts)}
        self._common = np.zeros((len(quantities), 1))
        self._cut = np.zeros((len(quantities), len(cuts)))
        self._spread: dict[str, Spread] = {}
        self._now_s = -math.inf

    def factors(self) -> Floats:
        """What to multiply the model's values with: float64 [quantities, cuts]."""
        return np.asarray(np.exp((self._common + self._cut).clip(-self._bound, self._bound)))

    def factor(self, quantity: str, cut: str) -> float:
        """The same of one quantity at one cut."""
        return float(self.factors()[self._row[quantity], self._column[cut]])

    def observe(self, quantity: str, cut: str, modelled: float, measured: float, now_s: float) -> bool:
        """Learns from a measurement; False where it says nothing: not finite, or one of the two not positive.

        Args:
            modelled: by the model alone, without the factor.
        """
        if not (0 < modelled < math.inf and 0 < measured < math.inf):
            return False
        self.forget(now_s)
        error = math.log(measured / modelled) - math.log(self.factor(quantity, cut))
        step = self._gain * min(max(error, -_LARGEST_STEP), _LARGEST_STEP) / (1 + _CUT_SHARE)
        at = self._row[quantity], self._column[cut]
        self._common[at[0], 0] = self._clipped(self._common[at[0], 0] + step)
        self._cut[at] = self._clipped(self._cut[at] + step * _CUT_SHARE)
        return True

    def score(self, quantity: str, predicted: float, measured: float) -> None:
        """Notes how a prediction, corrected as it was, has missed, where both are finite and positive.

        The quantity may be any name: sums of others, too.
        """
        if not (0 < predicted < math.inf and 0 < measured < math.inf):
            return
        error = min(measured / predicted - 1.0, 1.0)  # a stall counts as twice the time, not a hundred times
        old = self._spread.get(quantity, Spread())
        share = max(self._gain / 2, 1.0 / (old.count + 1))  # the plain mean at first
        bias = old.bias + share * (error - old.bias)
        deviation = old.deviation + share * (abs(error - bias) - old.deviation)
        self._spread[quantity] = Spread(bias, deviation, old.count + 1)

    def spread(self, quantity: str) -> Spread:
        """How the predictions of that quantity have missed; zeros before the first."""
        return self._spread.get(quantity, Spread())

    def forget(self, now_s: float) -> None:
        """Lets time pass. Time that runs backwards is taken to stand still."""
        if now_s <= self._now_s:
            return
        if self._now_s > -math.inf:
            keep = 0.5 ** ((now_s - self._now_s) / self._half_life_s)
            self._common *= keep
            self._cut *= keep
            self._spread = {
                key: Spread(s.bias * keep, s.deviation * keep, s.count) for key, s in self._spread.items()
            }
        self._now_s = now_s

    def _clipped(self, value: float) -> float:
        return min(max(value, -self._bound), self._bound)
