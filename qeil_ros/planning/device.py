"""Device profiles: how fast a machine computes, what that takes, and which models were timed on it.

`qeil profile` measures one and writes it; `config/devices` has some from data sheets. A model that was timed
is planned with its own times; any other one by counting operations, at the speed of the machine's clocks.

The same file may list the devices inside the machine, among which a placement of layers chooses: `qeil
devices` finds and measures those. The two say different things of a machine: a profile is the machine as one
end of a link, at each clock it can be told to keep; a record is one processor of it at its highest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import plain
from .cost import Side, WidthCurve
from .placement.devices import Record, Wire
from .plain import FileError
from .planner import Machines

__all__ = [
    "AS_STORED",
    "FORMAT",
    "Clock",
    "Device",
    "FileError",
    "ModelTimes",
    "Power",
    "Radio",
    "SplitTimes",
    "machines",
    "read",
    "write",
]

FORMAT = 1
AS_STORED = 0


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}; want a finite value not below 0")


@dataclass(frozen=True)
class Power:
    """Where the powers of a machine come from; without any, its energy is not known and counted as 0 J.

    Attributes:
        source: what was read, or who stated it.
        quality: "measured" on this machine; "modelled": stated, or by a model; "none": not known.
        idle_w: of the machine at rest [W]. What a clock's `busy_w` adds to.
    """

    source: str = ""
    quality: Literal["none", "measured", "modelled"] = "none"
    idle_w: float = 0.0

    def __post_init__(self) -> None:
        _not_negative(idle_w=self.idle_w)

    @property
    def known(self) -> bool:
        return self.quality != "none"


@dataclass(frozen=True)
class Clock:
    """One clock that the machine can be told to keep.

    Attributes:
        slowdown: its times relative to those that the profile gives.
        busy_w: power above idle while it computes [W], a server's cooling included.
        hz: to be set; 0: leave the clock alone.
    """

    name: str
    slowdown: float = 1.0
    busy_w: float = 0.0
    hz: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or not 0 < self.slowdown < math.inf:
            raise ValueError(
                f"clock {self.name!r}: slowdown is {self.slowdown}; want a name and a positive number"
            )
        _not_negative(busy_w=self.busy_w, hz=self.hz)


@dataclass(frozen=True)
class Radio:
    """What sending takes: energy of a bit [J], and power [W] for a while [s] after each payload."""

    joules_per_bit: float = 0.0
    tail_w: float = 0.0
    tail_s: float = 0.0

    def __post_init__(self) -> None:
        _not_negative(**vars(self))


@dataclass(frozen=True)
class SplitTimes:
    """Median times of one frame at one cut; None: that part is not on this machine.

    Attributes:
        agent_s: of the agent part by the width of its weights; 0: as stored.
        encode_s: of coding the features, by their width.
        first_s: of the server part to the whole answer, or to the first token where it generates.
        token_s: of each further token.
        local_s: of the local part, on the agent part's features.
    """

    name: str
    prepare_s: float = 0.0
    agent_s: dict[int, float] = field(default_factory=dict)
    encode_s: dict[int, float] = field(default_factory=dict)
    decode_s: float = 0.0
    first_s: float | None = None
    token_s: float = 0.0
    local_s: float | None = None

    def __post_init__(self) -> None:
        times = {"prepare_s": self.prepare_s, "decode_s": self.decode_s, "token_s": self.token_s}
        _not_negative(**times, first_s=self.first_s or 0.0, local_s=self.local_s or 0.0)
        for name, by_bits in (("agent_s", self.agent_s), ("encode_s", self.encode_s)):
            if not all(0 <= bits <= 32 and 0 < time < math.inf for bits, time in by_bits.items()):
                raise ValueError(f"{name} is {by_bits}; want positive times by widths of 0 to 32 bits")

    def robot_s(self, bits: int) -> float:
        """From the image to the coded features with weights of that width [s]. KeyError: not timed."""
        return self.prepare_s + self.agent_s[bits] + max(self.encode_s.values(), default=0.0)


@dataclass(frozen=True)
class ModelTimes:
    """A model's parts as timed on this machine.

    Attributes:
        digest: of the model folder; the times are of no other.
        tokens: of an answer, on average; 1 where the model does not generate.
    """

    name: str
    digest: str
    splits: tuple[SplitTimes, ...]
    tokens: float = 1.0
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.tokens < math.inf:
            raise ValueError(f"tokens is {self.tokens}; want 1 or more")

    def split(self, name: str) -> SplitTimes | None:
        return next((split for split in self.splits if split.name == name), None)


@dataclass(frozen=True)
class Device:
    """A machine.

    Attributes:
        clocks: that it can be told to keep.
        seconds_per_flop: of a model's part as counted by its multiplications and additions, for models that
            were not timed here; 0: not known, only timed ones can be planned.
        widths: how time depends on the weights' width, for models that were not timed here; None: not at all,
            as with our kernels.
        thermal_c_per_w: what a watt heats it by in the long run [K/W]; 0: not known.
        server: the machine that goes with it, where the profile is of a pair.
        devices: inside it, for placements; empty: not listed. wire: between any two of them.
    """

    name: str
    clocks: tuple[Clock, ...] = (Clock("as it is"),)
    seconds_per_flop: float = 0.0
    description: str = ""
    power: Power = field(default_factory=Power)
    radio: Radio = field(default_factory=Radio)
    widths: WidthCurve | None = None
    thermal_c_per_w: float = 0.0
    models: tuple[ModelTimes, ...] = ()
    server: Device | None = None
    devices: tuple[Record, ...] = ()
    wire: Wire | None = None

    def __post_init__(self) -> None:
        inside = [record.name for record in self.devices]
        if len(set(inside)) != len(inside):
            raise ValueError(f"devices {inside}; want different names")
        names = [clock.name for clock in self.clocks]
        if not 1 <= len(names) <= 32 or len(set(names)) != len(names):
            raise ValueError(f"clocks {names}; want 1 to 32 of different names")
        _not_negative(thermal_c_per_w=self.thermal_c_per_w, seconds_per_flop=self.seconds_per_flop)

    def times(self, digest: str) -> ModelTimes | None:
        """A model's times here; None where it was not timed."""
        return next((model for model in self.models if model.digest == digest), None)

    @property
    def flop_s(self) -> float:
        """Seconds of an operation where times are expressed in operations: a nominal one where not known."""
        return self.seconds_per_flop or 1e-9

    def side(self) -> Side:
        """Speed and power at each clock."""
        return Side(
            tuple(self.flop_s * clock.slowdown for clock in self.clocks),
            tuple(clock.busy_w if self.power.known else 0.0 for clock in self.clocks),
        )


def machines(agent: Device, server: Device) -> Machines:
    """The pair in every combination of their clocks; a profile is named "agent's/server's" where both have
    several.
    """
    robot, other = agent.side(), server.side()
    pairs = [(a, s) for a in range(len(agent.clocks)) for s in range(len(server.clocks))]

    def name(a: int, s: int) -> str:
        mine, theirs = agent.clocks[a].name, server.clocks[s].name
        return mine if len(server.clocks) == 1 else theirs if len(agent.clocks) == 1 else f"{mine}/{theirs}"

    def repeated(values: tuple[float, ...], of: int) -> tuple[float, ...]:
        return tuple(values[pair[of]] for pair in pairs)

    return Machines(
        tuple(name(a, s) for a, s in pairs),
        Side(repeated(robot.seconds_per_flop, 0), repeated(robot.busy_w, 0)),
        Side(repeated(other.seconds_per_flop, 1), repeated(other.busy_w, 1)),
        agent.thermal_c_per_w,
        repeated(tuple(clock.hz for clock in agent.clocks), 0),
    )


def read(path: Path | str) -> Device:
    """The profile in that file.

    Raises:
        FileError: it cannot be read, or is wrong; the message says where and what.
    """
    return plain.read(Path(path), Device, FORMAT)


def write(path: Path | str, device: Device, comment: str = "") -> None:
    """Writes a profile, below a comment. OSError: not possible there."""
    plain.write(Path(path), device, FORMAT, comment)
