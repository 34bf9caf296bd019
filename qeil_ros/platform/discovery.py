"""Finds what a machine has: all its sensors, and all clocks that can be limited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .actuators import Actuator, clock_caps
from .jetson import JetsonStats
from .nvml import nvml_gpus
from .portable import psutil_sensors
from .process import procfs_sensors
from .readings import Sensor, SensorError
from .sysfs import sysfs_sensors

__all__ = ["SOURCES", "Source", "actuators", "discover", "survey"]

SOURCES = ("sysfs", "procfs", "nvml", "jtop", "psutil")
"""In the order in which they are asked; the last two give only kinds that none before them has."""


@dataclass(frozen=True)
class Source:
    """One of `SOURCES`: what it has, or why it has nothing."""

    name: str
    sensors: tuple[Sensor, ...] = ()
    problem: str = ""


def survey(
    sysfs_root: Path | str = "/sys",
    procfs_root: Path | str = "/proc",
    include: Sequence[str] | None = None,
) -> list[Source]:
    """What each source has.

    Args:
        sysfs_root: where to look instead of in /sys.
        procfs_root: where to look instead of in /proc.
        include: the sources to ask; None: all of them, but with another root only those that read below it,
            since the others speak of this machine.

    Raises:
        ValueError: a source of another name.
    """
    if include is None:
        own = Path(sysfs_root) == Path("/sys") and Path(procfs_root) == Path("/proc")
        include = SOURCES if own else ("sysfs", "procfs")
    if unknown := set(include) - set(SOURCES):
        raise ValueError(f"unknown sources {sorted(unknown)}; want some of {', '.join(SOURCES)}")
    kinds: set[str] = set()
    ask: dict[str, Callable[[], Sequence[Sensor]]] = {
        "sysfs": lambda: sysfs_sensors(sysfs_root),
        "procfs": lambda: procfs_sensors(procfs_root, sysfs_root),
        "nvml": nvml_gpus,
        "jtop": lambda: [JetsonStats(without=kinds)],
        "psutil": lambda: psutil_sensors(without=kinds),
    }
    found = []
    for name in SOURCES:
        if name in include:
            source = _asked(name, ask[name])
            found.append(source)
            kinds |= {reading.partition("/")[0] for sensor in source.sensors for reading in sensor.names}
    return found


def discover(
    sysfs_root: Path | str = "/sys",
    procfs_root: Path | str = "/proc",
    include: Sequence[str] | None = None,
) -> list[Sensor]:
    """All sensors of `survey`, which see. None is not an error; `survey` says why."""
    return [sensor for source in survey(sysfs_root, procfs_root, include) for sensor in source.sensors]


def actuators(sysfs_root: Path | str = "/sys") -> list[Actuator]:
    """Every clock that can be limited here, also those that this process may not set: they say why."""
    return [*clock_caps(sysfs_root)]


def _asked(name: str, ask: Callable[[], Sequence[Sensor]]) -> Source:
    try:
        return Source(name, tuple(ask()))
    except SensorError as error:
        return Source(name, problem=str(error))
