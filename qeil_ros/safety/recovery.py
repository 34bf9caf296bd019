"""Coming back by stages: part of the capacity first, then a ramp."""

from __future__ import annotations

import math

__all__ = ["Recovery"]


class Recovery:
    """The share of capacity that may be used, 0 to 1.

    A device that comes back returns at 50 % of its capacity first (safety layer of QEIL, arXiv 2602.06057
    v2); the schedule from there is not in the paper, this one is ours: `first` for `stage_s`, then a straight
    line to 1 over `ramp_s`.
    """

    def __init__(self, first: float = 0.5, stage_s: float = 1.0, ramp_s: float = 4.0) -> None:
        self._began_s = -math.inf
        self.configure(first, stage_s, ramp_s)

    def configure(self, first: float, stage_s: float, ramp_s: float) -> None:
        if not (0 < first <= 1 and stage_s >= 0 and ramp_s >= 0):
            raise ValueError(
                f"recovery from {first:g} after {stage_s:g} s over {ramp_s:g} s; want a share above 0 up to "
                "1, and times not negative"
            )
        self.first, self.stage_s, self.ramp_s = first, stage_s, ramp_s

    def begin(self, now_s: float) -> None:
        self._began_s = now_s

    def share(self, now_s: float) -> float:
        passed_s = now_s - self._began_s - self.stage_s
        if passed_s >= self.ramp_s:
            return 1.0
        return self.first + (1.0 - self.first) * max(0.0, passed_s) / max(self.ramp_s, 1e-9)
