"""Whether any optimiser's placement gets past the safety monitor with a limit broken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from qeil_ros.planning.placement.exact import contiguous, free
from qeil_ros.planning.placement.greedy import greedy, printed
from qeil_ros.planning.placement.pareto import search
from qeil_ros.planning.placement.problem import Assignment, Limits, Problem, Refused
from qeil_ros.platform.readings import TripPoints
from qeil_ros.safety.placement import Condition, permit_placement

from ..harness import at_least, at_most, figure
from ..progress import Tell
from .qeil_effort import Effort
from .qeil_instances import costs, random_problem
from .section import Grid, Section

__all__ = ["broken", "run"]

SEED = 85
CEILING = 0.85
CRITICAL_C = 105.0
SLACK = 1e-6


def _searched(problem: Problem) -> list[Assignment]:
    return [placed.assignment for placed in search(problem, steps=200)]


OPTIMISERS: Mapping[str, Callable[[Problem], list[Assignment]]] = {
    "algorithm 1 as printed": lambda problem: [printed(problem)],
    "algorithm 1 corrected": lambda problem: [greedy(problem)],
    "best pipeline": lambda problem: [contiguous(problem)],
    "exact optimum": lambda problem: [free(problem)],
    "Pareto search": _searched,
}


@dataclass
class _Tally:
    """Of one optimiser: placements asked about, permitted, and those among them with a limit broken."""

    asked: int = 0
    permitted: int = 0
    past: int = 0
    vetoed_for_nothing: int = 0


def run(effort: Effort, tell: Tell) -> Section:
    """Optimisers that know nothing of the limits propose; the monitor permits or not; a second opinion, made
    of other sums, says what was broken."""
    tallies = {name: _Tally() for name in OPTIMISERS}
    reasons: Counter[str] = Counter()
    rng = np.random.default_rng(SEED)
    for index in range(effort.vetoes):
        problem = random_problem(
            int(rng.integers(2**31)),
            int(rng.integers(2, 8)),
            int(rng.integers(2, 5)),
            int(rng.integers(1, 3)),
        )
        limits, conditions = _limits(problem, rng), _conditions(problem, rng)
        for name, proposed in _proposals(problem):
            permission = permit_placement(problem, proposed, limits, conditions)
            wrong = broken(problem, proposed, limits, conditions)
            tally = tallies[name]
            tally.asked += 1
            tally.permitted += bool(permission)
            tally.past += bool(permission) and bool(wrong)
            tally.vetoed_for_nothing += not permission and not wrong
            reasons.update({veto.limit for veto in permission.vetoes})
        tell(index + 1, effort.vetoes)
    return _section(effort, tallies, reasons)


def broken(
    problem: Problem, placed: Assignment, limits: Limits, conditions: Mapping[str, Condition]
) -> set[str]:
    """The limits that a placement would break, without the monitor's code. Devices must be at full "
    "capacity."""
    found = costs(problem, placed[None])
    wrong = set()
    if found.latency_s[0] > limits.latency_s * (1 + SLACK):
        wrong.add("latency")
    if found.energy_j[0] > limits.energy_j * (1 + SLACK):
        wrong.add("energy")
    for index in {int(device) for device in placed.ravel()}:
        device = problem.devices[index]
        condition = conditions[device.name]
        if condition.fault:
            wrong.add("health")
        if condition.trips.critical_c == CRITICAL_C and not condition.temperature_c < CEILING * CRITICAL_C:
            wrong.add("temperature")
        if found.used_bytes[0, index] > min(device.memory_bytes, condition.free_bytes) * (1 + SLACK):
            wrong.add("memory")
        watts = found.busy_s[0, index] * device.power_w * device.efficiency / found.latency_s[0]
        if watts > condition.budget_w * (1 + SLACK):
            wrong.add("power")
    return wrong


def _proposals(problem: Problem) -> Iterator[tuple[str, Assignment]]:
    for name, optimiser in OPTIMISERS.items():
        with suppress(Refused):  # it proposes nothing, so nothing gets past
            for placed in optimiser(problem):
                yield name, placed


def _limits(problem: Problem, rng: np.random.Generator) -> Limits:
    """About what random placements take, so that some proposals keep them and some do not."""
    drawn = rng.integers(len(problem.devices), size=(20, *problem.shape))
    found = costs(problem, drawn)
    at = rng.uniform(0.2, 1.0, 2)
    return Limits(float(np.quantile(found.latency_s, at[0])), float(np.quantile(found.energy_j, at[1])))


def _conditions(problem: Problem, rng: np.random.Generator) -> dict[str, Condition]:
    """Mostly well; now and then broken, hot, unreadable, short of memory, or of power."""
    found = {}
    for device in problem.devices:
        ill = rng.random(5) < 0.12
        trips = TripPoints(critical_c=CRITICAL_C)
        celsius = math.nan if ill[1] else float(rng.uniform(40, 80))
        if ill[2]:
            celsius = float(rng.uniform(85, 104))
        found[device.name] = Condition(
            fault="it does not answer" if ill[0] else "",
            temperature_c=celsius,
            trips=trips,
            free_bytes=device.memory_bytes * (float(rng.uniform(0.1, 0.9)) if ill[3] else 1.0),
            budget_w=device.power_w * float(rng.uniform(0.2, 0.9)) if ill[4] else math.inf,
        )
    return found


def _section(effort: Effort, tallies: Mapping[str, _Tally], reasons: Counter[str]) -> Section:
    total = _Tally(
        *(sum(column) for column in zip(*(vars(t).values() for t in tallies.values()), strict=True))
    )
    return Section(
        "vetoes",
        "Placements past the safety monitor",
        f"{effort.vetoes:,} random problems (seed {SEED}). Every optimiser proposes without knowing the "
        "robot's limits or the devices' condition: some are broken, at or near their critical temperature, "
        "without a readable sensor, short of memory or of power. The monitor permits or vetoes; what a "
        "placement would break is computed a second time, by other sums and without the monitor's code.",
        results=[
            at_most("vetoes_past_a_limit", total.past, "placements", 0),
            at_most("vetoes_for_nothing", total.vetoed_for_nothing, "placements", 0),
            at_least("vetoes_permitted", total.permitted, "placements", 1),
            figure("vetoes_asked", total.asked, "placements"),
        ],
        not_given=[
            "Which temperature the 85 % are of, and at which of it a device stops. Here: of the critical "
            "trip point, in degrees Celsius, and from there on nothing may run on the device.",
        ],
        tables=[
            Grid(
                "By optimiser",
                ["optimiser", "asked", "permitted", "permitted with a limit broken", "vetoed without one"],
                [[name, *vars(tally).values()] for name, tally in tallies.items()],
            ),
            Grid(
                "What vetoes were for (a placement may break several limits)",
                ["limit", "placements"],
                [list(pair) for pair in reasons.most_common()],
            ),
        ],
        data={"reasons": dict(reasons)},
    )
