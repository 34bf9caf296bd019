"""What the machine can tell: temperatures, power, energy, clocks, processor use, memory. Linux only.

Every value is a `Reading` that names its source and quality; what cannot be read is a NaN that says why,
not an exception. The roots of sysfs and procfs are arguments: a recorded or faulty tree can stand in for a
machine. No decision, no limit and no ROS may enter: judging readings is the business of `safety`.
"""

from __future__ import annotations

from .actuators import Actuator, ActuatorError, ClockCap, clock_caps
from .battery import BatterySensor
from .discovery import actuators, discover
from .model import PowerModel
from .power import total_power
from .process import CpuUse, Load, Memory, ProcessUse, procfs_sensors
from .readings import Quality, Reading, Sensor, SensorError, TripPoints, trip_points, unit_of, unread
from .replay import ReplaySensors, Trace, TraceError, load_layer_power, load_sbc_bench, load_trace
from .sampler import Sample, Sampler
from .sysfs import sysfs_sensors
from .thermal import HwmonTemperature, ThermalZone

__all__ = [
    "Actuator",
    "ActuatorError",
    "BatterySensor",
    "ClockCap",
    "CpuUse",
    "HwmonTemperature",
    "Load",
    "Memory",
    "PowerModel",
    "ProcessUse",
    "Quality",
    "Reading",
    "ReplaySensors",
    "Sample",
    "Sampler",
    "Sensor",
    "SensorError",
    "ThermalZone",
    "Trace",
    "TraceError",
    "TripPoints",
    "actuators",
    "clock_caps",
    "discover",
    "load_layer_power",
    "load_sbc_bench",
    "load_trace",
    "procfs_sensors",
    "sysfs_sensors",
    "total_power",
    "trip_points",
    "unit_of",
    "unread",
]
