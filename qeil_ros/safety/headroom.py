"""What each limit leaves of the load, ahead of time: the governor's and the planner's input."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qeil_ros.platform.readings import Reading

from .forecast import ZoneForecast
from .governor import Governor
from .limits import Finding, Level, Limit, concerned

__all__ = ["Allowance", "Budget", "Load", "Lookahead", "allowances", "budget", "load_of", "margin_c"]


@dataclass(frozen=True)
class Load:
    """What heats the robot: its power, or where that is not known its busy cores times their clock.

    Attributes:
        name: what it is; empty where nothing is known. Values under different names are not comparable.
        value: in watts, or in busy cores (times GHz); NaN where nothing is known.
    """

    name: str = ""
    value: float = math.nan

    @property
    def in_watts(self) -> bool:
        return self.name == "power/total"


_PROCESSOR_CLOCKS = ("clock/policy", "clock/cpu")


def load_of(readings: Iterable[Reading]) -> Load:
    """The load of a sample, "power/total" among it where it is known."""
    found = {reading.name: reading.value for reading in readings if reading.good}
    if "power/total" in found:
        return Load("power/total", found["power/total"])
    if "cpu/busy_cores" not in found:
        return Load()
    clocks_hz = [value for name, value in found.items() if name.startswith(_PROCESSOR_CLOCKS)]
    if not clocks_hz:
        return Load("cpu/busy_cores", found["cpu/busy_cores"])
    mean_ghz = sum(clocks_hz) / len(clocks_hz) * 1e-9
    return Load("cpu/busy_cores x clock", found["cpu/busy_cores"] * mean_ghz)


@dataclass(frozen=True)
class Lookahead:
    """How far ahead, and how near to a limit.

    Attributes:
        lookahead_s: a temperature may reach its target in that time at the earliest [s]; the shorter, the
            more of the heat capacity is used, the longer, the gentler.
        horizon_s: for zones whose model is not identified: how far their trend is believed [s].
        margin_c: the target lies that far below the throttle threshold, or further where the forecasts of
            late were off by more than half of that [K].
    """

    lookahead_s: float = 60.0
    horizon_s: float = 10.0
    margin_c: float = 1.0


@dataclass(frozen=True)
class Allowance:
    """What one limit leaves: a share of the full frame rate, and why it is not all."""

    share: float
    finding: Finding | None = None


@dataclass(frozen=True)
class Budget:
    """What a planner may use, for its `Readings`; inf where nothing is limited.

    Attributes:
        power_w: of the whole machine, now [W].
        headroom_c: how much hotter the zone that is nearest to its limit may become in the end, with the load
            as it is [K]; below 0: it is heading past its target.
        c_per_w: what a watt heats that zone by [K/W]; 0: not identified.
        energy_left_j: of budget and battery [J].
        time_left_s: until the mission's end [s].
    """

    power_w: float = math.inf
    headroom_c: float = math.inf
    c_per_w: float = 0.0
    energy_left_j: float = math.inf
    time_left_s: float = math.inf


def margin_c(limit: Limit, zone: ZoneForecast, ahead: Lookahead) -> float:
    """How far below its threshold a temperature is to stay [K]: four times what forecasts typically miss by.

    Of normal errors, the sensor's noise among them, about 1 in 300 is larger than that on the wrong side.
    """
    gap_c = limit.throttle - limit.warning
    most_c = gap_c if math.isfinite(gap_c) and gap_c > ahead.margin_c else max(5.0, ahead.margin_c)
    error_c = zone.error_c
    return min(most_c, max(ahead.margin_c, 0.0 if math.isnan(error_c) else 4.0 * error_c))


def threshold(limit: Limit) -> float:
    """The value that must not be reached: the throttle threshold, else the nearest that is set."""
    for value in (limit.throttle, limit.critical, limit.warning):
        if not math.isnan(value):
            return value
    return math.nan


def allowances(
    limits: Sequence[Limit],
    readings: Sequence[Reading],
    zones: Mapping[str, ZoneForecast],
    governor: Governor,
    ahead: Lookahead,
    load: Load,
    now_s: float,
) -> list[Allowance]:
    """What each limit leaves at present; limits that leave everything are not listed.

    Power, energy over time, and temperatures with an identified model tell the load that is permitted. For
    others the share falls in a straight line from the warning to the throttle threshold; for temperatures
    it is that of the trend's forecast, where it is the higher.
    """
    in_watts = load.in_watts
    allowed_w = next((r.value for r in readings if r.name == "power/allowed" and r.good), math.nan)
    found = []
    for limit, matching in concerned(limits, readings):
        for reading in matching:
            if not reading.good:
                continue
            zone = zones.get(reading.name)
            if zone is not None:
                found.append(_heat(limit, reading, zone, governor, ahead, now_s))
            elif reading.name == "power/total" and in_watts:
                most_w = threshold(limit) - limit.release
                found.append(_load(governor, most_w, reading, f"at most {most_w:.4g} W are permitted"))
            elif not (reading.name == "energy/left" and not math.isnan(allowed_w)):
                found.append(_band(limit, reading, reading.value))
    if not math.isnan(allowed_w) and in_watts:
        power = next(reading for reading in readings if reading.name == "power/total")
        reason = f"the energy left allows {allowed_w:.4g} W until the end"
        found.append(_load(governor, allowed_w, power, reason))
    return [allowance for allowance in found if allowance.share < 1.0]


def _heat(
    limit: Limit,
    reading: Reading,
    zone: ZoneForecast,
    governor: Governor,
    ahead: Lookahead,
    now_s: float,
) -> Allowance:
    if not zone.identified:
        trend_c, _ = zone.forecast_c(ahead.horizon_s, now_s)
        return _band(limit, reading, max(reading.value, trend_c) if trend_c == trend_c else reading.value)
    target_c = threshold(limit) - margin_c(limit, zone, ahead)
    most = zone.model.most_load(target_c, ahead.lookahead_s)
    heading_c = zone.model.equilibrium_c()
    return _load(
        governor, most, reading, f"heading for {heading_c:.1f} C at this load, kept below {target_c:.1f} C"
    )


def _load(governor: Governor, most_load: float, reading: Reading, why: str) -> Allowance:
    return _allowance(governor.share_for(most_load), reading, why)


def _band(limit: Limit, reading: Reading, value: float) -> Allowance:
    why = f"{value:.4g} {reading.unit} ahead, its limit is {threshold(limit):.4g} {reading.unit}"
    return _allowance(1.0 - limit.exposure(value), reading, why)


def _allowance(share: float, reading: Reading, why: str) -> Allowance:
    unit = f" {reading.unit}" if reading.unit else ""
    return Allowance(
        share, Finding(Level.WARNING, reading.name, f"{reading.name} {reading.value:.4g}{unit}: {why}")
    )


def budget(
    limits: Sequence[Limit],
    readings: Sequence[Reading],
    zones: Mapping[str, ZoneForecast],
    ahead: Lookahead,
    load: Load,
    time_left_s: float,
) -> Budget:
    """What a planner may use; see `Budget`."""
    good = [reading for reading in readings if reading.good]
    values = {reading.name: reading.value for reading in good}
    in_watts = load.in_watts
    power_w = values.get("power/allowed", math.inf)
    headroom_c, c_per_w = math.inf, 0.0
    for limit, matching in concerned(limits, good):
        for reading in matching:
            if reading.name == "power/total":
                power_w = min(power_w, threshold(limit) - limit.release)
            if (zone := zones.get(reading.name)) is None:
                continue
            target_c = threshold(limit) - margin_c(limit, zone, ahead)
            known = in_watts and zone.identified
            if known:
                power_w = min(power_w, max(0.0, zone.model.most_load(target_c, ahead.lookahead_s)))
            left_c = target_c - (zone.model.equilibrium_c() if known else reading.value)
            if left_c < headroom_c:
                headroom_c, c_per_w = left_c, zone.model.gain if known else 0.0
    return Budget(power_w, headroom_c, c_per_w, values.get("energy/left", math.inf), time_left_s)
