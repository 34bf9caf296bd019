"""The solvers of problem P1 on random instances: the exact one, the paper's algorithm, and its rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qeil_ros.planning import co_inference as co
from qeil_ros.planning import sca
from qeil_ros.planning.rate_distortion import gap

from ..harness import Result, at_least, at_most, figure
from .effort import Effort
from .problems import Problem, brute_force, largest_real_width, problems
from .section import Grid, Section

__all__ = ["run"]

SEED = 7
WITHIN_PERCENT = 1.0
NEAR_ONE_BIT = 1.01
"""The relaxed objective has no bound where the best width nears one bit (Eq 26): no per cent of that."""
SOLVER_ERROR = 1e-5
"""What the relaxed objective may seem better by, since Clarabel keeps constraints to its own tolerance."""

Tell = Callable[[int, int], None]


def run(effort: Effort, tell: Tell) -> Section:
    """10,000 instances for the exact solver; the paper's algorithm on as many as the effort allows."""
    instances = list(problems(effort.instances, SEED))
    exact = [_solved(problem) for problem in instances]
    widths = np.array([design.bits if design else 0 for design in exact])
    equal = int((widths == brute_force(instances)).sum())
    broken = sum(
        not _keeps(design, problem) for design, problem in zip(exact, instances, strict=True) if design
    )
    results = [
        at_least("solvers_exact_equals_brute_force", equal, "instances", len(instances)),
        at_most("solvers_exact_breaks_a_limit", broken, "instances", 0),
        figure("solvers_feasible", int((widths > 0).sum()), "instances"),
    ]
    chosen = [p for p, bits in zip(instances[: effort.sca], widths, strict=False) if bits]
    try:
        ways = _ways(chosen, widths[: effort.sca][widths[: effort.sca] > 0].tolist(), tell)
    except ModuleNotFoundError as error:
        return _section(len(instances), [*results, *_checks([])], None, [str(error)])
    return _section(len(instances), [*results, *_checks(ways)], ways, [])


@dataclass(frozen=True)
class _Way:
    """What the paper's algorithm made of one instance.

    Attributes:
        bits, exact_bits: its width rounded down to a feasible one, and the optimum.
        relaxed_bits, optimum_bits: of the relaxed problem: where it ended, and the optimum.
        excess: its relaxed objective over the optimal one, less 1; NaN near one bit.
        monotone: whether no iterate is worse than the one before. keeps: whether the result keeps the limits.
        nearest: what the paper's own rounding gives.
        overrun: the larger of delay and energy of that over its limit, less 1.
    """

    bits: int
    exact_bits: int
    relaxed_bits: float
    optimum_bits: float
    excess: float
    iterations: int
    converged: bool
    monotone: bool
    keeps: bool
    nearest: sca.Rounded
    overrun: float


def _ways(instances: Sequence[Problem], exact_bits: Sequence[int], tell: Tell) -> list[_Way]:
    found = []
    for problem, bits in zip(instances, exact_bits, strict=True):
        found.append(_way(problem, bits))
        tell(len(found), len(instances))
    return found


def _way(problem: Problem, exact_bits: int) -> _Way:
    relaxed = sca.relax(*problem)
    objectives = [point.objective for point in relaxed.iterates]
    down = sca.round_down(relaxed, *problem)
    nearest = sca.round_nearest(relaxed, *problem)
    optimum = largest_real_width(problem)
    near_one = optimum <= NEAR_ONE_BIT
    limit_s, limit_j = problem[3:]
    return _Way(
        bits=down.bits,
        exact_bits=exact_bits,
        relaxed_bits=relaxed.last.bits,
        optimum_bits=optimum,
        excess=math.nan if near_one else relaxed.last.objective / float(gap(optimum, 1.0)) - 1,
        iterations=len(relaxed.iterates) - 1,
        converged=relaxed.converged,
        monotone=objectives == sorted(objectives, reverse=True),
        keeps=_keeps(down, problem),
        nearest=nearest,
        overrun=max(nearest.design.delay_s / limit_s, nearest.design.energy_j / limit_j) - 1,
    )


def _solved(problem: Problem) -> co.Design | None:
    try:
        return co.solve(*problem)
    except co.Infeasible:
        return None


def _keeps(design: co.Design, problem: Problem) -> bool:
    _, agent, server, limit_s, limit_j = problem
    return (
        design.delay_s <= limit_s
        and design.energy_j <= limit_j
        and design.agent_hz <= agent.max_hz
        and design.server_hz <= server.max_hz
    )


def _checks(ways: Sequence[_Way]) -> list[Result]:
    """NaN, and so missed, where the algorithm did not run."""
    n = len(ways) or math.nan
    converged = [way for way in ways if way.converged]
    excesses = [100 * way.excess for way in converged if not math.isnan(way.excess)]
    return [
        at_most(
            "solvers_sca_beats_exact",
            sum(w.bits > w.exact_bits or w.excess < -SOLVER_ERROR for w in ways) if ways else n,
            "instances",
            0,
        ),
        at_most("solvers_sca_excess_worst", max(excesses, default=math.nan), "%", WITHIN_PERCENT),
        at_most("solvers_sca_breaks_a_limit", sum(not w.keeps for w in ways) if ways else n, "instances", 0),
        at_least("solvers_sca_monotone", sum(w.monotone for w in ways), "instances", n),
        figure("solvers_sca_ran", len(ways), "instances"),
        figure("solvers_sca_converged", len(converged), "instances"),
        figure("solvers_sca_same_width", sum(w.bits == w.exact_bits for w in ways), "instances"),
        figure(
            "solvers_nearest_rounding_breaks_a_limit", 100 * sum(not w.nearest.safe for w in ways) / n, "%"
        ),
        figure(
            "solvers_nearest_rounding_breaks_t0", 100 * sum(w.nearest.breaks_delay for w in ways) / n, "%"
        ),
        figure(
            "solvers_nearest_rounding_breaks_e0", 100 * sum(w.nearest.breaks_energy for w in ways) / n, "%"
        ),
        figure("solvers_nearest_rounding_worst", 100 * max((w.overrun for w in ways), default=math.nan), "%"),
    ]


def _section(count: int, results: list[Result], ways: Sequence[_Way] | None, problems: list[str]) -> Section:
    agrees, differs = [], list(problems)
    tables: list[Grid] = []
    data: dict[str, Any] = {}
    if ways:
        n, unsafe = len(ways), [w for w in ways if not w.nearest.safe]
        iterations = [w.iterations for w in ways]
        agrees = [
            f"The algorithm converges ({sum(w.converged for w in ways)} of {n}) in {np.median(iterations):g} "
            f"iterations (at most {max(iterations)}), monotonically, to the optimum of the relaxed problem.",
        ]
        differs = [
            f"Rounding to the nearest width, as printed, breaks T0 or E0 in {len(unsafe)} of {n} instances "
            f"({len(unsafe) / n:.0%}), by up to {max(w.overrun for w in ways):.0%}: mostly where it rounds "
            "up. Rounded downward it never does.",
            "The relaxation is not needed: the objective falls strictly with the width and does not depend "
            "on the clocks, so the largest feasible width is the optimum; a closed form tells for each width "
            "whether it is feasible.",
        ]
        rounded = {
            "rounded up": [w for w in ways if w.nearest.design.bits > w.relaxed_bits],
            "rounded down": [w for w in ways if w.nearest.design.bits <= w.relaxed_bits],
        }
        tables = [
            Grid(
                "The paper's rounding",
                ["", "instances", "breaks T0", "breaks E0", "breaks either"],
                [
                    [
                        name,
                        len(some),
                        sum(w.nearest.breaks_delay for w in some),
                        sum(w.nearest.breaks_energy for w in some),
                        sum(not w.nearest.safe for w in some),
                    ]
                    for name, some in rounded.items()
                ],
            )
        ]
        data = {
            "relaxed_bits": [w.relaxed_bits for w in ways],
            "optimum_bits": [w.optimum_bits for w in ways],
            "overrun": [w.overrun for w in ways],
            "iterations": iterations,
        }
    return Section(
        "solvers",
        "The solvers on random instances",
        f"{count:,} random instances of P1 (seed {SEED}) about the edge of feasibility, up to 16 bits. Brute "
        "force takes for each width the least energy along the curve of equal delay, by golden section. "
        f"The paper's algorithm (cvxpy, Clarabel) runs on {len(ways) if ways else 0:,} feasible ones among "
        "them; its objective is held against that of the relaxed problem's optimum, found by bisection, "
        f"where that is above {NEAR_ONE_BIT} bits; its width, rounded downward, against the exact one.",
        results=results,
        agrees=agrees,
        differs=differs,
        not_given=["The algorithm's starting point and its threshold delta (here 1e-4, relative)."],
        tables=tables,
        data=data,
        figure="Where the paper's algorithm ends against the relaxed optimum (left); how far the nearest "
        "width overruns a limit, by the fraction that was rounded (right)."
        if ways
        else "",
    )
