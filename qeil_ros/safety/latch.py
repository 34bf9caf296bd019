"""Levels that rise at once and fall slowly: the one place where flapping is prevented."""

from __future__ import annotations

import math

__all__ = ["Latch"]


class Latch:
    """A level, 0 and up. A higher one is taken at once; a lower one when it has been enough for `dwell_s`.

    It falls one step at a time, each after a dwell of its own, so that recovery is gradual. Hence between
    any two falls lies at least the dwell time, and a level that was left cannot be left again sooner than
    that.
    """

    def __init__(self, dwell_s: float, level: int = 0, *, stepwise: bool = True) -> None:
        self.level = level
        self.dwell_s = dwell_s
        self._stepwise = stepwise
        self._calm_since_s: float | None = None
        self._calm_level = 0

    def falls_at_s(self) -> float:
        """When the level will fall if what is wanted stays as it is [s]; inf: it will not."""
        return math.inf if self._calm_since_s is None else self._calm_since_s + self.dwell_s

    def update(self, wanted: int, now_s: float) -> int:
        """The level in force at `now_s`, given the one wanted from now on."""
        if wanted >= self.level:
            self.level = wanted
            self._calm_since_s = None
            return self.level
        if self._calm_since_s is None:
            self._calm_since_s, self._calm_level = now_s, wanted
        # A fall over several steps at once goes to the worst level wanted while it dwelt.
        self._calm_level = max(self._calm_level, wanted)
        if now_s - self._calm_since_s >= self.dwell_s:
            self.level = self.level - 1 if self._stepwise else self._calm_level
            self._calm_since_s, self._calm_level = (now_s if wanted < self.level else None), wanted
        return self.level
