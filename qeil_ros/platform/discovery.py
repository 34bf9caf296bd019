"""Finds what a machine has: all its sensors, and all clocks that can be limited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .actuators import Actuator, clock_caps
from .jetson import JetsonStats
from .nvml import nvml_gpus
from .process import procfs_sensors
from .readings import Sensor, SensorError
from .sysfs import sysfs_sensors

__all__ = ["SOURCES", "Source", "actuators", "discover", "survey", "unknown_sources"]

SOURCES = ("sysfs", "procfs", "nvml", "jtop", "psutil")
"""In the order in which they are asked; the last two give only kinds of readings that none before has."""

_OF_ANY_ROOT = ("sysfs", "procfs")
_REPLAY = "replay:"


@dataclass(frozen=True)
class Source:
    """What a source has, or why it has nothing."""

    name: str
    sensors: tuple[Sensor, ...] = ()
    problem: str = ""


def unknown_sources(names: Iterable[str]) -> list[str]:
    """Those of the names that no source has."""
    return sorted({name for name in names if name not in SOURCES and not name.startswith(_REPLAY)})


def survey(
    sysfs_root: Path | str = "/sys",
    procfs_root: Path | str = "/proc",
    include: Sequence[str] = SOURCES,
) -> list[Source]:
    """What each source has. No two readings have the same name: the sensor that was found first has it.

    Args:
        sysfs_root: where to look instead of in /sys. With another root only what reads below it is asked,
            since the other sources speak of this machine.
        procfs_root: where to look instead of in /proc.
        include: the sources to ask; "replay:FILE" plays a recording over and over, and comes before all
            others.

    Raises:
        ValueError: a source of another name.
    """
    if unknown := unknown_sources(include):
        raise ValueError(f"unknown sources {unknown}; want some of {', '.join(SOURCES)}, replay:FILE")
    own = Path(sysfs_root) == Path("/sys") and Path(procfs_root) == Path("/proc")
    taken: set[str] = set()
    kinds: set[str] = set()
    ask: dict[str, Callable[[], Sequence[Sensor]]] = {
        name: partial(_recording, name.removeprefix(_REPLAY)) for name in include if name not in SOURCES
    }
    ask |= {
        "sysfs": lambda: sysfs_sensors(sysfs_root),
        "procfs": lambda: procfs_sensors(procfs_root, sysfs_root),
        "nvml": nvml_gpus,
        "jtop": lambda: [JetsonStats(without=kinds)],
        "psutil": lambda: _portable(kinds),
    }
    found = []
    for name in ask:
        if name not in include or not (own or name in _OF_ANY_ROOT or name not in SOURCES):
            continue
        source = _asked(name, ask[name], taken)
        found.append(source)
        taken |= {reading for sensor in source.sensors for reading in sensor.names}
        kinds |= {reading.partition("/")[0] for reading in taken}
    return found


def discover(
    sysfs_root: Path | str = "/sys",
    procfs_root: Path | str = "/proc",
    include: Sequence[str] = SOURCES,
) -> list[Sensor]:
    """All sensors of `survey`, which see. None is not an error; `survey` says why."""
    return [sensor for source in survey(sysfs_root, procfs_root, include) for sensor in source.sensors]


def actuators(sysfs_root: Path | str = "/sys") -> list[Actuator]:
    """Every clock that can be limited here, also those that this process may not set: they say why."""
    return [*clock_caps(sysfs_root)]


def _asked(name: str, ask: Callable[[], Sequence[Sensor]], taken: set[str]) -> Source:
    try:
        return Source(name, tuple(sensor for sensor in ask() if taken.isdisjoint(sensor.names)))
    except SensorError as error:
        return Source(name, problem=str(error))


def _portable(kinds: set[str]) -> Sequence[Sensor]:
    try:
        from .portable import psutil_sensors
    except ModuleNotFoundError:
        raise SensorError("the package psutil is not installed") from None
    return psutil_sensors(without=kinds)


def _recording(path: str) -> list[Sensor]:
    from .replay import ReplaySensors, TraceError, load_trace  # late: a robot does without recordings

    try:
        return [ReplaySensors(load_trace(path), loop=True)]
    except TraceError as error:
        raise SensorError(str(error)) from error
    except OSError as error:
        raise SensorError(f"{path}: {error.strerror}") from error
