"""Sensors below /proc: processor use, memory and its pressure, load, and this process's own share.

psutil would give most of it but reads the real /proc only, which leaves nothing to test faults with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .files import File
from .network import Network, Wireless, interfaces
from .readings import Quality, Reading, Sensor, SensorError, measure, unit_of, unread

__all__ = ["CpuUse", "Load", "Memory", "Pressure", "ProcessUse", "procfs_sensors"]

_MEMORY = re.compile(rb"^(MemTotal|MemAvailable): +(\d{1,15}) kB$", re.MULTILINE)
_LOAD = re.compile(rb"(\d{1,9}\.\d{1,9})\s")
_PRESSURE = re.compile(rb"some avg10=(\d{1,3}\.\d{1,9})\s")


class CpuUse:
    """The share of all cores that was busy since the last reading [%], and the number of busy cores."""

    names = ("cpu/use", "cpu/busy_cores")

    def __init__(self, root: Path | str = "/proc", cores: int | None = None) -> None:
        self._file = File(Path(root) / "stat")
        self._cores = cores or os.cpu_count() or 1
        self._last: tuple[int, int] | None = None  # busy and all ticks

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            busy, all_ = self._ticks()
            last, self._last = self._last, (busy, all_)
            if last is None:
                raise SensorError("processor use wants two readings; this is the first")
            if all_ <= last[1] or busy < last[0]:
                raise SensorError("the tick counters have not moved forward")
        except SensorError as error:
            return [unread(name, unit_of(name), self._file.path, now_s, str(error)) for name in self.names]
        share = min(1.0, (busy - last[0]) / (all_ - last[1]))
        return (
            Reading("cpu/use", 100 * share, "%", self._file.path, Quality.MEASURED, now_s),
            Reading("cpu/busy_cores", share * self._cores, "", self._file.path, Quality.MEASURED, now_s),
        )

    def close(self) -> None:
        self._file.close()

    def _ticks(self) -> tuple[int, int]:
        """(busy, all) from /proc/stat: user nice system idle iowait irq softirq steal; guest is in user."""
        line = self._file.bytes(512).partition(b"\n")[0].split()
        if len(line) < 6 or line[0] != b"cpu" or not all(piece.isdigit() for piece in line[1:]):
            shown = b" ".join(line)[:40].decode("ascii", "replace")
            raise SensorError(f"is not a line of processor ticks: {shown!r}")
        ticks = [int(piece) for piece in line[1:9]]
        idle = ticks[3] + ticks[4]
        return sum(ticks) - idle, sum(ticks)


class Memory:
    """The share of the memory that is in use, caches not counted [%], and what can still be had [B]."""

    names = ("memory/used", "memory/available")
    every_s = 0.5

    def __init__(self, root: Path | str = "/proc") -> None:
        self._file = File(Path(root) / "meminfo")

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            found = dict(_MEMORY.findall(self._file.bytes(512)))  # both are among the first lines
            total, available = (int(found.get(key, 0)) for key in (b"MemTotal", b"MemAvailable"))
            if total <= 0 or not 0 <= available <= total:
                raise SensorError(f"MemTotal is {total} kB and MemAvailable {available} kB")
        except SensorError as error:
            return [unread(name, unit_of(name), self._file.path, now_s, str(error)) for name in self.names]
        used = 100.0 * (total - available) / total
        return (
            Reading("memory/used", used, "%", self._file.path, Quality.MEASURED, now_s),
            Reading("memory/available", available * 1024.0, "B", self._file.path, Quality.MEASURED, now_s),
        )

    def close(self) -> None:
        self._file.close()


class _Number:
    """A file of /proc in which one pattern finds the value, itself a mean over seconds."""

    every_s = 1.0

    def __init__(self, name: str, path: Path, pattern: re.Pattern[bytes], what: str) -> None:
        self.name = name
        self._file = File(path)
        self._pattern = pattern
        self._what = what

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    def read(self, now_s: float) -> Sequence[Reading]:
        return (measure(self.name, self._file.path, now_s, self._value),)

    def close(self) -> None:
        self._file.close()

    def _value(self) -> float:
        raw = self._file.bytes(64)
        found = self._pattern.match(raw)
        if found is None:
            raise SensorError(f"is not {self._what}: {raw[:32].decode('ascii', 'replace').strip()!r}")
        return float(found[1])


class Load(_Number):
    """The mean number of tasks that ran or wanted to over the last minute."""

    def __init__(self, root: Path | str = "/proc") -> None:
        super().__init__("load/1min", Path(root) / "loadavg", _LOAD, "a load")


class Pressure(_Number):
    """The share of the last ten seconds in which a task waited for memory [%] (PSI, Linux 4.20 or newer)."""

    def __init__(self, root: Path | str = "/proc") -> None:
        super().__init__("pressure/memory", Path(root) / "pressure/memory", _PRESSURE, "a pressure")


class ProcessUse:
    """The share of one core that a process, by default this one, used since the last reading [%]."""

    names = ("process/cpu",)
    every_s = 1.0  # the counters' step is 10 ms

    def __init__(
        self, root: Path | str = "/proc", pid: int | str = "self", ticks_hz: int | None = None
    ) -> None:
        self._file = File(Path(root) / str(pid) / "stat")
        self._ticks_hz = ticks_hz or os.sysconf("SC_CLK_TCK")
        self._last: tuple[int, float] | None = None

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            # The second field is the command in brackets and may hold anything, brackets too.
            pieces = self._file.bytes(1024).rpartition(b")")[2].split()
            if len(pieces) < 13 or not (pieces[11].isdigit() and pieces[12].isdigit()):
                raise SensorError("is not the state of a process")
            ticks = int(pieces[11]) + int(pieces[12])
            last, self._last = self._last, (ticks, now_s)
            if last is None:
                raise SensorError("processor use wants two readings; this is the first")
            if now_s <= last[1] or ticks < last[0]:
                raise SensorError("the tick counters have not moved forward")
        except SensorError as error:
            return (unread("process/cpu", "%", self._file.path, now_s, str(error)),)
        share = 100.0 * (ticks - last[0]) / self._ticks_hz / (now_s - last[1])
        return (Reading("process/cpu", share, "%", self._file.path, Quality.MEASURED, now_s),)

    def close(self) -> None:
        self._file.close()


def procfs_sensors(root: Path | str = "/proc", sysfs_root: Path | str = "/sys") -> list[Sensor]:
    """Every sensor below a procfs root that this module knows, and the network's; those that are there."""
    root = Path(root)
    sensors: list[Sensor] = []
    for sensor, file in (
        (CpuUse(root), "stat"),
        (Memory(root), "meminfo"),
        (Pressure(root), "pressure/memory"),
        (Load(root), "loadavg"),
        (ProcessUse(root), "self/stat"),
    ):
        if (root / file).exists():
            sensors.append(sensor)
    wired, wireless = interfaces(root, Path(sysfs_root))
    if wired:
        sensors.append(Network(root, wired))
    if wireless:
        sensors.append(Wireless(root, wireless))
    return sensors
