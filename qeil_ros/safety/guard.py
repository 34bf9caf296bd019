"""From one sample of readings to one verdict: energy, forecast, limits, mode, permitted operating point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from qeil_ros.platform.power import total_power
from qeil_ros.platform.readings import Reading

from .forecast import EnergyMeter, Trend
from .limits import Limit, LimitWatch
from .link import Link
from .modes import Decision, ModeMachine, restrict
from .permit import Caps, OperatingPoint, permit

__all__ = ["Forecast", "Guard", "GuardConfig", "Verdict"]


@dataclass(frozen=True)
class GuardConfig:
    """
    Attributes:
        limits: on readings, and on "power/total", "energy/spent" and "energy/left", which the guard adds.
        caps: what each level permits.
        dwell_s: how long a limit must have been clear before its level falls by one [s].
        link_dwell_s: how long the link must have been better before the mode follows [s].
        energy_budget_j: energy that may be spent from the beginning [J]; 0: no budget.
        power_pattern: readings that add up to the machine's power; empty: the best known.
        horizon_s: how far forecasts look ahead [s].
    """

    limits: tuple[Limit, ...] = ()
    caps: Caps = field(default_factory=Caps)
    dwell_s: float = 5.0
    link_dwell_s: float = 0.5
    energy_budget_j: float = 0.0
    power_pattern: str = ""
    horizon_s: float = 10.0


@dataclass(frozen=True)
class Forecast:
    """What is ahead at `horizon_s`; NaN where nothing can be said.

    `temperature_c`: of the zone that will be hottest; `energy_j`: spent from now until then at the present
    power; `energy_left_j`: of the budget, now.
    """

    horizon_s: float
    temperature_c: float = math.nan
    energy_j: float = math.nan
    energy_left_j: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """The decision, the operating point that holds, the readings it rests on, limits nobody can watch."""

    decision: Decision
    point: OperatingPoint
    readings: tuple[Reading, ...]
    forecast: Forecast
    blind: tuple[str, ...]


class Guard:
    """Keeps what must be remembered between samples. Times must not run backwards."""

    def __init__(self, config: GuardConfig) -> None:
        self._config = config
        self._energy = EnergyMeter()
        self._trends: dict[str, Trend] = {}
        self._watch = LimitWatch(config.limits)
        self._modes = ModeMachine(config.dwell_s, config.link_dwell_s)

    def configure(self, config: GuardConfig) -> None:
        """Another configuration from now on; what was spent, and levels in force, stay."""
        self._config = config
        self._watch.set_limits(config.limits)
        self._modes.set_dwell(config.dwell_s, config.link_dwell_s)

    def reset_energy(self) -> None:
        """The budget begins anew."""
        self._energy = EnergyMeter()

    def step(
        self,
        asked: OperatingPoint,
        sample: Sequence[Reading],
        link: Link,
        link_reason: str,
        now_s: float,
    ) -> Verdict:
        """The point that is permitted instead of the one `asked` for, given a sample taken at `now_s`."""
        config = self._config
        power = total_power(sample, config.power_pattern)
        self._energy.add(power)
        readings = (*sample, power, *self._energy.readings(config.energy_budget_j, now_s))
        found = self._watch.update(readings, now_s)
        decision = self._modes.update(found, link, link_reason, now_s)
        wanted = restrict(asked, decision, config.caps)
        point, reasons = permit(wanted, readings, config.limits, config.caps)
        return Verdict(
            decision,
            _explained(point, asked, (*decision.reasons, *reasons)),
            readings,
            self._forecast(readings, power, now_s),
            tuple(self._watch.blind),
        )

    def _forecast(self, readings: Sequence[Reading], power: Reading, now_s: float) -> Forecast:
        horizon_s = self._config.horizon_s
        hottest_c = math.nan
        for reading in readings:
            if reading.kind == "temperature":
                trend = self._trends.setdefault(reading.name, Trend())
                trend.add(reading.value, now_s)
                ahead_c = trend.forecast(horizon_s, now_s)
                if math.isnan(hottest_c) or ahead_c > hottest_c:
                    hottest_c = ahead_c
        left = next((reading.value for reading in readings if reading.name == "energy/left"), math.nan)
        return Forecast(horizon_s, hottest_c, power.value * horizon_s, left)


def _explained(point: OperatingPoint, asked: OperatingPoint, reasons: Sequence[str]) -> OperatingPoint:
    """The point with a reason for people: what was asked for, or why it is less."""
    if point == asked or not reasons:
        return point
    return OperatingPoint(**{**vars(point), "reason": "; ".join(dict.fromkeys(reasons))})
