"""Limits on readings: how near each is, and what a sensor that has died counts for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from glob import escape

from qeil_ros.platform.readings import Reading, TripPoints

__all__ = [
    "CEILING",
    "Finding",
    "Level",
    "Limit",
    "LimitWatch",
    "battery_limit",
    "budget_limit",
    "ceiling_c",
    "concerned",
    "findings",
    "memory_limit",
    "power_limit",
    "temperature_limit",
    "worst",
]

CEILING = 0.85
"""Share of the critical trip point that a temperature may reach; see `ceiling_c`."""


class Level(IntEnum):
    """How near a limit is. What each level permits is `permit.Caps`' to say."""

    CLEAR = 0
    WARNING = 1
    THROTTLE = 2
    CRITICAL = 3


@dataclass(frozen=True)
class Limit:
    """Thresholds on all readings whose name matches; NaN where a level has none.

    Attributes:
        pattern: of reading names, as a shell has it: "temperature/*".
        release: a level once reached holds until the value is this far on the good side of its threshold.
        falling: the danger lies below the thresholds (energy left), not above (temperature).
    """

    pattern: str
    warning: float = math.nan
    throttle: float = math.nan
    critical: float = math.nan
    release: float = 0.0
    falling: bool = False

    def __post_init__(self) -> None:
        sign = -1 if self.falling else 1
        given = [sign * value for value in self.thresholds if not math.isnan(value)]
        if given != sorted(given):
            order = ">=" if self.falling else "<="
            raise ValueError(
                f"limit on {self.pattern}: {self.thresholds}; want warning {order} throttle {order} critical"
            )
        if not self.release >= 0:
            raise ValueError(f"limit on {self.pattern}: release is {self.release}; want 0 or more")

    @property
    def thresholds(self) -> tuple[float, float, float]:
        return (self.warning, self.throttle, self.critical)

    @cached_property
    def set(self) -> bool:
        return not all(math.isnan(value) for value in self.thresholds)

    def concerns(self, reading: Reading) -> bool:
        return fnmatchcase(reading.name, self.pattern) and self.set

    def exposure(self, value: float) -> float:
        """How far a value is on the way from the warning to the throttle threshold, 0 to 1; NaN for NaN.

        Where only one of the two is set there is no way between them: 0 before it, 1 from there on.
        """
        if math.isnan(value):
            return math.nan
        sign = -1 if self.falling else 1
        warning, throttle = sign * self.warning, sign * self.throttle
        if math.isnan(throttle):
            throttle = sign * self.critical
        if math.isnan(warning) or warning >= throttle:
            return float(sign * value >= throttle)
        if math.isnan(throttle):
            return 0.0
        return min(1.0, max(0.0, (sign * value - warning) / (throttle - warning)))

    def level(self, value: float, held: Level = Level.CLEAR) -> Level:
        """The level of a value; `held` is the level in force so far, kept until the value is clear of it."""
        sign = -1 if self.falling else 1
        level = Level.CLEAR
        for candidate, threshold in zip(
            (Level.WARNING, Level.THROTTLE, Level.CRITICAL), self.thresholds, strict=True
        ):
            slack = self.release if held >= candidate else 0.0
            if not math.isnan(threshold) and sign * value >= sign * threshold - slack:
                level = candidate
        return level


def concerned(limits: Iterable[Limit], readings: Sequence[Reading]) -> Iterator[tuple[Limit, list[Reading]]]:
    """Each limit that is set with the readings that it is for; often none, where its pattern matches none."""
    limits = [limit for limit in limits if limit.set]
    found = _matches(tuple(limit.pattern for limit in limits), tuple(reading.name for reading in readings))
    for limit, places in zip(limits, found, strict=True):
        yield limit, [readings[place] for place in places]


@lru_cache(maxsize=64)  # a robot has few sets of limits and of readings, and asks four times a sample
def _matches(patterns: tuple[str, ...], names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """For each pattern the places of the names that match it."""
    return tuple(
        tuple(place for place, name in enumerate(names) if fnmatchcase(name, pattern)) for pattern in patterns
    )


@dataclass(frozen=True)
class Finding:
    """One reading that is at or past a threshold, or that cannot be read any more."""

    level: Level
    name: str
    reason: str


def findings(limits: Iterable[Limit], readings: Sequence[Reading]) -> list[Finding]:
    """What stands out in one sample, without memory and without hysteresis; worst first."""
    found = [
        _finding(limit, reading, level)
        for limit, matching in concerned(limits, readings)
        for reading in matching
        if reading.good and (level := limit.level(reading.value))
    ]
    return sorted(found, key=lambda finding: -finding.level)


def worst(found: Iterable[Finding]) -> Level:
    return max((finding.level for finding in found), default=Level.CLEAR)


class LimitWatch:
    """The limits over time: with hysteresis, and with an eye on sensors that die.

    A sensor that once gave values and has given none for `grace_s` counts as one at its throttle threshold:
    the worst that can be assumed without stopping the robot for a loose wire. So does a limit for which
    nothing has ever given a value within `blind_s` (a battery's topic may take its time); it is listed in
    `blind` from the beginning.
    """

    def __init__(self, limits: Iterable[Limit], grace_s: float = 1.0, blind_s: float = 5.0) -> None:
        self.set_limits(limits)
        self.grace_s, self.blind_s = grace_s, blind_s
        self.blind: list[str] = []
        """Patterns of limits that nothing readable has matched so far."""
        self._blind_since_s: dict[str, float] = {}
        self._held: dict[tuple[str, str], Level] = {}  # pattern and reading name
        self._good_s: dict[str, float] = {}

    def set_limits(self, limits: Iterable[Limit]) -> None:
        """Other limits from now on; what is held on the same readings stays held until they are clear."""
        self.limits = [limit for limit in limits if limit.set]

    def update(self, readings: Sequence[Reading], now_s: float) -> list[Finding]:
        """What stands out, worst first."""
        found: list[Finding] = []
        blind = []
        for limit, matching in concerned(self.limits, readings):
            found += filter(None, (self._judge(limit, reading, now_s) for reading in matching))
            if not any(reading.name in self._good_s for reading in matching):
                blind.append(limit.pattern)
        self.blind = blind
        self._blind_since_s = {pattern: self._blind_since_s.get(pattern, now_s) for pattern in blind}
        for pattern, since_s in self._blind_since_s.items():
            if now_s - since_s >= self.blind_s:
                reason = (
                    f"nothing readable stands for the limit on {pattern}; after {self.blind_s:g} s it is "
                    "taken to be reached: fit a sensor for it, or remove the limit"
                )
                found.append(Finding(Level.THROTTLE, pattern, reason))
        return sorted(found, key=lambda finding: -finding.level)

    def _judge(self, limit: Limit, reading: Reading, now_s: float) -> Finding | None:
        key = (limit.pattern, reading.name)
        held = self._held.get(key, Level.CLEAR)
        if reading.good:
            self._good_s[reading.name] = now_s
            level = self._held[key] = limit.level(reading.value, held)
            return _finding(limit, reading, level) if level else None
        seen_s = self._good_s.get(reading.name)
        if seen_s is None:
            return None
        if now_s - seen_s < self.grace_s:
            return Finding(held, reading.name, f"{reading.name} cannot be read at present") if held else None
        level = self._held[key] = max(held, Level.THROTTLE)
        return Finding(
            level,
            reading.name,
            f"{reading.name} has given no value for {now_s - seen_s:.0f} s ({reading.reason}); "
            "taken to be at its limit",
        )


def ceiling_c(trips: TripPoints) -> float:
    """The temperature up to which a device may be worked [degrees Celsius]; NaN where no trip point says.

    85 % of the critical trip point, where the hardware switches itself off, in degrees Celsius; lower where
    the kernel steps in earlier, at the passive one. The 85 % are the safety layer's of QEIL (arXiv 2602.06057
    v2), which does not say of which temperature: this reading of it is ours.
    """
    known = [value for value in (trips.passive_c, CEILING * trips.critical_c) if not math.isnan(value)]
    return min(known, default=math.nan)


def temperature_limit(name: str, trips: TripPoints, release_c: float = 3.0) -> Limit:
    """A limit for one temperature from the trip points that the machine itself has set.

    Throttle lies at the ceiling (`ceiling_c`), warning 5 degrees below it, critical 5 degrees below the point
    where the machine would switch itself off. No limit where there are no trip points.
    """
    throttle_c = ceiling_c(trips)
    critical_c = trips.critical_c - 5.0
    if critical_c < throttle_c:  # a trip point so low that 5 degrees are more than 15 %
        throttle_c = critical_c
    return Limit(escape(name), throttle_c - 5.0, throttle_c, critical_c, release_c)


def power_limit(power_w: float) -> Limit:
    """A limit on the machine's power; warning at nine tenths of it. It has no critical level."""
    return Limit("power/total", 0.9 * power_w, power_w, release=0.05 * power_w)


def memory_limit(percent: float) -> Limit:
    """A limit on the memory in use; warning 5 percent points before it. It has no critical level."""
    return Limit("memory/used", max(0.0, percent - 5.0), percent, release=2.0)


def budget_limit(budget_j: float) -> Limit:
    """A limit on the energy that is left: warning at a fifth, throttle at a tenth, critical when spent."""
    return Limit("energy/left", 0.2 * budget_j, 0.1 * budget_j, 0.0, falling=True)


def battery_limit(floor_percent: float) -> Limit:
    """A limit on every battery's charge: critical at its floor, throttle 5 points above, warning 10."""
    return Limit(
        "battery/charge*", floor_percent + 10.0, floor_percent + 5.0, floor_percent, release=1.0, falling=True
    )


def _finding(limit: Limit, reading: Reading, level: Level) -> Finding:
    threshold = limit.thresholds[level - 1]
    side = "below" if limit.falling else "over"
    unit = f" {reading.unit}" if reading.unit else ""
    # A level that only hysteresis still holds has a value on the good side of its threshold.
    passed = reading.value <= threshold if limit.falling else reading.value >= threshold
    word = (
        f"{side} its {level.name.lower()} limit of"
        if passed
        else f"not yet clear of its {level.name.lower()} limit"
    )
    return Finding(
        level, reading.name, f"{reading.name} {reading.value:.4g}{unit} {word} {threshold:.4g}{unit}"
    )
