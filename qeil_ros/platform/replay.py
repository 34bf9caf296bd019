"""Recordings of other machines as sensors: what a board went through once, again and at any speed."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .readings import Quality, Reading, TripPoints, unit_of, unread

__all__ = ["ReplaySensors", "Trace", "TraceError", "load_layer_power", "load_sbc_bench", "load_trace"]

_MOST_BYTES = 64 << 20
_MOST_ROWS = 1_000_000
_CONTINUOUS = ("temperature", "energy", "battery")


class TraceError(Exception):
    """A file that is not the recording it is taken for; the message says where and why, for people."""


@dataclass(frozen=True)
class Trace:
    """A recorded table.

    Attributes:
        time_s: of each row, beginning at 0, rising [s]; shape (rows,).
        columns: name of a reading -> its values, NaN where it has none; each of shape (rows,).
        units: the same names -> the unit of the values.
        source: where it is from, for people.
        labels: what went on at each row: the benchmark that ran, the layer; empty where that is not known.
    """

    time_s: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float64]]
    units: Mapping[str, str]
    source: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = self.time_s.shape
        if len(rows) != 1 or not rows[0]:
            raise TraceError(f"{self.source}: no rows")
        if not np.all(np.diff(self.time_s) > 0) or self.time_s[0] != 0:
            raise TraceError(f"{self.source}: the times must begin at 0 and rise")
        for name, values in self.columns.items():
            if values.shape != rows:
                raise TraceError(f"{self.source}: {name} has the shape {values.shape}, the times {rows}")
            if name not in self.units:
                raise TraceError(f"{self.source}: {name} has no unit")

    @property
    def duration_s(self) -> float:
        return float(self.time_s[-1])

    def at(self, time_s: float, *, interpolate: bool = True) -> dict[str, float]:
        """The values of all columns at a time within the recording; outside of it those at its ends.

        Temperatures and charges run in straight lines between the rows where they are to be interpolated;
        everything else holds from its row to the next.
        """
        last = len(self.time_s) - 1
        index = min(max(int(np.searchsorted(self.time_s, time_s, "right")) - 1, 0), last)
        values = {name: float(column[index]) for name, column in self.columns.items()}
        begin_s = float(self.time_s[index])
        if interpolate and index < last and time_s > begin_s:
            share = (time_s - begin_s) / (float(self.time_s[index + 1]) - begin_s)
            for name in self._continuous:
                values[name] += share * (float(self.columns[name][index + 1]) - values[name])
        return values

    @cached_property
    def _continuous(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name.partition("/")[0] in _CONTINUOUS)


@dataclass
class ReplaySensors:
    """A recording, played from the first reading on; its readings have the quality REPLAYED.

    Args:
        trace: what to play.
        speed: recorded seconds that pass in one second.
        loop: begin again at the end; else nothing can be read after it.
        interpolate: straight lines between the rows for temperatures; else each row holds until the next.
        trips: the trip points of the recorded machine, by the names of readings.
    """

    trace: Trace
    speed: float = 1.0
    loop: bool = False
    interpolate: bool = True
    trips: Mapping[str, TripPoints] = field(default_factory=dict)
    _began_s: float = field(default=math.nan, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(f"speed is {self.speed}; want above 0")
        self._names = tuple(self.trace.columns)

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def position_s(self, now_s: float) -> float:
        """How far into the recording it is at `now_s` [s]; past its end where it has ended."""
        if math.isnan(self._began_s):
            return 0.0
        passed_s = (now_s - self._began_s) * self.speed
        duration_s = self.trace.duration_s
        return passed_s % duration_s if self.loop and duration_s else passed_s

    def ended(self, now_s: float) -> bool:
        return self.position_s(now_s) > self.trace.duration_s

    def restart(self) -> None:
        """The next reading is the recording's first."""
        self._began_s = math.nan

    def read(self, now_s: float) -> Sequence[Reading]:
        if math.isnan(self._began_s):
            self._began_s = now_s
        source, units = self.trace.source, self.trace.units
        if self.ended(now_s):
            return [
                unread(name, units[name], source, now_s, "the recording has ended") for name in self._names
            ]
        values = self.trace.at(self.position_s(now_s), interpolate=self.interpolate)
        return [
            unread(name, units[name], source, now_s, "has no value in the recording")
            if math.isnan(value)
            else Reading(name, value, units[name], source, Quality.REPLAYED, now_s)
            for name, value in values.items()
        ]


def load_trace(path: Path | str) -> Trace:
    """A recording of any of the kinds that this module knows, told by its contents.

    Raises:
        TraceError: not a recording, or a broken one.
        OSError: the file cannot be read.
    """
    text = _text(path)
    if text.startswith("sbc-bench"):
        return load_sbc_bench(path)
    header = text.partition("\n")[0]
    if "average_power" in header:
        return load_layer_power(path)
    if header.startswith("time_s,"):
        return _load_table(path)
    raise TraceError(
        f"{path}: neither an sbc-bench report, nor a table of layer powers, nor one with the column time_s"
    )


_ROW = re.compile(
    r"(?P<time>\d\d:\d\d:\d\d): *(?P<clocks>[\d/ ]+)MHz +(?P<load>\d+\.\d+) +(?P<use>\d+)%(?: +\d+%){5}"
    r"(?: +(?P<celsius>-?\d+(?:\.\d+)?)°C)?(?: +(?P<volt>\d+\.\d+)V)?\s*"
)
_CLOCKS = {
    "CPU": ("clock/cpu",),
    "big.LITTLE": ("clock/big", "clock/little"),
    # A Raspberry Pi that throttles still reports its nominal clock; the second is asked of the firmware.
    "fake/real": ("clock/reported", "clock/cpu"),
}


def load_sbc_bench(path: Path | str) -> Trace:
    """The tables "System health while running ..." of an sbc-bench report (Thomas Kaiser), one after another.

    Columns: "temperature/cpu" [C], "cpu/use" [%], "load/1min", the clocks [Hz], and where they are known
    "cpu/busy_cores" and "voltage/core" [V]. The labels name the benchmark that ran. Rows are 3 s to 120 s
    apart. A row of the report has the mean use since the row before, the first row of each table that since
    the machine was started, which says nothing; here a row has the mean until the next one.

    Raises:
        TraceError: no such table, or a broken row.
        OSError: the file cannot be read.
    """
    text = _text(path)
    board = re.match(r"sbc-bench v\S+ (.*?) *\(", text)
    cores = re.search(r"\((\d+) CPU\)", text)
    rows: list[dict[str, float]] = []
    times_s: list[float] = []
    labels: list[str] = []
    label = ""
    clocks: tuple[str, ...] = ()  # the clocks of the table that is being read; empty outside of tables
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.fullmatch(r"System health while running (.*?):?\s*", line):
            label = heading[1]
        elif label and line.startswith("Time "):
            kind = line.split()[1]
            if kind not in _CLOCKS:
                raise TraceError(f"{path}, line {number}: unknown kind of clock {kind!r}")
            clocks = _CLOCKS[kind]
        elif not line.strip():
            clocks = ()
        elif clocks:
            row = _ROW.fullmatch(line)
            if row is None or row["clocks"].count("/") + 1 != len(clocks):
                raise TraceError(f"{path}, line {number}: not a row of the table: {line[:60]!r}")
            time_s = _seconds(row["time"])
            if times_s:
                time_s += 86400.0 * (times_s[-1] // 86400.0)
                if time_s < times_s[-1] - 43200.0:  # past midnight
                    time_s += 86400.0
                if time_s <= times_s[-1]:  # one table's last row and the next one's first
                    labels[-1] = label
                    continue
            values = _values(row, clocks)
            if labels and labels[-1] == label:
                rows[-1]["cpu/use"] = values.pop("cpu/use")
            else:
                del values["cpu/use"]
            times_s.append(time_s)
            rows.append(values)
            labels.append(label)
    if not times_s:
        raise TraceError(f'{path}: no table "System health while running ..."')
    _fill(rows, "cpu/use")
    if cores:
        for values in rows:
            values["cpu/busy_cores"] = values["cpu/use"] / 100 * int(cores[1])
    names = sorted({name for values in rows for name in values})
    return Trace(
        np.array(times_s) - times_s[0],
        {name: np.array([values.get(name, math.nan) for values in rows]) for name in names},
        {name: unit_of(name) for name in names},
        f"{Path(path).name}: {board[1] if board else 'unknown board'}",
        tuple(labels),
    )


def _values(row: re.Match[str], clocks: Sequence[str]) -> dict[str, float]:
    values = {name: float(clock) * 1e6 for name, clock in zip(clocks, row["clocks"].split("/"), strict=True)}
    values |= {"cpu/use": float(row["use"]), "load/1min": float(row["load"])}
    if row["celsius"]:
        values["temperature/cpu"] = float(row["celsius"])
    if row["volt"]:
        values["voltage/core"] = float(row["volt"])
    return values


def _fill(rows: Sequence[dict[str, float]], name: str) -> None:
    """Gives rows without a value that of the next row, else of the one before; NaN where there is none."""
    for ordered in (reversed(rows), iter(rows)):
        value = math.nan
        for values in ordered:
            value = values.setdefault(name, value) if not math.isnan(value) else values.get(name, value)
    for values in rows:
        values.setdefault(name, math.nan)


def load_layer_power(path: Path | str) -> Trace:
    """Power and run time layer by layer, as edge-vision-power-estimation logs them on a Jetson Orin.

    The layers follow each other without a gap: time_s is when each begins. Power comes in microwatts, run
    times in milliseconds; both the table of all cycles and that of the means are read. Layers that take no
    time are left out. Column "power/layers" [W], labels: the layers' names. A closing row repeats the last
    power at the end.

    Raises:
        TraceError: a column is missing, or a row is broken.
        OSError: the file cannot be read.
    """
    rows = list(csv.DictReader(_text(path).splitlines()))[:_MOST_ROWS]
    columns = rows[0].keys() if rows else ()
    name = next((key for key in ("layer_name", "layer name") if key in columns), None)
    run_time = next((key for key in ("layer_run_time", "average_run_time") if key in columns), None)
    if name is None or run_time is None or "average_power" not in columns:
        raise TraceError(f"{path}: wants the columns layer_name, average_power and layer_run_time")
    times_s, power_w, labels = [0.0], [], []
    for number, row in enumerate(rows, 2):
        try:
            watt, seconds = float(row["average_power"]) * 1e-6, float(row[run_time]) * 1e-3
        except (TypeError, ValueError):
            raise TraceError(f"{path}, line {number}: not a number") from None
        if not (0 <= watt < math.inf and 0 <= seconds < math.inf):
            raise TraceError(f"{path}, line {number}: {watt:g} W for {seconds:g} s")
        if seconds > 0:
            times_s.append(times_s[-1] + seconds)
            power_w.append(watt)
            labels.append(row[name])
    if not power_w:
        raise TraceError(f"{path}: no layer takes any time")
    return Trace(
        np.array(times_s),
        {"power/layers": np.array([*power_w, power_w[-1]])},
        {"power/layers": "W"},
        f"{Path(path).name}: Jetson Orin",
        (*labels, labels[-1]),
    )


def _load_table(path: Path | str) -> Trace:
    """A table of our own: the column time_s, and one column for each reading, empty where it had no value."""
    rows = list(csv.reader(_text(path).splitlines()))[: _MOST_ROWS + 1]
    names, times_s, values = rows[0][1:], [], []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise TraceError(f"{path}, line {number}: {len(row)} columns; want {len(rows[0])}")
        try:
            times_s.append(float(row[0]))
            values.append([float(piece) if piece else math.nan for piece in row[1:]])
        except ValueError as error:
            raise TraceError(f"{path}, line {number}: {error}") from None
    if not times_s:
        raise TraceError(f"{path}: no rows")
    table = np.array(values).T
    return Trace(
        np.array(times_s) - times_s[0],
        dict(zip(names, table, strict=True)),
        {name: unit_of(name) for name in names},
        Path(path).name,
    )


def _text(path: Path | str) -> str:
    with open(path, "rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise TraceError(f"{path}: more than {_MOST_BYTES >> 20} MiB")
    return raw.decode("utf-8", "replace")


def _seconds(text: str) -> float:
    hours, minutes, seconds = (int(piece) for piece in text.split(":"))
    return 3600.0 * hours + 60.0 * minutes + seconds
