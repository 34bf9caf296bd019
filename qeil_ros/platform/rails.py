"""Power below /sys: power, current and fan channels of hwmon chips, the INA3221 of Jetson boards, batteries.

Layouts: the kernel's Documentation/ABI/testing/sysfs-class-hwmon and sysfs-class-power,
Documentation/hwmon/ina3221.rst, and the ina3221x driver of JetPack 4, which shows the same chip as an IIO
device in milliwatts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import files
from .files import File
from .gauge import Gauge, within
from .readings import Reading, Sensor, SensorError, measure

__all__ = ["BatteryPower", "PowerRail", "batteries", "hwmon_channels", "iio_rails"]

_MOST_W = 2000.0
_MOST_A = 1000.0
_MOST_RPM = 1e6


class PowerRail:
    """The power of one rail: the product of the numbers in its files.

    Args:
        name: of the reading.
        paths: a power, or a voltage and a current.
        scale: of the product to watts; the default is for microwatts, and for millivolts and milliamperes.
    """

    def __init__(self, name: str, paths: Sequence[Path], scale: float = 1e-6) -> None:
        self.name = name
        self.source = " x ".join(map(str, paths))
        self._files = [File(path) for path in paths]
        self._scale = scale

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        return (measure(self.name, self.source, now_s, self._power_w),)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _product_w(self) -> float:
        return math.prod([file.number() for file in self._files]) * self._scale

    def _power_w(self) -> float:
        return within(self._product_w(), 0.0, _MOST_W, self.name)


class BatteryPower(PowerRail):
    """What a battery gives: positive while it discharges, negative while it is charged.

    The kernel leaves the sign of the current to each driver; the status says which way it flows.
    """

    def __init__(self, name: str, folder: Path, paths: Sequence[Path], scale: float) -> None:
        super().__init__(name, paths, scale)
        self._status = File(folder / "status")

    def close(self) -> None:
        super().close()
        self._status.close()

    def _power_w(self) -> float:
        sign = {"Discharging": 1.0, "Charging": -1.0}.get(self._status.text(32), 0.0)
        return sign * within(abs(self._product_w()), 0.0, _MOST_W, self.name)


def batteries(folder: Path) -> Iterator[Sensor]:
    """The charge [%] and the power [W] of each battery in a folder like /sys/class/power_supply."""
    for supply in files.entries(folder, "*"):
        if _text(supply / "type") != "Battery":
            continue  # a charger
        yield Gauge(f"battery/{supply.name}", supply / "capacity", 1.0, 0.0, 100.0)
        power, name = supply / "power_now", f"power/battery/{supply.name}"
        if power.exists():
            yield BatteryPower(name, supply, (power,), 1e-6)
        elif (supply / "current_now").exists():
            yield BatteryPower(name, supply, (supply / "voltage_now", supply / "current_now"), 1e-12)


def hwmon_channels(chip: Path) -> Iterator[Sensor]:
    """Power, current and fans of one hwmon chip."""
    name = chip_name(chip, "name")
    powers = [*files.entries(chip, "power*_input")]
    powers += [
        path for path in files.entries(chip, "power*_average") if sibling(path, "_input") not in powers
    ]
    for path in powers:
        yield PowerRail(f"power/{name}/{label(path)}", (path,))
    # An INA3221 measures three rails; its fourth current is the sum of them, and its fourth voltage is not a
    # rail's but that across the first shunt.
    rails = 3 if name.startswith("ina3221") else math.inf
    for current in files.entries(chip, "curr*_input"):
        if int("0" + "".join(filter(str.isdigit, stem(current)))) > rails:
            continue
        voltage = current.with_name(current.name.replace("curr", "in"))
        called = label(voltage) if label(voltage) != stem(voltage) else label(current)
        if called == "NC":
            continue  # not connected, says the board
        yield Gauge(f"current/{name}/{called}", current, 1e-3, -_MOST_A, _MOST_A)
        # It gives volts and amperes of each rail, and leaves the product to us.
        if not powers and voltage.exists():
            yield PowerRail(f"power/{name}/{called}", (voltage, current))
    for fan in files.entries(chip, "fan*_input"):
        yield Gauge(f"fan/{name}/{label(fan)}", fan, 1.0, 0.0, _MOST_RPM)


def iio_rails(root: Path) -> Iterator[Sensor]:
    """The rails of the INA3221 chips as JetPack 4 shows them, below a sysfs root."""
    for chip in files.entries(root / "bus/i2c/drivers/ina3221x", "*-*"):
        for device in files.entries(chip, "iio:device*"):
            for path in files.entries(device, "rail_name_*"):
                number, called = path.name.rpartition("_")[2], _text(path)
                if called and called != "NC":
                    yield PowerRail(f"power/ina3221x/{called}", (device / f"in_power{number}_input",), 1e-3)


def chip_name(path: Path, file: str) -> str:
    """What a device calls itself; the name of its folder where it does not say."""
    return _text(path / file) or path.name


def label(path: Path) -> str:
    """What a channel is called: its _label file, else the channel itself ("temp1")."""
    return _text(sibling(path, "_label")) or stem(path)


def stem(path: Path) -> str:
    """ "temp1" of "temp1_input"."""
    return path.name.rpartition("_")[0]


def sibling(path: Path, ending: str) -> Path:
    """ "temp1_label" for "temp1_input" and "_label"."""
    return path.with_name(stem(path) + ending)


def _text(path: Path) -> str:
    """What a file says, in one word; "" where it says nothing."""
    try:
        return "_".join(files.text(path, 64).split())
    except SensorError:
        return ""
