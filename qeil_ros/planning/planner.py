"""The planner that a supervisor asks for the operating point, with the readings of the moment.

Past the paper (arXiv 2602.13052), as `joint.py` and `cost.py` are, which do the work: tables from the model,
the machines and the readings; corrections from what was measured; the exact best point. Pure: no clock is
read, and nothing here smooths the choice from call to call. Not for several threads at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .corrections import Corrections, Spread
from .cost import Cut, Factors, Side, Tables, WidthCurve, Work
from .joint import Choices, Move, Point, Problem, Resource, solve
from .link import Link, Load

__all__ = ["Goals", "Machines", "Model", "OperatingPoint", "Plan", "Planner", "Quantities", "Readings"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Model:
    """A model with its cuts and the widths that can be had.

    Attributes:
        weight_bits: widths of the agent's weights [W]; 0: as stored.
        feature_bits: widths of a feature value [Q].
        widths: how the agent's time depends on its weights' width.
        tokens: expected length of an answer.
    """

    cuts: tuple[Cut, ...]
    weight_bits: tuple[int, ...]
    feature_bits: tuple[int, ...]
    widths: WidthCurve
    tokens: float = 1.0


@dataclass(frozen=True)
class Machines:
    """Robot and server in each clock profile [P].

    Attributes:
        thermal_c_per_w: what a watt heats the robot by [K/W].
        clocks_hz: the robot's clock in each profile, to be set; 0: leave it alone. Empty: all of them.
    """

    profiles: tuple[str, ...]
    agent: Side
    server: Side
    thermal_c_per_w: float = 0.0
    clocks_hz: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.profiles) == len(self.agent.busy_w) == len(self.server.busy_w):
            raise ValueError(f"profiles {self.profiles} do not agree with the sides' number of profiles")
        if len(self.clocks_hz) not in (0, len(self.profiles)):
            raise ValueError(f"{len(self.clocks_hz)} clocks for the profiles {self.profiles}")
        for value in (self.thermal_c_per_w, *self.clocks_hz):
            if not 0 <= value < math.inf:
                raise ValueError(f"{self}: thermal_c_per_w and clocks_hz must be finite and not negative")

    def clock_hz(self, profile: str) -> float:
        """The robot's clock in that profile; 0: leave it alone."""
        return self.clocks_hz[self.profiles.index(profile)] if self.clocks_hz else 0.0


@dataclass(frozen=True)
class Goals:
    """What is promised for a frame.

    Attributes:
        delay_s: T0, from the frame to its answer. energy_j: E0, of both machines and the radio.
        bytes_s: payload bytes a second at most.
        rates_hz: frame rates that will do, the most wanted first: the first feasible one is taken.
        caution: how many mean deviations of measured from predicted delay are kept free; 2 is the 95th
            percentile of a normal spread.
    """

    delay_s: float
    energy_j: float = math.inf
    bytes_s: float = math.inf
    rates_hz: tuple[float, ...] = (10.0,)
    caution: float = 2.0

    def __post_init__(self) -> None:
        if not (self.delay_s > 0 and self.energy_j > 0 and self.bytes_s > 0 and self.caution >= 0):
            raise ValueError(f"{self}: limits must be positive, caution not negative")
        if not self.rates_hz or not all(0 < rate < math.inf for rate in self.rates_hz):
            raise ValueError(f"rates_hz is {self.rates_hz}; want one or more positive rates")


@dataclass(frozen=True)
class Readings:
    """The state of things.

    Attributes:
        now_s: monotonic time [s].
        link: None where there is none: only what the robot does alone is left.
        load: of the server, by others.
        profiles: names of the clock profiles to be had now; None: all.
        energy_left_j, time_left_s: of the robot's energy for inference, and how long it must last.
        headroom_c: how far the hottest part is below its limit [K]; below 0 where it is above.
        inference_w: what inference takes of the robot now [W]; `headroom_c` is on top of it.
    """

    now_s: float
    link: Link | None
    load: Load | None = None
    profiles: tuple[str, ...] | None = None
    energy_left_j: float = math.inf
    time_left_s: float = math.inf
    headroom_c: float = math.inf
    inference_w: float = 0.0

    def robot_j(self, rate_hz: float, thermal_c_per_w: float) -> float:
        """Energy of the robot that a frame may take, by battery and by heat [J]; 0 or less: none at all."""
        limit = math.inf
        if math.isfinite(self.energy_left_j) and math.isfinite(self.time_left_s):
            limit = self.energy_left_j / max(self.time_left_s, 1.0 / rate_hz) / rate_hz
        if math.isfinite(self.headroom_c) and thermal_c_per_w > 0:
            limit = min(limit, (self.inference_w + self.headroom_c / thermal_c_per_w) / rate_hz)
        return limit


@dataclass(frozen=True)
class Quantities:
    """What a frame takes, predicted or measured; NaN: not known."""

    agent_s: float = math.nan
    link_s: float = math.nan
    server_s: float = math.nan
    robot_j: float = math.nan
    payload_bytes: float = math.nan
    distortion: float = math.nan

    @property
    def delay_s(self) -> float:
        return self.agent_s + self.link_s + self.server_s


QUANTITIES = tuple(field.name for field in fields(Quantities))


@dataclass(frozen=True)
class OperatingPoint:
    """What to do, with what it should take.

    Attributes:
        feature_bits: 0 where nothing travels.
        offboard: whether the server takes part.
        predicted: corrected by what was measured. modelled: each the same without its own correction.
        energy_j: of both machines and the radio.
        loss: how much worse its answers are: what was minimised.
    """

    split: str
    weight_bits: int
    feature_bits: int
    profile: str
    rate_hz: float
    offboard: bool
    predicted: Quantities
    modelled: Quantities
    energy_j: float
    loss: float = math.nan


@dataclass(frozen=True)
class Plan:
    """The answer.

    Attributes:
        point: None where nothing is feasible at any of the rates.
        alternatives: the best point of each other split, best first.
        moves: which limits bind, the one that needs to move least first; of the last rate where infeasible.
        reason: the same in a sentence.
    """

    point: OperatingPoint | None
    alternatives: tuple[OperatingPoint, ...]
    moves: tuple[Move, ...]
    reason: str


_MOST_FREE = 1.0
"""However wild the measurements, half of the limit is used: else nothing would run, nothing be learnt."""


class Planner:
    """Plans, and learns from what came of it.

    `plan` gives the operating point for the readings of the moment; `observe` takes what was measured of a
    frame that ran at such a point. Predictions are corrected by measurements (`Corrections`) and how they
    miss is told by `errors`.
    """

    def __init__(
        self, model: Model, machines: Machines, goals: Goals, corrections: Corrections | None = None
    ) -> None:
        self.model, self.machines, self.goals = model, machines, goals
        names = [cut.name for cut in model.cuts]
        self.corrections = corrections or Corrections(QUANTITIES, names)
        self._choices = Choices(tuple(names), model.weight_bits, model.feature_bits, machines.profiles)
        self._work = Work.of(
            model.cuts, model.weight_bits, model.widths, machines.agent, machines.server, model.tokens
        )

    def plan(self, readings: Readings) -> Plan:
        """The best point at the first rate that is feasible.

        Raises:
            ValueError: a profile among the readings that the machines do not have.
        """
        self.corrections.forget(readings.now_s)
        allowed = self._allowed(readings.profiles)
        plans = (self._at_rate(readings, rate_hz, allowed) for rate_hz in self.goals.rates_hz)
        plan = next(plans)
        while plan.point is None and (following := next(plans, None)) is not None:
            plan = following
        return plan

    def every(self, readings: Readings, rate_hz: float) -> list[OperatingPoint]:
        """All points that could run at that rate, within the limits or not; in no order.

        Raises:
            ValueError: as `plan` does.
        """
        allowed = self._allowed(readings.profiles)
        factors = self.corrections.factors()
        made = self._tables(readings, rate_hz, factors)
        problem = self._problem(made, math.inf, rate_hz, allowed)
        values = problem.compute[:, :, :, None, :] + problem.link[:, :, None, :, None]
        possible = np.isfinite(values).all(axis=0) & np.isfinite(problem.cost)[..., None]
        found = (problem.point(*index) for index in np.argwhere(possible).tolist())
        return [self._point(point, made, rate_hz, factors) for point in found]

    def observe(self, point: OperatingPoint, measured: Quantities, now_s: float) -> None:
        """Learns from a frame that ran at `point`; what is NaN in `measured` is left alone."""
        for name in QUANTITIES:
            modelled, value = getattr(point.modelled, name), getattr(measured, name)
            self.corrections.observe(name, point.split, modelled, value, now_s)
            self.corrections.score(name, getattr(point.predicted, name), value)
        self.corrections.score("delay_s", point.predicted.delay_s, measured.delay_s)

    def errors(self) -> dict[str, Spread]:
        """How predictions have missed what was measured, by quantity, `delay_s` among them."""
        return {name: self.corrections.spread(name) for name in (*QUANTITIES, "delay_s")}

    def _allowed(self, names: Sequence[str] | None) -> NDArray[np.bool_] | None:
        if names is None:
            return None
        if unknown := set(names) - set(self.machines.profiles):
            raise ValueError(f"no profile {sorted(unknown)}; there are {list(self.machines.profiles)}")
        return np.array([profile in names for profile in self.machines.profiles])

    def _at_rate(self, readings: Readings, rate_hz: float, allowed: NDArray[np.bool_] | None) -> Plan:
        factors = self.corrections.factors()
        made = self._tables(readings, rate_hz, factors)
        robot_j = readings.robot_j(rate_hz, self.machines.thermal_c_per_w)
        if not robot_j > 0:
            return Plan(None, (), (), "infeasible: no energy or no temperature headroom is left")
        found = solve(self._problem(made, robot_j, rate_hz, allowed))
        points = [] if found.best is None else [found.best, *found.alternatives]
        planned = [self._point(point, made, rate_hz, factors) for point in points]
        return Plan(
            planned[0] if planned else None,
            tuple(planned[1:]),
            found.moves,
            f"at {rate_hz:g} Hz: {found.explain()}",
        )

    def _tables(self, readings: Readings, rate_hz: float, factors: Floats) -> Tables:
        return self._work.tables(
            readings.link or Link(0.0), rate_hz=rate_hz, load=readings.load, factors=Factors(*factors)
        )

    def _problem(
        self, t: Tables, robot_j: float, rate_hz: float, allowed: NDArray[np.bool_] | None
    ) -> Problem:
        goals = self.goals
        free = goals.caution * self.corrections.spread("delay_s").deviation
        resources = (
            Resource("robot energy", "J", robot_j),
            Resource("delay", "s", goals.delay_s / (1.0 + min(free, _MOST_FREE))),
            Resource("energy", "J", goals.energy_j),
            Resource("bytes", "B/s", goals.bytes_s),
        )
        compute = np.empty((4, *t.agent_s.shape))
        link = np.empty((4, *t.link_s.shape))
        compute[0], link[0] = t.robot_energy()
        compute[1], link[1] = t.delay()
        compute[2], link[2] = t.energy()
        compute[3], link[3] = 0.0, t.payload_bytes * rate_hz
        if allowed is not None:
            compute[..., ~allowed] = math.inf
        return Problem(self._choices, resources, compute, link, t.loss)

    def _point(self, point: Point, t: Tables, rate_hz: float, factors: Floats) -> OperatingPoint:
        s, w, q, p = point.index
        robot_j, _, energy_j, _ = point.values
        predicted = (
            t.agent_s.item(s, w, p),
            t.link_s.item(s, q),
            t.server_s.item(s, p),
            robot_j,
            t.payload_bytes.item(s, q),
            t.distortion.item(s, w, q),
        )
        offboard = self.model.cuts[s].travels
        return OperatingPoint(
            point.split,
            point.weight_bits,
            point.feature_bits if offboard else 0,
            point.profile,
            rate_hz,
            offboard,
            Quantities(*predicted),
            Quantities(*(value / f for value, f in zip(predicted, factors[:, s].tolist(), strict=True))),
            energy_j,
            point.cost,
        )
