"""Sensors below /sys: thermal zones, hwmon chips, RAPL energy counters, processor clocks.

Layouts: the kernel's Documentation/ABI (sysfs-class-thermal, -hwmon, -powercap) and Documentation/cpu-freq.
Sensors are found once, by `sysfs_sensors`; one that vanishes later reads as NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import files
from .readings import Quality, Reading, Sensor, SensorError, unread

__all__ = ["CpuFreq", "HwmonTemperature", "PowerSensor", "Rapl", "ThermalZone", "TripPoints", "sysfs_sensors"]

# Outside of these a chip is broken, or a driver speaks another unit.
_COLDEST_C, _HOTTEST_C = -55.0, 200.0
_MOST_W = 2000.0
_FASTEST_HZ = 20e9


@dataclass(frozen=True)
class TripPoints:
    """Temperatures at which the kernel itself acts [degrees Celsius]; NaN where there is none.

    `passive_c`: it slows the processor down; `hot_c`: it warns; `critical_c`: it switches the machine off.
    """

    passive_c: float = math.nan
    hot_c: float = math.nan
    critical_c: float = math.nan


@dataclass
class ThermalZone:
    """One /sys/class/thermal/thermal_zone*."""

    path: Path
    name: str
    trips: TripPoints = field(default_factory=TripPoints)

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        return (_temperature(self.name, self.path / "temp", now_s),)


@dataclass
class HwmonTemperature:
    """One temp*_input of a hwmon chip; `trips` from its _max and _crit."""

    path: Path
    name: str
    trips: TripPoints = field(default_factory=TripPoints)

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        return (_temperature(self.name, self.path, now_s),)


@dataclass
class PowerSensor:
    """The power of one rail: a power*_input or _average [uW], or in*_input [mV] times curr*_input [mA]."""

    name: str
    paths: tuple[Path, ...]

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        source = " x ".join(map(str, self.paths))
        try:
            microwatt = math.prod(files.number(path) for path in self.paths)
        except SensorError as error:
            return (unread(self.name, "W", source, now_s, str(error)),)
        return (_within(self.name, microwatt * 1e-6, "W", source, now_s, 0.0, _MOST_W),)


@dataclass
class Current:
    """One curr*_input [mA]."""

    path: Path
    name: str

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            value_a = files.number(self.path) * 1e-3
        except SensorError as error:
            return (unread(self.name, "A", str(self.path), now_s, str(error)),)
        return (_within(self.name, value_a, "A", str(self.path), now_s, -1000.0, 1000.0),)


class Rapl:
    """One counter below /sys/class/powercap: energy since the first reading, mean power since the last.

    The counter wraps at `max_energy_range_uj`; one wrap between two readings is undone. More energy in
    between than `_MOST_W` allows is no wrap but a counter that was reset: it starts anew, and that interval
    has no power.
    """

    def __init__(self, path: Path, zone: str) -> None:
        self.path = path
        self._names = (f"energy/{zone}", f"power/{zone}")
        self._spent_j = 0.0
        self._last: tuple[int, float] | None = None  # counter [uJ], time [s]
        try:
            self._range_uj = files.number(path / "max_energy_range_uj")
        except SensorError:
            self._range_uj = 0  # never seen to wrap: a smaller count is then a reset

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def read(self, now_s: float) -> Sequence[Reading]:
        source = str(self.path / "energy_uj")
        energy, power = self._names
        try:
            counter_uj = files.number(source)
            if counter_uj < 0:
                raise SensorError(f"the counter is negative: {counter_uj}")
        except SensorError as error:
            reason = str(error)
            return unread(energy, "J", source, now_s, reason), unread(power, "W", source, now_s, reason)
        power_w, reason = self._advance(counter_uj, now_s)
        return (
            Reading(energy, self._spent_j, "J", source, Quality.MEASURED, now_s),
            unread(power, "W", source, now_s, reason)
            if reason
            else Reading(power, power_w, "W", source, Quality.MEASURED, now_s),
        )

    def _advance(self, counter_uj: int, now_s: float) -> tuple[float, str]:
        last, self._last = self._last, (counter_uj, now_s)
        if last is None:
            return math.nan, "power wants two readings; this is the first"
        gained_uj, passed_s = counter_uj - last[0], now_s - last[1]
        if gained_uj < 0:
            gained_uj += self._range_uj
        if passed_s <= 0:
            return math.nan, "no time has passed since the last reading"
        power_w = gained_uj * 1e-6 / passed_s
        if not 0 <= power_w <= _MOST_W:
            return math.nan, f"the counter went from {last[0]} to {counter_uj} uJ in {passed_s:.3g} s"
        self._spent_j += gained_uj * 1e-6
        return power_w, ""


@dataclass
class CpuFreq:
    """The present clock of one cpufreq policy (a group of cores that share a clock)."""

    path: Path
    name: str

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        source = self.path / "scaling_cur_freq"
        try:
            clock_hz = files.number(source) * 1e3
        except SensorError as error:
            return (unread(self.name, "Hz", str(source), now_s, str(error)),)
        return (_within(self.name, clock_hz, "Hz", str(source), now_s, 1.0, _FASTEST_HZ),)


def sysfs_sensors(root: Path | str = "/sys") -> list[Sensor]:
    """Every sensor below a sysfs root that this module knows; none on many a virtual machine or container."""
    root = Path(root)
    zones = _thermal_zones(root / "class/thermal")
    # The kernel shows every thermal zone as a hwmon chip of the same name once more.
    shown = {_chip_name(zone.path, "type").replace("-", "_") for zone in zones}
    sensors: list[Sensor] = [*zones]
    for chip in files.entries(root / "class/hwmon", "hwmon*"):
        sensors += _hwmon(chip, temperatures=_chip_name(chip, "name").replace("-", "_") not in shown)
    sensors += [Rapl(path, zone) for path, zone in _rapl_zones(root / "class/powercap")]
    for policy in files.entries(root / "devices/system/cpu/cpufreq", "policy*"):
        sensors.append(CpuFreq(policy, f"clock/{policy.name}"))
    return _with_unique_names(sensors)


def _thermal_zones(folder: Path) -> list[ThermalZone]:
    return [
        ThermalZone(path, f"temperature/{_chip_name(path, 'type')}", _trip_points(path))
        for path in files.entries(folder, "thermal_zone*")
    ]


def _trip_points(zone: Path) -> TripPoints:
    """The lowest trip point of each type; one that is unreadable or not set (0 or less) does not count."""
    found: dict[str, float] = {}
    for path in files.entries(zone, "trip_point_*_type"):
        try:
            kind = files.text(path, 64)
            value_c = files.number(path.with_name(path.name.replace("_type", "_temp"))) * 1e-3
        except SensorError:
            continue
        if 0 < value_c <= _HOTTEST_C:
            found[kind] = min(value_c, found.get(kind, math.inf))
    return TripPoints(*(found.get(kind, math.nan) for kind in ("passive", "hot", "critical")))


def _hwmon(chip: Path, temperatures: bool) -> list[Sensor]:
    name = _chip_name(chip, "name")
    sensors: list[Sensor] = []
    if temperatures:
        for path in files.entries(chip, "temp*_input"):
            trips = TripPoints(hot_c=_optional_c(path, "_max"), critical_c=_optional_c(path, "_crit"))
            sensors.append(HwmonTemperature(path, f"temperature/{name}/{_label(path)}", trips))
    powers = [*files.entries(chip, "power*_input")]
    powers += [
        path for path in files.entries(chip, "power*_average") if _sibling(path, "_input") not in powers
    ]
    sensors += [PowerSensor(f"power/{name}/{_label(path)}", (path,)) for path in powers]
    for current in files.entries(chip, "curr*_input"):
        sensors.append(Current(current, f"current/{name}/{_label(current)}"))
        # An INA3221 gives volts and amperes per rail and leaves the product to us.
        voltage = current.with_name(current.name.replace("curr", "in"))
        if not powers and voltage.exists():
            label = _label(voltage)
            sensors.append(
                PowerSensor(
                    f"power/{name}/{label if label != _stem(voltage) else _label(current)}",
                    (voltage, current),
                )
            )
    return sensors


def _rapl_zones(folder: Path) -> list[tuple[Path, str]]:
    """(folder, name) of each counter; a part of a package is named below it: "package-0/core"."""
    found = []
    for path in files.entries(folder, "*-rapl*:*"):
        if path.name.startswith("intel-rapl-mmio"):
            continue  # the same counter as intel-rapl's, through another door
        name = _chip_name(path, "name")
        pieces = path.name.split(":")
        if len(pieces) > 2:
            name = f"{_chip_name(path.with_name(':'.join(pieces[:2])), 'name')}/{name}"
        found.append((path, name))
    return found


def _chip_name(path: Path, file: str) -> str:
    """What a device calls itself; the name of its folder where it does not say."""
    try:
        return "_".join(files.text(path / file, 64).split())
    except SensorError:
        return path.name


def _label(path: Path) -> str:
    """What a channel is called: its _label file, else the channel itself ("temp1")."""
    try:
        return "_".join(files.text(_sibling(path, "_label"), 64).split())
    except SensorError:
        return _stem(path)


def _stem(path: Path) -> str:
    return path.name.rpartition("_")[0]


def _sibling(path: Path, ending: str) -> Path:
    return path.with_name(_stem(path) + ending)


def _optional_c(path: Path, ending: str) -> float:
    try:
        value_c = files.number(_sibling(path, ending)) * 1e-3
    except SensorError:
        return math.nan
    return value_c if 0 < value_c <= _HOTTEST_C else math.nan


def _temperature(name: str, path: Path, now_s: float) -> Reading:
    try:
        value_c = files.number(path) * 1e-3
    except SensorError as error:
        return unread(name, "C", str(path), now_s, str(error))
    return _within(name, value_c, "C", str(path), now_s, _COLDEST_C, _HOTTEST_C)


def _within(
    name: str, value: float, unit: str, source: str, now_s: float, low: float, high: float
) -> Reading:
    if not low <= value <= high:
        return unread(name, unit, source, now_s, f"{value:g} {unit} is not possible")
    return Reading(name, value, unit, source, Quality.MEASURED, now_s)


def _with_unique_names(sensors: list[Sensor]) -> list[Sensor]:
    """Two chips of one kind have the same name; the second becomes "name#2"."""
    seen: dict[str, int] = {}
    for sensor in sensors:
        if isinstance(sensor, Rapl):
            continue  # the kernel numbers them
        (name,) = sensor.names
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            sensor.name = f"{name}#{seen[name]}"  # type: ignore[attr-defined]
    return sensors
