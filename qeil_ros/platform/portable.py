"""What psutil knows where /sys and /proc say nothing: a virtual machine's clock, systems but Linux."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import psutil

from .readings import Quality, Reading, unit_of, unread

__all__ = ["PsutilSensor", "psutil_sensors"]

_NOTHING = "psutil has no value"


class PsutilSensor:
    """One reading by a function of psutil.

    Args:
        name: of the reading.
        function: of psutil, as it is called there; names the source.
        value: what of it is the reading; NaN where it says nothing.
        every_s: how long a value is good for [s]: what psutil does at each call may be dear.
    """

    def __init__(self, name: str, function: str, value: Callable[[], float], every_s: float = 0.0) -> None:
        self.name = name
        self.source = f"psutil.{function}"
        self._value = value
        self._every_s = every_s
        self._last: tuple[float, float] | None = None  # time [s], value

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        name, unit = self.name, unit_of(self.name)
        if self._last is None or not 0 <= now_s - self._last[0] < self._every_s:
            try:
                self._last = (now_s, self._value())
            except (psutil.Error, OSError, RuntimeError) as error:
                return (unread(name, unit, self.source, now_s, str(error) or _NOTHING),)
        read_s, value = self._last
        if not math.isfinite(value):
            return (unread(name, unit, self.source, now_s, _NOTHING),)
        return (Reading(name, value, unit, self.source, Quality.MEASURED, read_s),)


def psutil_sensors(without: Collection[str] = ()) -> list[PsutilSensor]:
    """A sensor for each of clock, processor use, memory and battery that is not among the kinds `without`."""
    found = []
    if "clock" not in without and math.isfinite(_clock_hz()):
        # On Linux without cpufreq it reads all of /proc/cpuinfo, which interrupts every core.
        found.append(PsutilSensor("clock/cpu", "cpu_freq", _clock_hz, 5.0))
    if "cpu" not in without:
        found.append(PsutilSensor("cpu/use", "cpu_percent", lambda: float(psutil.cpu_percent())))
    if "memory" not in without:
        found.append(
            PsutilSensor("memory/used", "virtual_memory", lambda: float(psutil.virtual_memory().percent))
        )
    if "battery" not in without and math.isfinite(_charge()):
        found.append(PsutilSensor("battery/charge", "sensors_battery", _charge, 5.0))
    return found


def _clock_hz() -> float:
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return frequency.current * 1e6 if frequency and frequency.current > 0 else math.nan


def _charge() -> float:
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return float(battery.percent) if battery else math.nan
