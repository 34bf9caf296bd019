"""What a search finds: devices with what their drivers tell, and what is not here, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .product import Precision

__all__ = ["Absent", "Found", "Told"]


@dataclass(frozen=True)
class Told:
    """A figure as a driver or the kernel tells it; `derived`: calculated from such figures."""

    value: float
    source: str
    derived: bool = False


@dataclass(frozen=True)
class Found:
    """A device of this machine; what is not told is None.

    Attributes:
        runtimes: what can run a network on it here.
        flops_s: the highest speed by precision. flops_per_cycle: of one core, in fp32.
        shares_memory: with the processor; its bandwidth too.
        wire_bytes_s: between it and the processor's memory, where that is a bus.
        power_w: at most.
        cpus: numbers of the processors that it is, where it is some of them; empty: not a part of them.
    """

    name: str
    kind: Literal["cpu", "gpu", "npu"]
    product: str
    runtimes: tuple[str, ...] = ()
    cores: Told | None = None
    clock_hz: Told | None = None
    flops_per_cycle: Told | None = None
    flops_s: Mapping[Precision, Told] = field(default_factory=dict)
    bandwidth_bytes_s: Told | None = None
    memory_bytes: Told | None = None
    power_w: Told | None = None
    wire_bytes_s: Told | None = None
    shares_memory: bool = False
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Absent:
    """What was looked for and is not here, and why."""

    name: str
    reason: str
