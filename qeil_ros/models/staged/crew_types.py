"""What a crew is told and tells: times, faults, the health of devices; and what it remembers of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from ..schema import ModelError
from .memory import Region
from .place import Place
from .process import DeviceProcess
from .program import Program

__all__ = ["AtOnce", "Fault", "Fill", "Health", "Member", "NoDevice", "Slot", "Timing", "held"]

Fill = Callable[[NDArray[Any]], object]
"""Writes an image into the array that it is given."""


class NoDevice(ModelError):
    """No device that holds a section was in service while a request waited for one."""


class Health(Protocol):
    """Who decides when a device may return and with how much of its capacity: `safety.health.Health` does."""

    def fault(self, name: str, reason: str, now_s: float) -> None: ...
    def may_return(self, name: str, now_s: float) -> bool: ...
    def back(self, name: str, now_s: float) -> bool: ...
    def share(self, name: str, now_s: float) -> float: ...


class AtOnce:
    """A device returns as soon as it works again, wholly."""

    def fault(self, name: str, reason: str, now_s: float) -> None:
        """Changes nothing here."""

    def may_return(self, name: str, now_s: float) -> bool:
        return True

    def back(self, name: str, now_s: float) -> bool:
        return True

    def share(self, name: str, now_s: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Timing:
    """
    Attributes:
        look_s, silent_s: how often signs of life are looked for [s]; how long none is a fault [s]. A pause of
            this process itself counts as two looks at most.
        slower, overdue_s: an answer is late after `slower` times what its section took, and `overdue_s` [s].
        retry_s: between attempts to start a process that does not start [s].
        patience_s: how long a request waits for a device where none is in service [s].
    """

    look_s: float = 0.015
    silent_s: float = 0.055
    slower: float = 2.0
    overdue_s: float = 0.06
    retry_s: float = 1.0
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        times = self.look_s, self.silent_s, self.overdue_s, self.retry_s
        if min(times) <= 0 or self.slower < 1 or self.patience_s < 0:
            raise ValueError(f"times that make no sense: {self}")


@dataclass(frozen=True)
class Fault:
    """A device that failed. `at_s`: when that was noticed, monotonic [s]."""

    place: str
    reason: str
    at_s: float


@dataclass
class Member:
    """A place and its process; None: it is out of service."""

    place: Place
    held: tuple[int, ...]
    process: DeviceProcess | None = None
    regions: dict[tuple[int, int], tuple[int, Region]] = field(default_factory=dict)
    credit: float = 0.0
    silent_s: float = 0.0
    beats: int = -1


@dataclass
class Slot:
    number: int
    name: int
    region: Region
    image: NDArray[Any]


def held(program: Program, places: int, room_bytes: Sequence[float]) -> list[tuple[int, ...]]:
    """For each place the sections it holds: its own, then the others while there is room."""
    found = []
    for place in range(places):
        own = [k for k, section in enumerate(program.sections) if section.place == place]
        room = float(room_bytes[place]) if room_bytes else float("inf")
        room -= sum(len(program.sections[k].model) for k in own)
        for k in reversed(range(len(program.sections))):
            size = len(program.sections[k].model)
            if k not in own and size <= room:
                own.append(k)
                room -= size
        found.append(tuple(sorted(own)))
    return found
