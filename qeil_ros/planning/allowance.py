"""One energy budget over the questions of a period: what an easy question leaves, a hard one may spend.

Ours; QEIL's algorithm 2 (arXiv 2602.06057) has a limit for one question only. Pure: times come in.
"""

from __future__ import annotations

import math

__all__ = ["Allowance"]

_FIRST_RATE_HZ = 30.0
"""Questions a second until two have come: a camera's rate. Too high a guess keeps joules for later."""
_MEMORY = 64
"""Questions over which the rate is averaged."""


class Allowance:
    """The joules that a question may spend: what is left, over the questions that are still to come.

    These are expected at the rate of late. One period follows upon the other: joules that are left at the end
    of one lapse, what was overdrawn comes off the next ones.

    Args:
        budget_j: of each period [J]. period_s: its length, from the first question on [s].
    """

    def __init__(self, budget_j: float, period_s: float) -> None:
        if not (0 < budget_j < math.inf and 0 < period_s < math.inf):
            raise ValueError(f"a budget of {budget_j} J for {period_s} s; both must be positive and finite")
        self._budget_j, self._period_s = budget_j, period_s
        self.left_j = budget_j
        """Of the present period; below 0 where it is overdrawn."""
        self._ends_s = math.nan
        self._asked_s = math.nan
        self._interval_s = 1.0 / _FIRST_RATE_HZ
        self._asked = 0

    def ask(self, now_s: float) -> float:
        """The joules of a question that has come at `now_s` [J], 0 where nothing is left."""
        self._turn(now_s)
        if self._asked:
            weight = 1.0 / min(self._asked, _MEMORY)
            self._interval_s += weight * (max(0.0, now_s - self._asked_s) - self._interval_s)
        self._asked += 1
        self._asked_s = now_s
        time_left_s = self._ends_s - now_s
        to_come = max(1.0, time_left_s / self._interval_s) if self._interval_s > 0 else math.inf
        return max(0.0, self.left_j / to_come)

    def spend(self, energy_j: float) -> None:
        """A question has taken `energy_j` [J]; NaN, which nothing metered, counts as nothing."""
        if math.isfinite(energy_j):
            self.left_j -= energy_j

    def _turn(self, now_s: float) -> None:
        if math.isnan(self._ends_s):
            self._ends_s = now_s + self._period_s
        elif now_s >= self._ends_s:
            periods = math.floor((now_s - self._ends_s) / self._period_s) + 1
            self._ends_s += periods * self._period_s
            self.left_j = min(self._budget_j, min(0.0, self.left_j) + periods * self._budget_j)
