"""Joules of a piece of work: read the meter before it and after it. The machine's best source comes first.

Counters of energy, then the integral of sampled power, then processor time times a core's power. What is
metered is the whole machine where a counter or a power sensor says it, and this process alone where
processor time does: `source` tells which.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from .discovery import discover
from .power import total_power
from .readings import Quality, Reading, Sensor

__all__ = ["CounterMeter", "Meter", "PowerMeter", "ProcessorTimeMeter", "SumMeter", "energy_meter"]

# One of the first, with every graphics processor's: a platform's counter leaves out cards with their own.
_PROCESSORS = ("energy/psys", "energy/package-*")
_CARDS = "energy/gpu*"


class Meter(Protocol):
    """Energy spent since some moment of its own: differences count."""

    source: str
    """What it rests on, for people."""
    quality: Quality

    def read(self) -> float:
        """Joules so far; NaN: it cannot be read at present."""
        ...

    def close(self) -> None: ...


class _OfSensors:
    """A meter that reads sensors, which it closes."""

    def __init__(self, sensors: Sequence[Sensor], clock: Callable[[], float] = time.monotonic) -> None:
        self.sensors, self._clock = list(sensors), clock

    def readings(self) -> list[Reading]:
        now_s = self._clock()
        return [reading for sensor in self.sensors for reading in sensor.read(now_s)]

    def close(self, keep: Sequence[Sensor] = ()) -> None:
        """Closes its sensors, but for those that somebody keeps."""
        while self.sensors:
            sensor = self.sensors.pop()
            if sensor not in keep and (close := getattr(sensor, "close", None)) is not None:
                close()


class CounterMeter(_OfSensors):
    """The sum of energy counters [J].

    Args:
        names: of the readings that are added.
    """

    quality = Quality.MEASURED

    def __init__(
        self, sensors: Sequence[Sensor], names: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__([s for s in sensors if not set(names).isdisjoint(s.names)], clock)
        self._names = frozenset(names)
        self.source = "counters " + " + ".join(sorted(names))

    def read(self) -> float:
        found = [reading.value for reading in self.readings() if reading.name in self._names]
        return math.fsum(found) if len(found) == len(self._names) else math.nan


class PowerMeter(_OfSensors):
    """The integral of the machine's power, in straight lines between the moments at which it is read [J]."""

    def __init__(self, sensors: Sequence[Sensor], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__([s for s in sensors if any(n.startswith("power/") for n in s.names)], clock)
        self._spent_j = 0.0
        self._last = total_power(self.readings())
        self.source, self.quality = f"integral of {self._last.source}", self._last.quality

    def read(self) -> float:
        power = total_power(self.readings())
        if not power.good:
            return math.nan  # the line is drawn from the last good reading to the next
        if self._last.good:
            passed_s = power.time_s - self._last.time_s
            self._spent_j += (power.value + self._last.value) / 2 * passed_s
        self._last = power
        return self._spent_j


class ProcessorTimeMeter:
    """This process's processor time times the power of one busy core [J].

    Args:
        core_w: of one busy core, above idle [W].
    """

    quality = Quality.MODELLED

    def __init__(self, core_w: float, processor_s: Callable[[], float] = time.process_time) -> None:
        if not core_w > 0:
            raise ValueError(f"core_w is {core_w}; want the power of a busy core, above 0 W")
        self._core_w, self._processor_s = core_w, processor_s
        self.source = f"processor time x {core_w:g} W a core"

    def read(self) -> float:
        return self._core_w * self._processor_s()

    def close(self) -> None:
        """There is nothing to close."""


class SumMeter:
    """Several meters of different parts of the machine, added."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = list(meters)
        self.source = " + ".join(meter.source for meter in meters)
        self.quality = max(meter.quality for meter in meters)

    def read(self) -> float:
        return math.fsum(meter.read() for meter in self._meters)

    def close(self) -> None:
        for meter in self._meters:
            meter.close()


def energy_meter(
    core_w: float = 0.0,
    sensors: Sequence[Sensor] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Meter | None:
    """The best meter that this machine allows; None: nothing tells energy.

    Where a graphics processor counts and nothing tells of the processors, it is metered alone, and the source
    names it; with `core_w` the processor's time is added.

    Args:
        core_w: the power of one busy core [W], for a machine whose processors have neither counters nor power
            sensors; 0: not known.
        sensors: to choose from, which the meter then owns; None: all that the machine has.
    """
    everything = discover() if sensors is None else list(sensors)
    whole = _OfSensors(everything, clock)
    readings = whole.readings()
    processors, cards = _counters(readings)
    meters: list[Meter] = []
    if not processors and total_power(readings).good:
        meters.append(PowerMeter(everything, clock))
    else:
        if names := [*processors, *cards]:
            meters.append(CounterMeter(everything, names, clock))
        if not processors and core_w > 0:
            meters.append(ProcessorTimeMeter(core_w))
    whole.close(keep=[s for meter in meters if isinstance(meter, _OfSensors) for s in meter.sensors])
    return meters[0] if len(meters) == 1 else SumMeter(meters) if meters else None


def _counters(readings: Sequence[Reading]) -> tuple[list[str], list[str]]:
    """The names of the counters that make up the machine: of its processors, of its graphics processors.

    None of the processors where one of them cannot be read: what is left would be too little, and nobody
    would see it.
    """
    counters = [reading for reading in readings if reading.kind == "energy"]
    cards = [r.name for r in counters if r.good and fnmatchcase(r.name, _CARDS)]
    for pattern in _PROCESSORS:
        found = [
            r for r in counters if fnmatchcase(r.name, pattern) and r.name.count("/") == pattern.count("/")
        ]
        if found and all(r.good for r in found):
            return [r.name for r in found], cards
    return [], cards
