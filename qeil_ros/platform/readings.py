"""One reading of one quantity, and what a sensor is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

__all__ = ["Quality", "Reading", "Sensor", "SensorError", "unread"]


class Quality(IntEnum):
    """What a value rests on; the numbers are those of InferenceResult.QUALITY_*."""

    NONE = 0
    MEASURED = 1
    MODELLED = 2
    REPLAYED = 3


class SensorError(Exception):
    """A sensor that could not be read; the message says why, for people."""


@dataclass(frozen=True)
class Reading:
    """A value at a time. A quantity that could not be read is NaN, of quality NONE, with the reason.

    Attributes:
        name: kind and instance, for example "temperature/cpu-thermal"; the kind decides the unit.
        value: in `unit`.
        unit: "C", "W", "J", "A", "V", "%", "Hz" or "" (a pure number).
        source: what was read, for example "/sys/class/thermal/thermal_zone0/temp".
        quality: measured, modelled or replayed.
        time_s: when, on the caller's monotonic clock [s].
        reason: why there is no value; empty where there is one.
    """

    name: str
    value: float
    unit: str
    source: str
    quality: Quality
    time_s: float
    reason: str = ""

    @property
    def good(self) -> bool:
        return math.isfinite(self.value)

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]


class Sensor(Protocol):
    """Something that gives one or more readings at a time, always under the same names."""

    @property
    def names(self) -> Sequence[str]:
        """The names of its readings, known before the first `read`."""
        ...

    def read(self, now_s: float) -> Sequence[Reading]:
        """Reads at the time `now_s`. Does not raise for what a machine can do: that is NaN with a reason."""
        ...


def unread(name: str, unit: str, source: str, now_s: float, reason: str) -> Reading:
    """The reading of something that could not be read."""
    return Reading(name, math.nan, unit, source, Quality.NONE, now_s, reason)
