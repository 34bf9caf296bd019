"""The records of the devices inside one machine: what a placement is told of them, and where each figure is
from.

Paper: QEIL, arXiv 2602.06057, Eq 17: memory M, bandwidth B, clock f, power P, cores n, efficiency lambda, and
C = 2 f n (Eq 20). A record holds these, the peaks that makers state where C = 2 f n says too little (matrix
units, vectors), and what was measured, which goes before both. What a figure rests on stays beside it: a
placement is worth as much as the least of its figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from .problem import Device, Link, Refused

__all__ = ["PRECISIONS", "Figure", "Measured", "Precision", "Record", "Wire", "as_devices", "check_pools"]

Precision = Literal["fp32", "fp16", "bf16", "fp8", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Figure:
    """A number and what it rests on.

    Attributes:
        source: a paper, a maker's page, a forum, a command that was run.
        quality: measured on such a device; stated by its maker or by a paper; derived from figures of that
            kind, the source says how; assumed: ours, the source says why.
    """

    value: float
    source: str
    quality: Literal["measured", "stated", "derived", "assumed"] = "stated"

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise ValueError(f"value is {self.value}; want a finite number above 0")
        if not self.source.strip():
            raise ValueError("source is empty; say where the number is from")


EQUATION_20 = Figure(2.0, "arXiv 2602.06057, Eq 20: a multiplication and an addition")


@dataclass(frozen=True)
class Measured:
    """What was measured on this very device; goes before what is stated of it."""

    bandwidth_bytes_s: Figure | None = None
    power_w: Figure | None = None
    flops_s: dict[Precision, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A device (Eq 17). What is not known is None, and missed when a placement asks for it.

    Attributes:
        name: in its machine, short: "cpu", "npu".
        product: what its maker calls it.
        runtimes: what runs a network on it, RUNTIME:DEVICE[@CORES], for example "onnxruntime:cuda",
            "openvino:NPU", "onnxruntime:cpu@0-3".
        cores, clock_hz: n and f. flops_per_cycle: of one core; 2 by the paper.
        flops_s: the highest speed by precision [FLOP/s], where it is known better than by cores and clock; a
            precision that is not among them is one that the device does not compute in.
        bandwidth_bytes_s: B, of its memory. memory_bytes: M.
        pool: devices of one machine with the same pool, if not empty, share that memory.
        power_w: P, while it is busy. efficiency: lambda of Eq 2.
    """

    name: str
    kind: Literal["cpu", "gpu", "npu"]
    product: str = ""
    runtimes: tuple[str, ...] = ()
    cores: Figure | None = None
    clock_hz: Figure | None = None
    flops_per_cycle: Figure = EQUATION_20
    flops_s: dict[Precision, Figure] = field(default_factory=dict)
    bandwidth_bytes_s: Figure | None = None
    memory_bytes: Figure | None = None
    pool: str = ""
    power_w: Figure | None = None
    efficiency: Figure = Figure(1.0, "no factor", "assumed")
    measured: Measured = field(default_factory=Measured)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; a device wants a short name")

    def by_cores(self) -> Figure | None:
        """C = 2 f n, Eq 20, with `flops_per_cycle` for 2 [FLOP/s]; None: cores or clock are not known."""
        if self.cores is None or self.clock_hz is None:
            return None
        value = self.flops_per_cycle.value * self.clock_hz.value * self.cores.value
        source = (
            f"{self.flops_per_cycle.value:g} FLOP x {self.clock_hz.value:.4g} Hz x {self.cores.value:g} cores"
        )
        return Figure(value, f"{source} (Eq 20)", "derived")

    def peak(self, precision: Precision) -> Figure | None:
        """The speed that counts [FLOP/s]: measured, else stated; by Eq 20 where no precision is told apart.

        None: not known, or the device does not compute in it.
        """
        known = self.measured.flops_s.get(precision) or self.flops_s.get(precision)
        return known or (self.by_cores() if not self.flops_s else None)

    def bandwidth(self) -> Figure | None:
        """The bandwidth that counts [byte/s]: measured, else stated; None: not known."""
        return self.measured.bandwidth_bytes_s or self.bandwidth_bytes_s

    def power(self) -> Figure | None:
        """The power that counts [W]: measured, else stated; None: not known."""
        return self.measured.power_w or self.power_w

    def device(self, precision: Precision = "fp32") -> Device:
        """What a placement is made for.

        Raises:
            ValueError: a figure that it takes is not known; the message names all that are missing.
        """
        wanted = {
            f"flops_s of {precision}": self.peak(precision),
            "bandwidth_bytes_s": self.bandwidth(),
            "power_w": self.power(),
            "memory_bytes": self.memory_bytes,
        }
        if missing := [name for name, figure in wanted.items() if figure is None]:
            raise ValueError(
                f"device {self.name!r}: {', '.join(missing)} not known; `qeil devices --measure` measures "
                "speed and bandwidth, --power states what nothing measures, and a file can state all"
            )
        flops_s, bandwidth, power, memory = (figure.value for figure in wanted.values() if figure is not None)
        return Device(self.name, flops_s, bandwidth, power, memory, self.efficiency.value)


@dataclass(frozen=True)
class Wire:
    """Between any two devices of a machine.

    Attributes:
        start_s: before the first byte. j_byte: energy of a byte. None: counted as 0.
    """

    bytes_s: Figure
    start_s: Figure | None = None
    j_byte: Figure | None = None

    def link(self) -> Link:
        """What a placement is made with."""
        start_s = self.start_s.value if self.start_s is not None else 0.0
        return Link(self.bytes_s.value, start_s, self.j_byte.value if self.j_byte is not None else 0.0)


def as_devices(
    records: Iterable[Record], precision: Precision = "fp32", names: Sequence[str] = ()
) -> tuple[Device, ...]:
    """The devices of a placement, in the order of `names`; without names all.

    Raises:
        ValueError: none of a name is there, or a figure is missing.
    """
    found = {record.name: record for record in records}
    if unknown := [name for name in names if name not in found]:
        raise ValueError(f"no device {', '.join(unknown)}; there are {', '.join(found)}")
    return tuple(found[name].device(precision) for name in names or found)


def check_pools(records: Sequence[Record], used_bytes: Iterable[float]) -> None:
    """Whether what devices hold fits the memory that they share; `Problem.check` looks at each by itself.

    Args:
        used_bytes: on each device, `Outcome.memory_bytes`.

    Raises:
        Refused: together they hold more than their pool has.
    """
    used: dict[str, float] = {}
    size: dict[str, float] = {}
    for record, held in zip(records, used_bytes, strict=True):
        if record.pool and record.memory_bytes is not None:
            used[record.pool] = used.get(record.pool, 0.0) + float(held)
            size[record.pool] = max(size.get(record.pool, 0.0), record.memory_bytes.value)
    for pool, held in used.items():
        if held > size[pool]:
            sharing = ", ".join(record.name for record in records if record.pool == pool)
            raise Refused(
                "memory",
                held,
                size[pool],
                f"{sharing} would hold {held:.4g} bytes together and share {size[pool]:.4g} ({pool}): "
                f"{held / size[pool] - 1:.1%} too much",
            )
