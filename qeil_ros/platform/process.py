"""Sensors below /proc: processor use, memory, load, and this process's own share.

psutil would give the same but reads the real /proc and /sys only, which leaves nothing to test faults with.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from . import files
from .readings import Quality, Reading, Sensor, SensorError, unread

__all__ = ["CpuUse", "Load", "Memory", "ProcessUse", "procfs_sensors"]


class CpuUse:
    """The share of all cores that was busy since the last reading [%], and the number of busy cores."""

    names = ("cpu/use", "cpu/busy_cores")

    def __init__(self, root: Path | str = "/proc", cores: int | None = None) -> None:
        self._path = Path(root) / "stat"
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
            return tuple(
                unread(name, unit, str(self._path), now_s, str(error))
                for name, unit in zip(self.names, ("%", ""), strict=True)
            )
        share = min(1.0, (busy - last[0]) / (all_ - last[1]))
        return (
            Reading("cpu/use", 100 * share, "%", str(self._path), Quality.MEASURED, now_s),
            Reading("cpu/busy_cores", share * self._cores, "", str(self._path), Quality.MEASURED, now_s),
        )

    def _ticks(self) -> tuple[int, int]:
        """(busy, all) from /proc/stat: user nice system idle iowait irq softirq steal; guest is in user."""
        line = files.text(self._path).split("\n", 1)[0].split()
        if len(line) < 6 or line[0] != "cpu" or not all(piece.isdigit() for piece in line[1:]):
            raise SensorError(f"is not a line of processor ticks: {' '.join(line)[:40]!r}")
        ticks = [int(piece) for piece in line[1:9]]
        idle = ticks[3] + ticks[4]
        return sum(ticks) - idle, sum(ticks)


class Memory:
    """The share of the memory that is in use, buffers and caches not counted [%]."""

    names = ("memory/used",)

    def __init__(self, root: Path | str = "/proc") -> None:
        self._path = Path(root) / "meminfo"

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            found = dict(re.findall(r"^(\w+):\s+(\d+) kB", files.text(self._path), re.MULTILINE))
            total, available = (int(found.get(key, 0)) for key in ("MemTotal", "MemAvailable"))
            if total <= 0 or not 0 <= available <= total:
                raise SensorError(f"MemTotal is {total} kB and MemAvailable {available} kB")
        except SensorError as error:
            return (unread("memory/used", "%", str(self._path), now_s, str(error)),)
        used = 100.0 * (total - available) / total
        return (Reading("memory/used", used, "%", str(self._path), Quality.MEASURED, now_s),)


class Load:
    """The mean number of tasks that ran or wanted to over the last minute."""

    names = ("load/1min",)

    def __init__(self, root: Path | str = "/proc") -> None:
        self._path = Path(root) / "loadavg"

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            found = files.text(self._path, 128).split()[0]
            value = float(found) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", found) else math.nan
            if math.isnan(value):
                raise SensorError(f"is not a load: {found[:32]!r}")
        except SensorError as error:
            return (unread("load/1min", "", str(self._path), now_s, str(error)),)
        return (Reading("load/1min", value, "", str(self._path), Quality.MEASURED, now_s),)


class ProcessUse:
    """The share of one core that a process, by default this one, used since the last reading [%]."""

    names = ("process/cpu",)

    def __init__(
        self, root: Path | str = "/proc", pid: int | str = "self", ticks_hz: int | None = None
    ) -> None:
        self._path = Path(root) / str(pid) / "stat"
        self._ticks_hz = ticks_hz or os.sysconf("SC_CLK_TCK")
        self._last: tuple[int, float] | None = None

    def read(self, now_s: float) -> Sequence[Reading]:
        try:
            # The second field is the command in brackets and may hold anything; the rest follows the last
            # one.
            pieces = files.text(self._path).rpartition(")")[2].split()
            if len(pieces) < 13 or not (pieces[11].isdigit() and pieces[12].isdigit()):
                raise SensorError("is not the state of a process")
            ticks = int(pieces[11]) + int(pieces[12])
            last, self._last = self._last, (ticks, now_s)
            if last is None:
                raise SensorError("processor use wants two readings; this is the first")
            if now_s <= last[1] or ticks < last[0]:
                raise SensorError("the tick counters have not moved forward")
        except SensorError as error:
            return (unread("process/cpu", "%", str(self._path), now_s, str(error)),)
        share = 100.0 * (ticks - last[0]) / self._ticks_hz / (now_s - last[1])
        return (Reading("process/cpu", share, "%", str(self._path), Quality.MEASURED, now_s),)


def procfs_sensors(root: Path | str = "/proc") -> list[Sensor]:
    """All sensors of this module."""
    return [CpuUse(root), Memory(root), Load(root), ProcessUse(root)]
