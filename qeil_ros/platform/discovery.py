"""Finds what a machine has: all its sensors, and all clocks that can be limited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .actuators import Actuator, clock_caps
from .process import procfs_sensors
from .readings import Sensor
from .sysfs import sysfs_sensors

__all__ = ["SOURCES", "actuators", "discover"]

SOURCES = ("sysfs", "procfs", "nvml", "jtop", "psutil")


def discover(
    sysfs_root: Path | str = "/sys",
    procfs_root: Path | str = "/proc",
    include: Sequence[str] = SOURCES,
) -> list[Sensor]:
    """Every sensor that this machine has; none is not an error."""
    sensors: list[Sensor] = []
    if "sysfs" in include:
        sensors += sysfs_sensors(sysfs_root)
    if "procfs" in include:
        sensors += procfs_sensors(procfs_root)
    return sensors


def actuators(sysfs_root: Path | str = "/sys") -> list[Actuator]:
    """Every clock that can be limited here, also those that this process may not set."""
    return [*clock_caps(sysfs_root)]
