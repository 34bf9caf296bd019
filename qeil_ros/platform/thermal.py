"""Thermometers below /sys: thermal zones, and the temperature channels of hwmon chips.

Layouts: Documentation/ABI/testing/sysfs-class-thermal and sysfs-class-hwmon of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from . import files
from .gauge import Gauge
from .readings import SensorError, TripPoints

__all__ = ["HwmonTemperature", "ThermalZone", "Thermometer"]

_COLDEST_C, _HOTTEST_C = -55.0, 200.0
_WHOLE_DEGREES = range(10, 151)


class Thermometer(Gauge):
    """A file of thousandths of a degree; `trip` are the points at which the machine itself acts."""

    def __init__(self, name: str, path: Path, trip: TripPoints) -> None:
        super().__init__(name, path, 1e-3, _COLDEST_C, _HOTTEST_C)
        self.trip = trip

    @property
    def trips(self) -> Mapping[str, TripPoints]:
        return {self.name: self.trip}

    def _scaled(self, number: int) -> float:
        # A die at 0.01 to 0.15 degrees is rarer than a driver that speaks whole degrees.
        if number in _WHOLE_DEGREES:
            raise SensorError(f"says {number}: whole degrees, it seems, where thousandths are due")
        return super()._scaled(number)


class ThermalZone(Thermometer):
    """One /sys/class/thermal/thermal_zone*."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name, folder / "temp", _zone_trips(folder))


class HwmonTemperature(Thermometer):
    """One temp*_input of a hwmon chip, with the trip points from its _max and _crit."""

    def __init__(self, path: Path, name: str) -> None:
        stem = path.name.rpartition("_")[0]
        hot, critical = (_degrees(path.with_name(stem + ending)) for ending in ("_max", "_crit"))
        super().__init__(name, path, TripPoints(hot_c=hot, critical_c=critical))


def _zone_trips(zone: Path) -> TripPoints:
    """The lowest trip point of each type; one that is unreadable or not set (0 or less) does not count."""
    found: dict[str, float] = {}
    for path in files.entries(zone, "trip_point_*_type"):
        try:
            kind = files.text(path, 64)
        except SensorError:
            continue  # a trip point of unknown type limits nothing
        value_c = _degrees(path.with_name(path.name.replace("_type", "_temp")))
        if not math.isnan(value_c):
            found[kind] = min(value_c, found.get(kind, math.inf))
    return TripPoints(*(found.get(kind, math.nan) for kind in ("passive", "hot", "critical")))


def _degrees(path: Path) -> float:
    """A threshold [C]; NaN where there is none: drivers say 0, -274 degrees or a huge number for that."""
    value_c = (files.optional(path) or 0) * 1e-3
    return value_c if 0 < value_c <= _HOTTEST_C else math.nan
