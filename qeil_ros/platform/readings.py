"""One reading of one quantity, and what a sensor is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple, Protocol

__all__ = [
    "Quality",
    "Reading",
    "Sensor",
    "SensorError",
    "TripPoints",
    "measure",
    "trip_points",
    "unit_of",
    "unread",
]

_UNITS = {
    "temperature": "C",
    "power": "W",
    "energy": "J",
    "current": "A",
    "voltage": "V",
    "clock": "Hz",
    "cpu": "%",
    "cpu/busy_cores": "",
    "gpu": "%",
    "memory": "%",
    "memory/available": "B",
    "process": "%",
    "pressure": "%",
    "battery": "%",
    "network": "B/s",
    "signal": "dBm",
    "fan": "rpm",
}


class Quality(IntEnum):
    """What a value rests on; the numbers are those of InferenceResult.QUALITY_*."""

    NONE = 0
    MEASURED = 1
    MODELLED = 2
    REPLAYED = 3


class SensorError(Exception):
    """A sensor that could not be read; the message says why, for people."""


class Reading(NamedTuple):
    """A value at a time. A quantity that could not be read is NaN, of quality NONE, with the reason.

    Attributes:
        name: kind and instance, for example "temperature/cpu-thermal"; the kind decides the unit.
        value: in `unit`.
        unit: "C", "W", "J", "A", "V", "%", "Hz", "B", "B/s", "dBm", "rpm" or "" (a pure number).
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
    """Something that gives one or more readings at a time, always under the same names.

    A sensor may hold files or a connection open; one that does has `close()`, and is not read after it.
    One that knows at which temperatures the machine itself acts has `trips`, by the names of its readings.
    One whose values tell nothing more if they are read more often has `every_s`, the time between them [s].
    """

    @property
    def names(self) -> Sequence[str]:
        """The names of its readings, known before the first `read`."""
        ...

    def read(self, now_s: float) -> Sequence[Reading]:
        """Reads at the time `now_s`. Does not raise for what a machine can do: that is NaN with a reason."""
        ...


@dataclass(frozen=True)
class TripPoints:
    """Temperatures at which the kernel itself acts [degrees Celsius]; NaN where there is none.

    `passive_c`: it slows the processor down; `hot_c`: it warns; `critical_c`: it switches the machine off.
    """

    passive_c: float = math.nan
    hot_c: float = math.nan
    critical_c: float = math.nan


def trip_points(sensors: Iterable[Sensor]) -> dict[str, TripPoints]:
    """The trip points of all sensors that have any, by the names of their readings."""
    found: dict[str, TripPoints] = {}
    for sensor in sensors:
        trips: Mapping[str, TripPoints] = getattr(sensor, "trips", {})
        found.update(trips)
    return found


def measure(name: str, source: str, now_s: float, value: Callable[[], float]) -> Reading:
    """The reading of what `value` gives; the reason where it raises a SensorError."""
    try:
        return Reading(name, value(), unit_of(name), source, Quality.MEASURED, now_s)
    except SensorError as error:
        return unread(name, unit_of(name), source, now_s, str(error))


def unread(name: str, unit: str, source: str, now_s: float, reason: str) -> Reading:
    """The reading of something that could not be read."""
    return Reading(name, math.nan, unit, source, Quality.NONE, now_s, reason)


@cache
def unit_of(name: str) -> str:
    """The unit of the readings of that name."""
    return _UNITS.get(name, _UNITS.get(name.partition("/")[0], ""))
