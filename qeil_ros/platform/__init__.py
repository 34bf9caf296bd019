"""What the machine can tell: temperatures, power, energy, clocks, processor use, memory. Linux only.

Every value is a `Reading` that names its source and quality; what cannot be read is a NaN that says why,
not an exception. The roots of sysfs and procfs are arguments: a recorded or faulty tree can stand in for a
machine. No decision, no limit and no ROS may enter: judging readings is the business of `safety`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .actuators import Actuator, ActuatorError, ClockCap, clock_caps
from .battery import BatterySensor
from .discovery import Source, actuators, discover, survey
from .doubt import Doubt
from .model import PowerModel
from .power import total_power
from .process import CpuUse, Load, Memory, Pressure, ProcessUse, procfs_sensors
from .readings import Quality, Reading, Sensor, SensorError, TripPoints, trip_points, unit_of, unread
from .sampler import Sample, Sampler
from .sysfs import sysfs_sensors
from .thermal import HwmonTemperature, ThermalZone

if TYPE_CHECKING:
    from .replay import ReplaySensors, Trace, TraceError, load_layer_power, load_sbc_bench, load_trace

__all__ = [
    "Actuator",
    "ActuatorError",
    "BatterySensor",
    "ClockCap",
    "CpuUse",
    "Doubt",
    "HwmonTemperature",
    "Load",
    "Memory",
    "PowerModel",
    "Pressure",
    "ProcessUse",
    "Quality",
    "Reading",
    "ReplaySensors",
    "Sample",
    "Sampler",
    "Sensor",
    "SensorError",
    "Source",
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
    "survey",
    "sysfs_sensors",
    "total_power",
    "trip_points",
    "unit_of",
    "unread",
]


def __getattr__(name: str) -> Any:
    """Recordings come in when they are asked for: a supervisor on a robot does without their readers."""
    if name in __all__:
        return getattr(importlib.import_module(".replay", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
