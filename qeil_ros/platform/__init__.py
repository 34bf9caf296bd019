"""What the machine can tell: temperatures, power, energy, clocks, processor use, memory. Linux only.

Every value is a `Reading` that names its source and quality; what cannot be read is a NaN that says why,
not an exception. The roots of sysfs and procfs are arguments: a recorded or faulty tree can stand in for a
machine. No decision, no limit and no ROS may enter: judging readings is the business of `safety`.
"""

from __future__ import annotations

from .model import PowerModel
from .power import total_power
from .process import CpuUse, Load, Memory, ProcessUse, procfs_sensors
from .readings import Quality, Reading, Sensor, SensorError, unread
from .sampler import Sample, Sampler
from .sysfs import CpuFreq, HwmonTemperature, PowerSensor, Rapl, ThermalZone, TripPoints, sysfs_sensors

__all__ = [
    "CpuFreq",
    "CpuUse",
    "HwmonTemperature",
    "Load",
    "Memory",
    "PowerModel",
    "PowerSensor",
    "ProcessUse",
    "Quality",
    "Rapl",
    "Reading",
    "Sample",
    "Sampler",
    "Sensor",
    "SensorError",
    "ThermalZone",
    "TripPoints",
    "procfs_sensors",
    "sysfs_sensors",
    "total_power",
    "unread",
]
