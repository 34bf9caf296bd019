"""Where a temperature is heading, and how far such forecasts were off."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from .thermal import ThermalModel

__all__ = ["Method", "PastError", "Trend", "ZoneForecast"]


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
        sum_s = total = square = product = 0.0
        for time_s, value in self._points:
            ago_s = time_s - now_s  # small numbers: a monotonic clock may be at days
            sum_s += ago_s
            total += value
            square += ago_s * ago_s
            product += ago_s * value
        slope = (product - sum_s * total / count) / (square - sum_s * sum_s / count)
        return total / count + slope * (horizon_s - sum_s / count)


class PastError:
    """Forecasts kept until their time has come, then compared with what came.

    Args:
        every_s: one forecast is kept in that time [s].
        most: errors kept, the latest ones.
        gap_s: what came is interpolated between two values; not over a gap longer than this [s].
    """

    def __init__(self, every_s: float = 1.0, most: int = 120, gap_s: float = 30.0) -> None:
        self._every_s, self._gap_s = every_s, gap_s
        self._due: deque[tuple[float, float]] = deque(maxlen=1024)  # time [s], forecast
        self._errors: deque[float] = deque(maxlen=most)
        self._last: tuple[float, float] | None = None
        self._kept_s = -math.inf
        self._typical = math.nan

    @property
    def typical(self) -> float:
        """The median of the absolute errors; NaN before the first forecast came due."""
        return self._typical

    def worst(self) -> float:
        """The largest of the absolute errors; NaN before the first."""
        return max(self._errors, default=math.nan)

    def came(self, value: float, now_s: float) -> list[float]:
        """What is measured now; the errors (forecast less measured) of forecasts that came due by now."""
        if not math.isfinite(value):
            return []
        last, self._last = self._last, (now_s, value)
        errors = []
        while self._due and self._due[0][0] <= now_s:
            due_s, forecast = self._due.popleft()
            if last is None or now_s - last[0] > self._gap_s or due_s < last[0]:
                continue
            share = (due_s - last[0]) / (now_s - last[0]) if now_s > last[0] else 1.0
            errors.append(forecast - (last[1] + share * (value - last[1])))
        if errors:
            self._errors.extend(map(abs, errors))
            ordered = sorted(self._errors)
            self._typical = ordered[(len(ordered) - 1) // 2]
        return errors

    def due(self, now_s: float) -> bool:
        """Whether a forecast would be kept now."""
        return now_s - self._kept_s >= self._every_s

    def keep(self, forecast: float, horizon_s: float, now_s: float) -> None:
        """A forecast made now for `horizon_s` ahead."""
        if math.isfinite(forecast) and self.due(now_s):
            self._kept_s = now_s
            self._due.append((now_s + horizon_s, forecast))


class Method(str, Enum):
    """What a forecast rests on."""

    NONE = ""
    TREND = "trend"
    MODEL = "model"


class ZoneForecast:
    """One temperature: the thermal model and the trend, of which the one is believed that was nearer of late.

    Without a load that is known there is only the trend.

    Args:
        horizon_s: for which past errors are kept [s].
    """

    def __init__(self, horizon_s: float) -> None:
        self.horizon_s = horizon_s
        self.model = ThermalModel()
        self.trend = Trend()
        self._model_error, self._trend_error = PastError(), PastError()
        self._load_name = ""
        self._loaded = False

    def add(self, temperature_c: float, load: float, load_name: str, now_s: float) -> None:
        """A temperature, and the load of the time before it, in units that `load_name` stands for."""
        if load_name and load_name != self._load_name:  # another unit: what was learnt means nothing now
            self.model, self._model_error = ThermalModel(), PastError()
            self._load_name = load_name
        self._loaded = math.isfinite(load)
        self.trend.add(temperature_c, now_s)
        self.model.add(temperature_c, load, now_s)
        for error in (self._model_error, self._trend_error):
            error.came(temperature_c, now_s)
        if self._loaded:
            self._model_error.keep(self.model.forecast_c(self.horizon_s), self.horizon_s, now_s)
        if self._trend_error.due(now_s):
            self._trend_error.keep(self.trend.forecast(self.horizon_s, now_s), self.horizon_s, now_s)

    @property
    def identified(self) -> bool:
        """Whether the model can tell what another load would lead to."""
        return self._loaded and self.model.identified

    @property
    def error_c(self) -> float:
        """The median error of the past forecasts of the one that is believed [K]; NaN before the first."""
        return (self._model_error if self._by_model() else self._trend_error).typical

    def forecast_c(self, horizon_s: float, now_s: float) -> tuple[float, Method]:
        """The temperature then if the load stays as it is; NaN with too little to go by."""
        if self._by_model():
            return self.model.forecast_c(horizon_s), Method.MODEL
        ahead_c = self.trend.forecast(horizon_s, now_s)
        return ahead_c, Method.NONE if math.isnan(ahead_c) else Method.TREND

    def _by_model(self) -> bool:
        if not self._loaded:
            return False
        return not self._model_error.typical > self._trend_error.typical
