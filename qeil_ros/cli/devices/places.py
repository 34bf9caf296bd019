"""Runtimes and sets of cores as devices of their own: what a machine with one device can be placed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qeil_ros.models.staged.place import Place
from qeil_ros.platform.devices import Found, Machine, processor
from qeil_ros.platform.devices.search import cpu

__all__ = ["placed"]


def placed(
    machine: Machine, places: Mapping[str, str], sysfs_root: Path | str, procfs_root: Path | str
) -> Machine:
    """The machine with these devices for those that were found.

    Args:
        places: by name, RUNTIME[:DEVICE][@CORES].

    Raises:
        ModelError: a text is no place.
        ValueError: a place is not on this machine, or it has not the cores.
    """
    parsed = {name: Place.parse(text, name) for name, text in places.items()}
    return replace(
        machine,
        devices=tuple(
            replace(_found(machine, place, sysfs_root, procfs_root), name=place.name)
            for place in parsed.values()
        ),
    )


def _found(machine: Machine, place: Place, sysfs_root: Path | str, procfs_root: Path | str) -> Found:
    runtime = f"{place.runtime}:{place.device}"
    of = next((found for found in machine.devices if runtime in found.runtimes), None)
    if of is None:
        here = ", ".join(each for found in machine.devices for each in found.runtimes)
        raise ValueError(f"{place.name}={runtime}: nothing here runs it; there are {here or 'no runtimes'}")
    if not place.cores:
        return replace(of, runtimes=(runtime,))
    if of.kind != "cpu":
        raise ValueError(f"{place.name}={runtime}: cores are the processor's, not a {of.kind}'s")
    told = processor(sysfs_root, procfs_root)
    if missing := sorted(set(place.cores) - set(told.cpus)):
        raise ValueError(
            f"{place.name}: no core {missing[0]} that this process may use; it may use {told.cpus}"
        )
    cores = ",".join(map(str, place.cores))
    return cpu(processor(sysfs_root, procfs_root, cpus=place.cores), (f"{runtime}@{cores}",))
