"""The planner's call at its full size, and its enumeration against the same one in numpy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.planning.cost import Cut, Side, WidthCurve
from qeil_ros.planning.joint import Choices, Problem, Resource, solve
from qeil_ros.planning.link import Link, Load
from qeil_ros.planning.planner import Goals, Machines, Model, Planner, Readings

from .harness import Report, Result, against, at_most, figure, median, percentile

DESCRIPTION = "time to plan among 8 splits, 8 x 8 widths and 8 clock profiles, against numpy"

SIZE = 8
LIMIT_MS = 1.0
SEED = 5
BITS = tuple(range(1, SIZE + 1))

Floats = NDArray[np.float64]


def run(quick: bool) -> Report:
    rounds, calls = (3, 300) if quick else (10, 2000)
    results = []
    for name, tightness in (("loose", 4.0), ("tight", 0.6), ("infeasible", 0.02)):
        results += _solver(name, _problems(tightness), rounds, calls // 2)
    results += _planner(rounds, calls)
    config = {"quick": quick, "size": [SIZE] * 4, "seed": SEED, "rounds": rounds, "calls_a_round": calls}
    return Report("planner", config, [], results)


def _solver(name: str, problems: list[Problem], rounds: int, calls: int) -> list[Result]:
    for problem in problems:  # the same answers, before any time is taken
        ours, theirs = solve(problem), _numpy(problem)
        if (ours.best and ours.best.index) != theirs:
            raise AssertionError(f"the solvers disagree: {ours.best} and {theirs}")
    ours_s: list[list[float]] = []
    theirs_s: list[list[float]] = []
    for _ in range(rounds):
        ours_s.append(_times(solve, problems, calls))
        theirs_s.append(_times(_numpy, problems, calls))
    results = []
    for percent in (50, 99):
        ours, theirs = ([percentile(times, percent) for times in side] for side in (ours_s, theirs_s))
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        peer_ms = median(theirs) * 1e3
        results.append(
            against(f"solve_{name}_p{percent}", median(ours) * 1e3, "ms", "numpy", peer_ms, ratio, 1.0)
        )
    return results


def _planner(rounds: int, calls: int) -> list[Result]:
    """Calls with readings that change each time, as the supervisor makes them."""
    planner, readings = _full_planner()
    times = [_times(planner.plan, readings, calls) for _ in range(rounds)]
    cpu = [_times(planner.plan, readings, calls, time.thread_time) for _ in range(rounds)]
    feasible = [planner.plan(reading).point is not None for reading in readings]
    return [
        figure("plan_p50", median(percentile(t, 50) for t in times) * 1e3, "ms"),
        at_most("plan_p99", median(percentile(t, 99) for t in times) * 1e3, "ms", LIMIT_MS),
        # Without what other processes took of the core meanwhile.
        at_most("plan_processor_p99", median(percentile(t, 99) for t in cpu) * 1e3, "ms", LIMIT_MS),
        figure("plan_feasible", sum(feasible) / len(feasible), ""),
    ]


def _times(
    call: Callable[[Any], object],
    arguments: list[Any],
    calls: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    times = []
    for number in range(calls):
        argument = arguments[number % len(arguments)]
        start_s = clock()
        call(argument)
        times.append(clock() - start_s)
    return times


def _problems(tightness: float) -> list[Problem]:
    """Random tables: values fall and costs rise with fewer bits, in no exact proportion."""
    rng = np.random.default_rng(SEED)
    width = np.array(BITS) / SIZE
    choices = Choices(tuple(f"cut{i}" for i in BITS), BITS, BITS, tuple(f"clock{i}" for i in BITS))
    found = []
    for _ in range(20):
        compute = (
            rng.exponential(1, (4, SIZE, 1, SIZE)) * width[:, None] * rng.uniform(0.8, 1.2, (SIZE, SIZE))
        )
        link = rng.exponential(1, (4, SIZE, 1)) * width
        cost = rng.uniform(0.5, 2, (SIZE, SIZE, SIZE)) / (width[:, None] * width)
        resources = tuple(
            Resource(name, "", tightness) for name in ("robot energy", "delay", "energy", "bytes")
        )
        found.append(Problem(choices, resources, compute, link, cost))
    return found


def _numpy(problem: Problem) -> tuple[int, int, int, int] | None:
    """The same answers by whole arrays: the best point, the best of each split, what each limit needs."""
    values = problem.compute[:, :, :, None, :] + problem.link[:, :, None, :, None]
    limits = np.array([resource.limit for resource in problem.resources])
    kept = (values <= limits[:, None, None, None, None]) & np.isfinite(values)
    feasible = kept.all(axis=0)
    cost = np.where(feasible, problem.cost[..., None], math.inf)
    best, bests = math.inf, []
    for split in range(len(problem.choices.splits)):
        least = cost[split].min()
        if math.isinf(least):
            continue
        tied = np.argwhere(cost[split] == least)
        taken = values[:, split][:, tied[:, 0], tied[:, 1], tied[:, 2]]
        first = tied[np.lexsort(taken[::-1])[0]]
        bests.append((least, (split, *map(int, first))))
        best = min(best, least)
    better = (problem.cost[..., None] < best) & np.isfinite(values).all(axis=0)
    broken = (~kept).sum(axis=0)
    needed = [
        values[i][alone].min() if (alone := better & (broken == 1) & ~kept[i]).any() else math.inf
        for i in range(len(limits))
    ]
    ratio = (values / limits[:, None, None, None, None]).max(axis=0)
    stretch = ratio[better].min() if better.any() else math.inf
    assert needed and stretch >= 0
    return min(bests)[1] if bests else None


def _full_planner() -> tuple[Planner, list[Readings]]:
    """A planner of full size with limits that some readings meet and others do not."""
    rng = np.random.default_rng(SEED)
    cuts = []
    for i in range(SIZE):
        share = i / (SIZE - 1)
        local = i == SIZE - 1
        cuts.append(
            Cut(
                f"cut{i}",
                agent_flop=2e9 * (0.1 + share),
                server_flop=0.0 if local else 2e10 * (1.1 - share),
                feature_bytes=tuple(0.0 if local else 6e3 * bits * (1.5 - share) for bits in BITS),
                distortion=np.add.outer(0.5 ** np.array(BITS), 0.5 ** np.array(BITS)) + 0.2 * share,
                server_token_flop=1e9,
            )
        )
    clocks = np.linspace(0.6e9, 2e9, SIZE)
    machines = Machines(
        tuple(f"clock{i}" for i in range(SIZE)),
        Side(tuple((1 / (clocks * 16)).tolist()), tuple((2e-27 * clocks**3).tolist())),
        Side((1 / 1e12,) * SIZE, (80.0,) * SIZE),
        thermal_c_per_w=4.0,
    )
    model = Model(tuple(cuts), BITS, BITS, WidthCurve((4, 8), (0.6, 0.8)), tokens=8)
    planner = Planner(model, machines, Goals(0.2, 20.0, 2e6, rates_hz=(10.0,)))
    readings = [
        Readings(
            i * 0.2,
            Link(10 ** rng.uniform(5.3, 7), rng.uniform(0.002, 0.05), rng.uniform(0, 0.05),
                 variability=0.1, joules_per_bit=1e-7, tail_w=1.0, tail_s=0.05),
            Load.robots(3, 5.0, 0.02),
            energy_left_j=rng.uniform(1e3, 4e4),
            time_left_s=3600.0,
            headroom_c=rng.uniform(2, 30),
            inference_w=1.0,
        )
        for i in range(50)
    ]  # fmt: skip
    return planner, readings
