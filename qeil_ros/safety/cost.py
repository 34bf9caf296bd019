"""How long a local run takes, from the runs so far."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Cost", "RunTimes"]


@dataclass(frozen=True)
class Cost:
    """The median and the 99th percentile of a local run, from start to answer [s]."""

    typical_s: float
    worst_s: float


class RunTimes:
    """The last `most` run times. With fewer than a hundred of them the 99th percentile is the longest."""

    def __init__(self, most: int = 200) -> None:
        self._times_s: deque[float] = deque(maxlen=most)

    def add(self, took_s: float) -> None:
        self._times_s.append(took_s)

    def cost(self) -> Cost:
        """Raises ValueError before the first run."""
        if not self._times_s:
            raise ValueError("no run has been timed yet")
        ordered = sorted(self._times_s)
        last = len(ordered) - 1
        return Cost(ordered[last // 2], ordered[min(last, math.ceil(0.99 * len(ordered)) - 1)])
