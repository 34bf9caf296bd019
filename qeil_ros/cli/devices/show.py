"""The devices of a machine as a person reads them: every figure with what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qeil_ros.planning.device import Device
from qeil_ros.planning.placement.devices import PRECISIONS, Figure, Record
from qeil_ros.platform.devices import Machine, Processor

__all__ = ["facts", "view"]

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_STYLES = {"measured": "green", "stated": "", "derived": "cyan", "assumed": "yellow"}


def facts(device: Device, machine: Machine | None, notes: tuple[str, ...]) -> dict[str, Any]:
    """All of it as plain data. `machine`: what was found here; None: the records are of a file."""
    from qeil_ros.planning.plain import to_plain

    told: dict[str, Any] = {
        "name": device.name,
        "devices": [to_plain(record) for record in device.devices],
        "wire": None if device.wire is None else to_plain(device.wire),
        "notes": list(notes),
    }
    if machine is not None:
        processor = to_plain(machine.processor)
        processor["quota"] = None if machine.processor.quota == float("inf") else machine.processor.quota
        told["processor"] = processor
        told["absent"] = {absent.name: absent.reason for absent in machine.absent}
    return told


def view(device: Device, machine: Machine | None, notes: tuple[str, ...]) -> Group:
    """The same for people."""
    parts: list[Any] = [_table(record) for record in device.devices]
    if device.wire is not None:
        figure = device.wire.bytes_s
        parts.append(
            Text(f"between devices: {_value(figure.value, 'B/s')} ({figure.quality}: {figure.source})")
        )
    if machine is not None:
        parts += [Text(_processor(machine.processor)), _absences(machine)]
    parts += [Text(note, style="yellow") for note in notes]
    return Group(*parts)


def _table(record: Record) -> Table:
    runs = ", ".join(record.runtimes) or "nothing here runs networks on it"
    table = Table(
        title=Text.assemble((record.name, "bold"), f"  {record.product}  ", (f"({runs})", "dim")),
        title_justify="left",
        title_style="",
        box=box.SIMPLE,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("quality", no_wrap=True)
    table.add_column("source", overflow="fold")
    for name, figure, unit in _rows(record):
        if figure is None:
            table.add_row(name, "-", "", Text("not known", style="yellow"))
        else:
            style = _STYLES[figure.quality]
            source = Text(figure.source, style="dim")
            table.add_row(name, _value(figure.value, unit), Text(figure.quality, style=style), source)
    return table


def _absences(machine: Machine) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("not here", no_wrap=True)
    table.add_column("why", overflow="fold", style="dim")
    for absent in machine.absent:
        table.add_row(absent.name, Text(absent.reason))  # a reason may hold brackets, which are no markup
    return table


def _rows(record: Record) -> Iterator[tuple[str, Figure | None, str]]:
    """(name, figure, unit); what was measured stands before what is stated of the same thing."""
    measured = record.measured
    if record.cores is not None:
        yield "cores", record.cores, ""
    if record.clock_hz is not None:
        yield "clock", record.clock_hz, "Hz"
    for precision in PRECISIONS:
        name = f"peak {precision}"
        if precision in measured.flops_s:
            yield name, measured.flops_s[precision], "FLOP/s"
            name = ""
        if precision in record.flops_s:
            yield name, record.flops_s[precision], "FLOP/s"
    if not record.flops_s and not measured.flops_s:
        yield "peak", record.by_cores(), "FLOP/s"
    yield "bandwidth", record.bandwidth(), "B/s"
    if measured.bandwidth_bytes_s is not None and record.bandwidth_bytes_s is not None:
        yield "", record.bandwidth_bytes_s, "B/s"
    memory = record.memory_bytes
    yield f"memory{', shared' if record.pool else ''}", memory, "B"
    yield "power, busy", record.power(), "W"
    if record.efficiency.value != 1.0:
        yield "efficiency factor", record.efficiency, ""
    yield from _ridges(record)


def _ridges(record: Record) -> Iterator[tuple[str, Figure, str]]:
    """FLOP a byte above which work is bound by arithmetic (Eq 8), in the first precision that is known."""
    bandwidth = record.bandwidth()
    for precision in PRECISIONS:
        peak = record.peak(precision)
        if peak is not None and bandwidth is not None:
            yield (
                f"ridge {precision}",
                Figure(peak.value / bandwidth.value, "peak / bandwidth (Eq 8)", "derived"),
                "FLOP/B",
            )
            return


def _processor(processor: Processor) -> str:
    caches = ", ".join(
        f"L{cache.level}{'' if cache.kind == 'unified' else ' ' + cache.kind} "
        f"{cache.count} x {cache.size_bytes / 1024:g} KiB"
        for cache in processor.caches
    )
    isa = ", ".join(processor.isa)
    return (
        f"processor: {processor.architecture}, {processor.cores} cores, {processor.threads} threads; "
        f"caches: {caches or 'not told'}; instructions: {isa or 'none of note told'}"
    )


def _value(value: float, unit: str) -> str:
    if not unit:
        return f"{value:g}"
    scaled = unit not in ("W", "FLOP/B")
    factor, prefix = next(((f, p) for f, p in _PREFIXES if scaled and value >= f), (1.0, ""))
    return f"{value / factor:.4g} {prefix}{unit}".rstrip()
