"""All sensors below /sys that this package knows. Found once; one that vanishes later reads as NaN."""

from __future__ import annotations

from pathlib import Path

from . import files
from .gauge import Gauge
from .rails import batteries, chip_name, hwmon_channels, iio_rails, label
from .rapl import rapl_zones
from .readings import Sensor
from .thermal import HwmonTemperature, ThermalZone

__all__ = ["sysfs_sensors"]

_FASTEST_HZ = 20e9


def sysfs_sensors(root: Path | str = "/sys") -> list[Sensor]:
    """Every sensor below a sysfs root that this module knows; none on many a virtual machine or container."""
    root = Path(root)
    zones = [
        ThermalZone(zone, f"temperature/{chip_name(zone, 'type')}")
        for zone in files.entries(root / "class/thermal", "thermal_zone*")
    ]
    sensors: list[Sensor] = [*zones]
    # The kernel shows every thermal zone as a hwmon chip of the same name once more.
    shown = {zone.name.partition("/")[2].replace("-", "_") for zone in zones}
    for chip in files.entries(root / "class/hwmon", "hwmon*"):
        name = chip_name(chip, "name")
        if name.replace("-", "_") not in shown:
            sensors += [
                HwmonTemperature(path, f"temperature/{name}/{label(path)}")
                for path in files.entries(chip, "temp*_input")
            ]
        sensors += hwmon_channels(chip)
    sensors += iio_rails(root)
    sensors += rapl_zones(root / "class/powercap")
    sensors += batteries(root / "class/power_supply")
    for policy in files.entries(root / "devices/system/cpu/cpufreq", "policy*"):
        sensors.append(Gauge(f"clock/{policy.name}", policy / "scaling_cur_freq", 1e3, 1.0, _FASTEST_HZ))
    for device in files.entries(root / "class/devfreq", "*"):
        # A GPU that sleeps has a clock of 0.
        sensors.append(Gauge(f"clock/{device.name}", device / "cur_freq", 1.0, 0.0, _FASTEST_HZ))
        if (device / "device/load").exists():  # the GPU of a Jetson, in thousandths
            sensors.append(Gauge(f"gpu/{device.name}", device / "device/load", 0.1, 0.0, 100.0))
    return _with_unique_names(sensors)


def _with_unique_names(sensors: list[Sensor]) -> list[Sensor]:
    """Two chips of one kind have the same name; the second becomes "name#2"."""
    seen: dict[str, int] = {}
    for sensor in sensors:
        if len(sensor.names) > 1:
            continue  # energy counters, which the kernel numbers
        (name,) = sensor.names
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            sensor.name = f"{name}#{seen[name]}"  # type: ignore[attr-defined]
    return sensors
