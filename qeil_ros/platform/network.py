"""Network interfaces: bytes a second each way, and how well a radio hears its access point."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from . import files
from .files import File
from .readings import Reading, SensorError, measure, unread

__all__ = ["Network", "Wireless", "interfaces"]

_MOST_INTERFACES = 8
_LINE = re.compile(rb"^ *([^\s:]{1,15}): *(\S.*)$", re.MULTILINE)
_COLUMNS = {"received": 0, "sent": 8}  # of /proc/net/dev


class Network:
    """Bytes per second that each interface received and sent since the last reading [B/s].

    Args:
        root: of procfs.
        interfaces: their names.
    """

    every_s = 1.0

    def __init__(self, root: Path, interfaces: Sequence[str]) -> None:
        self._file = File(root / "net/dev")
        # Reading name -> interface, and the column of its counter.
        self._counters = {
            f"network/{interface}/{way}": (interface.encode(), column)
            for interface in interfaces
            for way, column in _COLUMNS.items()
        }
        self._last: dict[str, tuple[int, float]] = {}

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._counters)

    def read(self, now_s: float) -> Sequence[Reading]:
        source = self._file.path
        try:
            rows = dict(_LINE.findall(self._file.bytes()))
        except SensorError as error:
            return [unread(name, "B/s", source, now_s, str(error)) for name in self._counters]
        return [
            measure(name, source, now_s, partial(self._rate, name, rows, now_s)) for name in self._counters
        ]

    def close(self) -> None:
        self._file.close()

    def _rate(self, name: str, rows: Mapping[bytes, bytes], now_s: float) -> float:
        interface, column = self._counters[name]
        pieces = rows.get(interface, b"").split()
        if not pieces:
            raise SensorError("the interface is gone")
        if len(pieces) < 9 or not pieces[column].isdigit():
            raise SensorError(f"is not a line of counters: {rows[interface][:32]!r}")
        counter = int(pieces[column])
        last = self._last.get(name)
        self._last[name] = (counter, now_s)
        if last is None:
            raise SensorError("a rate wants two readings; this is the first")
        if now_s <= last[1] or counter < last[0]:
            raise SensorError("the counter has not moved forward")  # an interface that came back begins at 0
        return (counter - last[0]) / (now_s - last[1])


class Wireless:
    """The strength at which each wireless interface hears its access point [dBm]."""

    def __init__(self, root: Path, interfaces: Sequence[str]) -> None:
        self._file = File(root / "net/wireless")
        self._interfaces = {f"signal/{name}": name.encode() for name in interfaces}

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._interfaces)

    def read(self, now_s: float) -> Sequence[Reading]:
        return [
            measure(name, self._file.path, now_s, partial(self._dbm, interface))
            for name, interface in self._interfaces.items()
        ]

    def close(self) -> None:
        self._file.close()

    def _dbm(self, interface: bytes) -> float:
        """From a line "status link level noise ...", whose numbers end in a full stop."""
        row = dict(_LINE.findall(self._file.bytes())).get(interface)
        if row is None:
            raise SensorError("the interface is gone, or not connected")
        pieces = row.split()
        try:
            level = float(pieces[2].rstrip(b".")) if len(pieces) > 2 else math.nan
        except ValueError:
            level = math.nan
        if level > 63:  # an unsigned byte, as old drivers have it
            level -= 256
        if not -200 <= level < 0:
            raise SensorError(f"is not a signal strength: {row[:32]!r}")
        return level


def interfaces(procfs_root: Path, sysfs_root: Path) -> tuple[list[str], list[str]]:
    """The interfaces that have hardware behind them, and those among them that are wireless."""
    names = [path.name for path in files.entries(sysfs_root / "class/net", "*")]
    hardware = [name for name in names if (sysfs_root / f"class/net/{name}/device").exists()]
    wireless = [name for name in hardware if (sysfs_root / f"class/net/{name}/wireless").exists()]
    counted = (procfs_root / "net/dev").exists()
    return (hardware[:_MOST_INTERFACES] if counted else []), wireless[:_MOST_INTERFACES]
