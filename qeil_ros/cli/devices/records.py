"""What was found on this machine as the records that a placement takes, measured where that is asked for."""

from __future__ import annotations

import platform as host
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qeil_ros.planning.device import Device
from qeil_ros.planning.placement.devices import EQUATION_20, Figure, Measured, Record, Wire
from qeil_ros.platform.devices import Found, Machine, Told, search

from .measure import Bench, Progress
from .places import placed
from .torch_gpus import torch_gpus

__all__ = ["Here", "record", "this_machine"]

_SYSTEM = "system"


@dataclass(frozen=True)
class Here:
    """This machine: its records, what was found to make them, and what could not be measured."""

    device: Device
    machine: Machine
    notes: tuple[str, ...] = ()


def this_machine(
    *,
    measure: bool = False,
    quick: bool = False,
    power_w: Mapping[str, float] | None = None,
    places: Mapping[str, str] | None = None,
    name: str = "",
    roots: tuple[Path | str, Path | str, Path | str] = ("/sys", "/proc", "/dev"),
    progress: Progress = lambda what: None,
) -> Here:
    """The devices that are here, as records.

    Args:
        measure: run each for some seconds. quick: for less time.
        places: devices for those that are found, each RUNTIME[:DEVICE][@CORES] by its name.
        power_w: while a device is busy, by its name, as its user states it [W]; goes before what is read.
        roots: of sysfs, procfs and the device files.

    Raises:
        ValueError: a power of a device that is not here, a place that is none or not here.
    """
    progress("looking for devices")
    machine = _with_torch(search(*roots))
    if places:
        machine = placed(machine, places, roots[0], roots[1])
    stated = dict(power_w or {})
    if unknown := sorted(set(stated) - {found.name for found in machine.devices}):
        raise ValueError(
            f"power of {', '.join(unknown)}: there is no such device here; there are "
            f"{', '.join(found.name for found in machine.devices)}"
        )
    records = [record(found) for found in machine.devices]
    notes: list[str] = []
    if measure:
        with Bench(machine.processor, roots[0], roots[1], quick, progress) as bench:
            pairs = zip(machine.devices, records, strict=True)
            records = [replace(plain, measured=bench.measured(found)) for found, plain in pairs]
            notes += bench.notes
    records = [
        replace(each, power_w=Figure(stated[each.name], "stated with --power"), measured=_without_power(each))
        if each.name in stated
        else each
        for each in records
    ]
    device = Device(
        name or host.node() or "this machine", devices=tuple(records), wire=_wire(machine, records, notes)
    )
    return Here(device, machine, tuple(notes))


def record(found: Found) -> Record:
    """A device as found, nothing measured."""
    return Record(
        found.name,
        found.kind,
        found.product,
        found.runtimes,
        cores=_figure(found.cores),
        clock_hz=_figure(found.clock_hz),
        flops_per_cycle=_figure(found.flops_per_cycle) or EQUATION_20,
        flops_s={precision: _stated(told) for precision, told in found.flops_s.items()},
        bandwidth_bytes_s=_figure(found.bandwidth_bytes_s),
        memory_bytes=_figure(found.memory_bytes),
        pool=_SYSTEM if found.shares_memory else "",
        power_w=_figure(found.power_w),
    )


def _wire(machine: Machine, records: Sequence[Record], notes: list[str]) -> Wire | None:
    """The slowest bus among the devices; where all share the memory, a copy within it."""
    if len(records) < 2:
        return None
    buses = [found.wire_bytes_s for found in machine.devices if found.wire_bytes_s is not None]
    if buses:
        return Wire(_stated(min(buses, key=lambda told: told.value)))
    memory = records[0].measured.bandwidth_bytes_s
    if memory is None:
        notes.append("the speed between devices is not known: --measure measures a copy within the memory")
        return None
    return Wire(Figure(memory.value / 2, f"read and written once: half of {memory.source}", "derived"))


def _with_torch(machine: Machine) -> Machine:
    """The GPUs that torch sees beside what was found, or as further ones."""
    seen, absent = torch_gpus()
    devices = list(machine.devices)
    for gpu in seen:
        same = next(
            (
                number
                for number, found in enumerate(devices)
                if found.product == gpu.product and not any(r.startswith("torch") for r in found.runtimes)
            ),
            None,
        )
        if same is None:
            taken = {found.name for found in devices}
            name = next(n for n in ("gpu", *(f"gpu{i}" for i in range(1, 99))) if n not in taken)
            devices.append(replace(gpu, name=name))
        else:
            devices[same] = replace(devices[same], runtimes=(*devices[same].runtimes, *gpu.runtimes))
    return replace(machine, devices=tuple(devices), absent=(*machine.absent, *absent))


def _without_power(known: Record) -> Measured:
    return replace(known.measured, power_w=None)


def _figure(told: Told | None) -> Figure | None:
    return None if told is None else _stated(told)


def _stated(told: Told) -> Figure:
    return Figure(told.value, told.source, "derived" if told.derived else "stated")
