"""How long a local run takes, from the runs of late. Pure."""

from __future__ import annotations

import math
from collections import deque

from .cost import Cost
from .traffic import nearest_rank

__all__ = ["RunTimes"]


class RunTimes:
    """Run times of the last `window_s`, at most `most` of them, and never fewer than the last `fewest`.

    A run after a pause is slower: caches have gone cold and the processor has clocked down. So a run that
    begins more than `pause_s` after the end of the last one is cold, and cold and warm runs are told apart.
    With fewer than a hundred runs the 99th percentile is the longest of them.
    """

    def __init__(
        self, window_s: float = 120.0, most: int = 200, fewest: int = 10, pause_s: float = 0.5
    ) -> None:
        self._window_s, self._fewest, self._pause_s = window_s, fewest, pause_s
        self._warm: deque[tuple[float, float]] = deque(maxlen=most)
        self._cold: deque[tuple[float, float]] = deque(maxlen=most)
        self._ended_s = -math.inf

    def is_cold(self, now_s: float) -> bool:
        """Whether a run that begins now would be a cold one."""
        return now_s - self._ended_s > self._pause_s

    def add(self, took_s: float, ended_s: float) -> None:
        runs = self._cold if self.is_cold(ended_s - took_s) else self._warm
        runs.append((ended_s, took_s))
        self._ended_s = ended_s
        while len(runs) > self._fewest and ended_s - runs[0][0] > self._window_s:
            runs.popleft()

    def cost(self, now_s: float) -> Cost:
        """Of a run that begins soon. A cold one is taken to be no quicker than a warm one.

        Raises:
            ValueError: before the first run.
        """
        if self.is_cold(now_s):
            return self.cold()
        return self.warm()

    def warm(self) -> Cost:
        return _cost(self._warm or self._cold)

    def cold(self) -> Cost:
        costs = [_cost(runs) for runs in (self._cold, self._warm) if runs] or [_cost(())]
        return Cost(max(cost.typical_s for cost in costs), max(cost.worst_s for cost in costs))


def _cost(runs: deque[tuple[float, float]] | tuple[()]) -> Cost:
    if not runs:
        raise ValueError("no run has been timed yet")
    ordered = sorted(took_s for _, took_s in runs)
    return Cost(nearest_rank(ordered, 0.5), nearest_rank(ordered, 0.99))
