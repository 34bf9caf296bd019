"""Energy spent, and where temperature and energy are heading: first order only, else NaN."""

from __future__ import annotations

import math
from collections import deque

from qeil_ros.platform.readings import Quality, Reading, unread

__all__ = ["EnergyMeter", "Trend"]


class EnergyMeter:
    """The integral of power over time, and what it leaves of a budget.

    Between two readings the power is taken to run in a straight line. Over a gap without readings the last
    power is taken to have gone on: energy that nobody measured was spent all the same, and the quality says
    modelled.
    """

    def __init__(self) -> None:
        self.spent_j = 0.0
        self._last: tuple[float, float] | None = None  # time [s], power [W]
        self._quality = Quality.NONE
        self._source = ""

    def add(self, power: Reading) -> None:
        """The machine's power at `power.time_s`; times must not run backwards."""
        if not power.good:
            if self._last is not None:
                self._advance(power.time_s, self._last[1])
                self._quality = max(self._quality, Quality.MODELLED)
            return
        if self._last is not None:
            self._advance(power.time_s, (self._last[1] + power.value) / 2)
        self._last = (power.time_s, power.value)
        self._quality, self._source = max(self._quality, power.quality), power.source

    def readings(self, budget_j: float, now_s: float) -> list[Reading]:
        """Readings "energy/spent" and, with a budget above 0, "energy/left" [J]."""
        if self._last is None:
            found = [unread("energy/spent", "J", "", now_s, "no power reading yet")]
            if budget_j > 0:
                found.append(unread("energy/left", "J", "", now_s, "no power reading yet"))
            return found
        source = f"integral of {self._source}"
        found = [Reading("energy/spent", self.spent_j, "J", source, self._quality, now_s)]
        if budget_j > 0:
            left_j = budget_j - self.spent_j
            found.append(Reading("energy/left", left_j, "J", f"budget less {source}", self._quality, now_s))
        return found

    def _advance(self, now_s: float, power_w: float) -> None:
        assert self._last is not None
        passed_s = max(0.0, now_s - self._last[0])
        self.spent_j += power_w * passed_s
        self._last = (max(now_s, self._last[0]), self._last[1])


class Trend:
    """A straight line through the values of the last `window_s`, by least squares.

    Good for a horizon that is short against the thermal time constant; over a longer one it overstates a
    rise that is levelling off, which errs on the safe side.
    """

    def __init__(self, window_s: float = 10.0, most: int = 256) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, float]] = deque(maxlen=most)

    def add(self, value: float, now_s: float) -> None:
        """A value at a time; NaN is left out."""
        if math.isfinite(value):
            self._points.append((now_s, value))

    def forecast(self, horizon_s: float, now_s: float) -> float:
        """The value at `now_s + horizon_s`; NaN while there is less than a quarter of the window to go by."""
        while self._points and now_s - self._points[0][0] > self._window_s:
            self._points.popleft()
        if len(self._points) < 3 or self._points[-1][0] - self._points[0][0] < self._window_s / 4:
            return math.nan
        count = len(self._points)
        mean_s = sum(time_s for time_s, _ in self._points) / count
        mean = sum(value for _, value in self._points) / count
        spread = sum((time_s - mean_s) ** 2 for time_s, _ in self._points)
        slope = sum((time_s - mean_s) * (value - mean) for time_s, value in self._points) / spread
        return mean + slope * (now_s + horizon_s - mean_s)
