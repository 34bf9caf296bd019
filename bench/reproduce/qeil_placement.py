"""The placement solvers on random instances: exact, greedy, printed, brute force; the search for fronts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qeil_ros.planning.placement.exact import contiguous, free
from qeil_ros.planning.placement.greedy import greedy, homogeneous, printed
from qeil_ros.planning.placement.pareto import hypervolume, search
from qeil_ros.planning.placement.problem import Assignment, Problem, Refused

from ..harness import at_least, at_most, figure
from ..progress import Tell
from .qeil_effort import Effort
from .qeil_instances import enumerate_placements, problems, random_problem
from .section import Grid, Section

__all__ = ["run"]

SEED = 6057
SAME = 1e-6
"""Relative; HiGHS keeps constraints to 1e-6 of its scaled rows."""
WITHIN_PERCENT = 2.0

Floats = NDArray[np.float64]
Solver = Callable[[Problem], Assignment]


def run(effort: Effort, tell: Tell) -> Section:
    """Random problems for the solvers, then small ones for the front."""
    found = []
    total = effort.instances + effort.fronts
    for index, problem in enumerate(problems(effort.instances, effort.small, SEED)):
        found.append(_compare(problem, index < effort.small))
        tell(index + 1, total)
    fronts = []
    for index in range(effort.fronts):
        fronts.append(_front(index, effort.steps))
        tell(effort.instances + index + 1, total)
    return _section(effort, found, fronts)


@dataclass(frozen=True)
class _Case:
    """What the solvers made of one problem; energies in joules, None: refused.

    Attributes:
        rivals: the least of the corrected greedy and the homogeneous ones that keep the limits.
        least, least_pipeline: by enumeration, where it was made.
    """

    exact: float | None
    pipeline: float | None
    greedy: float | None
    printed: float | None
    printed_overdraws: bool
    rivals: float | None
    enumerated: bool = False
    least: float | None = None
    least_pipeline: float | None = None

    @property
    def exact_loses(self) -> bool:
        """Whether something else found less energy than the exact solver, or anything where that refused."""
        return _above(self.exact, self.rivals) or _above(self.exact, self.pipeline)

    @property
    def exact_differs(self) -> bool:
        return not _same(self.exact, self.least)

    @property
    def pipeline_differs(self) -> bool:
        return not _same(self.pipeline, self.least_pipeline)


@dataclass(frozen=True)
class _Front:
    """A search: the hypervolume that it lacks [%], the sizes of its front and of the exact one, and of how
    many placements that is the front."""

    lacks: float
    found: int
    exact: int
    of: int


def _compare(problem: Problem, small: bool) -> _Case:
    exact, pipeline, corrected = (_energy(solver, problem) for solver in (free, contiguous, greedy))
    as_printed = _energy(printed, problem)
    overdraws = False
    with suppress(Refused):  # the printed index left the list
        overdraws = bool((problem.memory_used(printed(problem)) > problem.tables.memory_bytes).any())
    limits = problem.limits
    kept = [
        outcome.energy_j
        for outcome in homogeneous(problem).values()
        if outcome.latency_s <= limits.latency_s and outcome.energy_j <= limits.energy_j
    ]
    rivals = min([*kept, *([] if corrected is None else [corrected])], default=None)
    case = _Case(exact, pipeline, corrected, as_printed, overdraws, rivals)
    if not small:
        return case
    every = enumerate_placements(problem)
    pipelines = every.energy_j[every.pipelines] if len(every) else np.array([])
    return replace(
        case,
        enumerated=True,
        least=float(every.energy_j.min()) if len(every) else None,
        least_pipeline=float(pipelines.min()) if len(pipelines) else None,
    )


def _energy(solver: Solver, problem: Problem) -> float | None:
    """Of its placement if that is within every limit."""
    try:
        return problem.check(solver(problem)).energy_j
    except Refused:
        return None


def _above(exact: float | None, other: float | None) -> bool:
    if other is None:
        return False
    return exact is None or exact > other * (1 + SAME)


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= SAME * other


def _front(index: int, steps: int) -> _Front:
    """A search against the enumerated front."""
    phases = 1 + index % 2
    problem = random_problem(SEED + index, 4 if phases == 2 else 8, 3, phases, tight=1.0)
    exact = enumerate_placements(problem).values
    # Idleness may be 0 but for rounding throughout: it needs a margin of its own not to count that as volume.
    worst = [float(v) for v in exact.max(axis=0) * (1.01, 1.01, 1.0) + (0.0, 0.0, 0.01)]
    scale = np.array([*exact.max(axis=0)[:2], 1.0])
    searched = np.array([placed.values for placed in search(problem, steps=steps, seed=index)])
    found, front = _undominated(searched, scale), _undominated(exact, scale)
    lacks = 100 * max(0.0, 1 - hypervolume(found, worst) / hypervolume(front, worst))
    return _Front(lacks, len(found), len(front), len(exact))


def _undominated(values: Floats, scale: Floats) -> Floats:
    """The rows that no other one beats, of equal rows one; sums that differ by rounding are equal."""
    left = np.round(values / scale, 12) * scale
    left = left[np.lexsort(left.T[::-1])]
    front = []
    while len(left):
        best = left[0]  # the least of the first value, so beaten by nothing that is left
        front.append(best)
        left = left[(left < best).any(axis=1)]
    return np.array(front)


def _section(effort: Effort, cases: Sequence[_Case], fronts: Sequence[_Front]) -> Section:
    small = [case for case in cases if case.enumerated]
    lacks = [front.lacks for front in fronts]
    over = sum(case.printed_overdraws for case in cases)
    gaps = [100 * (c.greedy / c.exact - 1) for c in cases if c.greedy is not None and c.exact is not None]
    unsolved = sum(case.greedy is None and case.exact is not None for case in cases)
    refused = sum(case.exact is None for case in cases)
    best = sum(gap <= 100 * SAME for gap in gaps)
    return Section(
        "placement",
        "The placement solvers on random instances",
        f"{len(cases):,} random problems (seed {SEED}): 2 to 10 layers, 2 to 4 devices, 1 or 2 phases, some "
        "short of memory, every other one with a limit on latency. The exact solver (HiGHS, any layer of any "
        "phase anywhere) is held against algorithm 1 corrected, every device alone, and the best pipeline "
        f"(dynamic programming); for {len(small):,} small ones both exact solvers against the enumeration of "
        f"all placements, up to 60,000 each. The search for the front of energy, latency and "
        f"under-utilisation runs {effort.steps:,} steps on {len(fronts)} problems whose front is enumerated.",
        results=[
            at_most("placement_exact_above_greedy", sum(c.exact_loses for c in cases), "instances", 0),
            at_least(
                "placement_exact_equals_brute_force",
                sum(not case.exact_differs for case in small),
                "instances",
                len(small),
            ),
            at_least(
                "placement_pipeline_equals_brute_force",
                sum(not case.pipeline_differs for case in small),
                "instances",
                len(small),
            ),
            at_most("placement_front_lacks_worst", max(lacks), "% of hypervolume", WITHIN_PERCENT),
            figure("placement_front_lacks_median", float(np.median(lacks)), "% of hypervolume"),
            figure("placement_instances", len(cases), "instances"),
            figure("placement_no_placement_within_limits", refused, "instances"),
            figure("placement_greedy_finds_none_though_there_is_one", unsolved, "instances"),
            figure("placement_greedy_is_best", best, "instances"),
            figure("placement_greedy_excess_median", float(np.median(gaps)), "%"),
            figure("placement_greedy_excess_worst", max(gaps), "%"),
            figure("placement_printed_overdraws_memory", over, "instances"),
        ],
        differs=[
            f"Algorithm 1 as printed never takes a placed layer off a device's memory: in {over} of "
            f"{len(cases)} random problems its placement does not fit. It also steps past the end of its "
            "list of devices where a layer fits none; here that is a refusal which names the layer.",
            f"Greedy is not optimal: corrected, it finds the least energy in {best} of the {len(gaps)} "
            f"problems that it solves, is up to {max(gaps):.0f} % above it, and finds none within the limits "
            f"in {unsolved} where there is one.",
        ],
        tables=[
            Grid(
                "The search's fronts beside the exact ones",
                ["problem", "placements", "on the exact front", "found", "hypervolume lacking, %"],
                [[i, f.of, f.exact, f.found, round(f.lacks, 4)] for i, f in enumerate(fronts[:10])],
            )
        ],
        data={
            "excess_percent": gaps,
            "front_lacks_percent": lacks,
            "front_sizes": [[front.exact, front.found] for front in fronts],
        },
        figure="How far the corrected greedy is above the least energy (left); hypervolume that the search's "
        "front lacks, by the size of the exact one (right).",
    )
