"""`qeil sensors`: what this machine can tell of its heat, power and load, and which clocks can be limited."""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from .errors import CliError

if TYPE_CHECKING:
    from rich.console import Group

    from qeil_ros.platform import Actuator, Reading, Sample, Sampler, Source, TripPoints

__all__ = ["facts", "register", "view"]

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_SCALED = ("Hz", "B", "B/s")
_FIRST_S = 0.5


def register(app: typer.Typer) -> None:
    app.command("sensors")(sensors)


def sensors(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="go on, and show what changes")] = False,
    json_file: Annotated[
        str,
        typer.Option(
            "--json",
            metavar="FILE|-",
            help="write it there as JSON, with --watch one object a line; -: print it",
        ),
    ] = "",
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="go on, and write a table there that --replay can play"),
    ] = None,
    period: Annotated[float, typer.Option(min=0.02, help="seconds between two rounds")] = 0.5,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="how long to go on; 0: until it is interrupted")
    ] = 0.0,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="play a recording instead: an sbc-bench report, a table of layer powers, one of --record",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(min=1e-3, help="recorded seconds in one second of --replay")] = 1.0,
    sysfs_root: Annotated[Path, typer.Option(help="where to look instead of in /sys")] = Path("/sys"),
    procfs_root: Annotated[Path, typer.Option(help="where to look instead of in /proc")] = Path("/proc"),
    uncap: Annotated[
        bool,
        typer.Option("--uncap", help="lift the limit of every clock to the hardware's highest, and exit"),
    ] = False,
) -> None:
    """Show every sensor with what it says, or why it says nothing, and every clock that can be limited.

    Nothing is changed without --uncap. That is for the rare case that a supervisor was killed together with
    the helper that undoes its limits, as when a container is stopped the hard way.

    Example: qeil sensors --watch
    """
    from qeil_ros.platform import Sampler, actuators, survey, trip_points

    caps = [] if replay else actuators(sysfs_root)
    if uncap:
        _uncap(caps)
        return
    sources = [_recording(replay, speed)] if replay else survey(sysfs_root, procfs_root)
    found = [sensor for source in sources for sensor in source.sensors]
    trips = trip_points(found)
    with ExitStack() as stack:
        takers: list[Callable[[Sample], None]] = []
        if record:
            takers.append(_Table(stack.enter_context(_opened(record))).add)
        if json_file:
            out = sys.stdout if json_file == "-" else stack.enter_context(_opened(Path(json_file)))
            indent = None if watch else 2
            takers.append(
                lambda sample: print(
                    json.dumps(facts(sample, sources, caps, trips), indent=indent), file=out, flush=True
                )
            )
        elif watch or not record:
            show = stack.enter_context(_shown(live=watch))
            takers.append(lambda sample: show(view(facts(sample, sources, caps, trips))))
        sampler = stack.enter_context(closing(Sampler(found)))
        for sample in _rounds(sampler, period, seconds) if watch or record else _once(sampler):
            for take in takers:
                take(sample)


def facts(
    sample: Sample, sources: Sequence[Source], caps: Sequence[Actuator], trips: dict[str, TripPoints]
) -> dict[str, Any]:
    """One round as plain data; null where there is no value."""
    return {
        "took_s": sample.took_s,
        "readings": [_reading(reading, trips.get(reading.name)) for reading in sample.readings],
        "clocks": [_cap(cap) for cap in caps],
        "sources": {source.name: source.problem or len(source.sensors) for source in sources},
    }


def _reading(reading: Reading, trips: TripPoints | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": reading.name,
        "value": reading.value if reading.good else None,
        "unit": reading.unit,
        "quality": reading.quality.name.lower(),
        "source": reading.source,
        "reason": reading.reason,
    }
    if trips is not None:
        told["trip_points_c"] = {
            key.removesuffix("_c"): value for key, value in vars(trips).items() if not math.isnan(value)
        }
    return told


def _cap(cap: Actuator) -> dict[str, Any]:
    from qeil_ros.platform import ActuatorError

    told: dict[str, Any] = {"name": cap.name, "clocks_hz": cap.clocks_hz(), "problem": cap.problem}
    try:
        return told | {"limit_hz": cap.cap_hz()}
    except ActuatorError:
        return told | {"limit_hz": None}  # `problem` says why


def view(told: dict[str, Any]) -> Group:
    """The facts as a person reads them."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    readings = Table(box=box.SIMPLE, pad_edge=False)
    readings.add_column("reading", no_wrap=True)
    readings.add_column("value", justify="right", no_wrap=True)
    readings.add_column("quality", no_wrap=True)
    readings.add_column("source, or why there is no value", overflow="fold")
    for one in told["readings"]:
        limits = ", ".join(f"{kind} {value:g} C" for kind, value in one.get("trip_points_c", {}).items())
        said = Text(one["source"], style="dim")
        if limits:
            said.append(f"  ({limits})")
        if one["reason"]:
            said = Text(f"{one['source']} {one['reason']}".strip(), style="yellow")
        readings.add_row(one["name"], _value(one["value"], one["unit"]), one["quality"], said)
    parts: list[Any] = [readings]
    if told["clocks"]:
        clocks = Table(box=box.SIMPLE, pad_edge=False)
        for heading in ("clock that can be limited", "limit", "from", "to", "by this user"):
            clocks.add_column(heading, overflow="fold")
        for one in told["clocks"]:
            ends = one["clocks_hz"][:1], one["clocks_hz"][-1:]
            low, high = (_value(end[0] if end else None, "Hz") for end in ends)
            permitted = Text(f"no: {one['problem']}", style="yellow") if one["problem"] else Text("yes")
            clocks.add_row(one["name"], _value(one["limit_hz"], "Hz"), low, high, permitted)
        parts.append(clocks)
    for name, problem in told["sources"].items():
        if isinstance(problem, str):
            parts.append(Text(f"nothing from {name}: {problem}", style="dim"))
        elif not problem:
            parts.append(Text(f"nothing from {name}", style="dim"))
    return Group(*parts)


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    factor, prefix = next(((f, p) for f, p in _PREFIXES if unit in _SCALED and abs(value) >= f), (1.0, ""))
    return f"{value / factor:.4g} {prefix}{unit}".rstrip()


class _Table:
    """One row for each round, in the columns of the first."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._began_s: float | None = None

    def add(self, sample: Sample) -> None:
        if self._began_s is None:
            self._began_s = sample.time_s
            self._writer.writerow(["time_s", *(reading.name for reading in sample.readings)])
        row = [f"{reading.value:.7g}" if reading.good else "" for reading in sample.readings]
        self._writer.writerow([f"{sample.time_s - self._began_s:.3f}", *row])
        self._file.flush()


def _once(sampler: Sampler) -> Iterator[Sample]:
    """One round; the one before it is what rates are counted from."""
    sampler.sample()
    time.sleep(_FIRST_S)
    yield sampler.sample()


def _rounds(sampler: Sampler, period_s: float, seconds: float) -> Iterator[Sample]:
    began_s = due_s = time.monotonic()
    while not seconds or due_s - began_s <= seconds:
        yield sampler.sample()
        due_s = max(due_s + period_s, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


def _recording(path: Path, speed: float) -> Source:
    from qeil_ros.platform import ReplaySensors, Source, TraceError, load_trace

    try:
        return Source("replay", (ReplaySensors(load_trace(path), speed=speed),))
    except TraceError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from error


def _uncap(caps: Sequence[Actuator]) -> None:
    refused = [problem for cap in caps if (problem := _lifted(cap))]
    if refused:
        raise CliError("; ".join(refused), exit_code=1)
    if not caps:
        print("no clock here can be limited")


def _lifted(cap: Actuator) -> str:
    """Why the limit could not be lifted; empty where it was."""
    from qeil_ros.platform import ActuatorError

    try:
        cap.lift()
        print(f"{cap.name}: limit {_value(cap.cap_hz(), 'Hz')}")
    except ActuatorError as error:
        return str(error)
    return ""


def _opened(path: Path) -> IO[str]:
    try:
        return open(path, "w", encoding="utf-8", newline="")
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}", exit_code=1) from error


@contextmanager
def _shown(live: bool) -> Iterator[Callable[[Group], None]]:
    """Shows one view after another, `live`: in the same place."""
    from rich.console import Console
    from rich.live import Live

    if not live:
        yield Console().print
        return
    with Live(auto_refresh=False) as place:
        yield lambda group: place.update(group, refresh=True)
