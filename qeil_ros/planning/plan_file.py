"""The plan file: what `qeil plan` finds out once and the supervisor plans from while the robot runs.

It holds a model's cuts as measured, the machines, the promise (T0, E0, rates), the link that was assumed, and
the point that was best then. `PlanFile.planner()` makes the planner that goes on from there with readings of
the moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import plain
from .corrections import Corrections
from .device import Power
from .link import Link, Load
from .plain import FileError
from .planner import Goals, Machines, Model, OperatingPoint, Planner, Readings

__all__ = ["FORMAT", "FileError", "Measure", "PlanFile", "local_name", "read", "split_of", "write"]

FORMAT = 1
MOST_POINTS = 1 << 15
"""Splits x weight widths x feature widths x profiles at most: what a supervisor can go through in time."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOCAL = "/local"


def local_name(split: str) -> str:
    """The planner's name for the robot's answering alone, behind that cut of the model."""
    return split + _LOCAL


def split_of(name: str) -> str:
    """The cut of the model that a planned point runs: its split, without what `local_name` added."""
    return name.removesuffix(_LOCAL)


@dataclass(frozen=True)
class Measure:
    """What the loss of a plan's cuts counts: how far a score is below the best possible one.

    Attributes:
        score: its name, as `qeil evaluate` has it. best: the value of no loss.
        data: what it was measured on. frames: how many of them.
    """

    score: str
    best: float = 1.0
    data: str = ""
    frames: int = 0

    def quality(self, loss: float) -> float:
        """The score."""
        return self.best - loss


@dataclass(frozen=True, eq=False)
class PlanFile:
    """A plan.

    Attributes:
        model_name, model_digest: of the model folder (`ModelFolder.digest`); a plan is for no other.
        model: its cuts; the robot alone is a cut of its own, `local_name(split)`, which does not travel.
        point: the best one with `link` and `load`, which were assumed, not measured.
        agent_power, server_power: where the machines' powers come from.
        notes: what a reader should know: what was assumed, what could not be measured.

    Raises:
        ValueError: parts that do not agree.
    """

    model_name: str
    model_digest: str
    measure: Measure
    model: Model
    machines: Machines
    goals: Goals
    link: Link
    point: OperatingPoint
    load: Load = field(default_factory=Load)
    agent_power: Power = field(default_factory=Power)
    server_power: Power = field(default_factory=Power)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.model_digest):
            raise ValueError(
                f"model_digest is {plain.shown(self.model_digest)}; want 64 lower-case hexadecimal digits"
            )
        model, point = self.model, self.point
        sizes = [
            len(model.cuts),
            len(model.weight_bits),
            len(model.feature_bits),
            len(self.machines.profiles),
        ]
        points = 1
        for size in sizes:
            points *= size
        if not 1 <= points <= MOST_POINTS:
            raise ValueError(f"{' x '.join(map(str, sizes))} points to choose from; want 1 to {MOST_POINTS}")
        if not all(0 <= bits <= 8 for bits in (*model.weight_bits, *model.feature_bits)):
            raise ValueError(
                f"widths {model.weight_bits} and {model.feature_bits}; want 1 to 8 bits, or 0 for as stored"
            )
        # What the parts do not agree about is refused here, and numbers too large to reckon with.
        with np.errstate(over="ignore"):
            self.planner().plan(self.readings(0.0))
        for name, value, among in (
            ("split", point.split, [cut.name for cut in model.cuts]),
            ("weight_bits", point.weight_bits, model.weight_bits),
            ("feature_bits", point.feature_bits, (0, *model.feature_bits)),
            ("profile", point.profile, self.machines.profiles),
            ("rate_hz", point.rate_hz, self.goals.rates_hz),
        ):
            if value not in among:
                raise ValueError(f"point.{name} is {value!r}; there are {', '.join(map(str, among))}")

    def planner(self, corrections: Corrections | None = None) -> Planner:
        """A planner for this model on these machines; it may keep what another one has learnt."""
        return Planner(self.model, self.machines, self.goals, corrections)

    def readings(self, now_s: float) -> Readings:
        """What was assumed when the plan was made, for where nothing is measured yet."""
        return Readings(now_s, self.link, self.load)


def read(path: Path | str) -> PlanFile:
    """The plan in that file.

    Raises:
        FileError: it cannot be read, or is wrong; the message says where and what.
    """
    return plain.read(Path(path), PlanFile, FORMAT)


def write(path: Path | str, plan: PlanFile, comment: str = "") -> None:
    """Writes a plan, below a comment. OSError: not possible there."""
    plain.write(Path(path), plan, FORMAT, comment)
