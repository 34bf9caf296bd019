"""Figures over the recent past. Pure: times come in as arguments."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["BusyMeter", "Recent"]


class Recent:
    """Values of the last `window_s`, at most `most` of them, and their quantiles."""

    def __init__(self, window_s: float, most: int = 1024) -> None:
        self._window_s = window_s
        self._values: deque[tuple[float, float]] = deque(maxlen=most)

    def add(self, value: float, now_s: float) -> None:
        self._values.append((now_s, value))

    def quantiles(self, *fractions: float, now_s: float) -> list[float]:
        """The nearest-rank quantile for each fraction; NaN where there is no recent value."""
        while self._values and now_s - self._values[0][0] > self._window_s:
            self._values.popleft()
        ordered = sorted(value for _, value in self._values)
        if not ordered:
            return [math.nan] * len(fractions)
        last = len(ordered) - 1
        return [ordered[min(last, max(0, math.ceil(f * len(ordered)) - 1))] for f in fractions]


class BusyMeter:
    """The fraction of the time between two readings that was spent working, work in progress included."""

    def __init__(self, now_s: float) -> None:
        self._read_s = now_s
        self._busy_s = 0.0
        self._since_s: float | None = None

    def begin(self, now_s: float) -> None:
        self._since_s = now_s

    def end(self, now_s: float) -> None:
        if self._since_s is not None:
            self._busy_s += now_s - self._since_s
            self._since_s = None

    def read(self, now_s: float) -> float:
        """0 to 1, since the last reading."""
        if self._since_s is not None:
            self._busy_s += now_s - self._since_s
            self._since_s = now_s
        span_s, self._read_s = now_s - self._read_s, now_s
        busy_s, self._busy_s = self._busy_s, 0.0
        return min(1.0, busy_s / span_s) if span_s > 0 else 0.0
