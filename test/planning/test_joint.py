"""The enumeration against a dense one in numpy, and what it says of limits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros import _kernels
from qeil_ros.planning.joint import Choices, Problem, Resource, solve

NAMES = ("energy", "delay", "bytes", "heat")


def random_problem(rng: np.random.Generator, largest: int = 4) -> Problem:
    """Limits near the edge of feasibility; ties and impossible combinations are common."""
    s, w, q, p = rng.integers(1, largest + 1, 4)
    r = int(rng.integers(1, 5))
    compute, link = rng.exponential(1, (r, s, w, p)), rng.exponential(1, (r, s, q))
    cost = rng.exponential(1, (s, w, q))
    if rng.random() < 0.5:  # ties
        compute, link, cost = (np.round(3 * table) / 3 for table in (compute, link, cost))
    compute[rng.random(compute.shape) < 0.03] = math.inf
    cost[rng.random(cost.shape) < 0.05] = math.inf
    limits = np.round(6 * 10 ** rng.uniform(-0.6, 0.6, r)) / 6 + 0.01
    limits[rng.random(r) < 0.1] = math.inf
    return Problem(
        Choices(
            tuple(f"cut{i}" for i in range(s)),
            tuple(range(1, w + 1)),
            tuple(range(1, q + 1)),
            tuple(f"clock{i}" for i in range(p)),
        ),
        tuple(Resource(NAMES[i], "", float(limits[i])) for i in range(r)),
        compute,
        link,
        cost,
    )


def dense(problem: Problem):
    """(best index or None, best index of each split, {resource: (needed, cost)}, stretch), by brute force."""
    values = problem.compute[:, :, :, None, :] + problem.link[:, :, None, :, None]
    cost = np.broadcast_to(problem.cost[..., None], values.shape[1:])
    limits = np.array([resource.limit for resource in problem.resources]).reshape(-1, 1, 1, 1, 1)
    kept = (values <= limits) & np.isfinite(values)
    feasible = kept.all(axis=0) & np.isfinite(cost)

    def key(index):
        return (cost[index], *values[(slice(None), *index)], index)

    points = sorted(key(tuple(map(int, i))) for i in np.argwhere(feasible))
    best = points[0][-1] if points else None
    per_split = {}
    for point in points:
        per_split.setdefault(point[-1][0], point[-1])
    bound = cost[best] if best else math.inf
    better = (cost < bound) & np.isfinite(values).all(axis=0)
    needed = {}
    for i, resource in enumerate(problem.resources):
        alone = better & ~kept[i] & np.delete(kept, i, axis=0).all(axis=0)
        if alone.any():
            needed[resource.name] = min(zip(values[i][alone], cost[alone], strict=True))
    with np.errstate(invalid="ignore"):
        ratio = (values / limits).max(axis=0)[better]
    return best, per_split, needed, float(ratio.min()) if ratio.size else math.inf


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed):
    rng = np.random.default_rng([5, seed])
    feasible = moved = stretched = 0
    for _ in range(2500):
        problem = random_problem(rng)
        best, per_split, needed, stretch = dense(problem)
        found = solve(problem)
        assert (found.best and found.best.index) == best
        others = {point.index[0]: point.index for point in found.alternatives}
        if best is not None:
            others[best[0]] = best
        assert others == per_split
        assert {m.resource.name: (m.needed, m.point.cost) for m in found.moves} == needed
        assert found.stretch == stretch
        for point in filter(None, (found.best, *found.alternatives)):
            assert all(v <= r.limit for v, r in zip(point.values, problem.resources, strict=True))
        feasible += best is not None
        moved += best is None and bool(needed)
        stretched += best is None and not needed
    assert min(feasible, moved, stretched) > 100  # every case was seen


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_a_move_does_what_it_says(seed):
    """With the limit moved the point is admitted; anything less changes nothing."""
    problem = random_problem(np.random.default_rng(seed))
    found = solve(problem)
    for move in found.moves:
        assert move.factor > 1

        def with_limit(limit, moved=move.resource):
            resources = tuple(replace(r, limit=limit) if r == moved else r for r in problem.resources)
            return solve(replace(problem, resources=resources)).best

        assert with_limit(move.needed).cost <= move.point.cost
        less = with_limit(math.nextafter(move.needed, 0))
        assert (less and less.cost) == (found.best and found.best.cost)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.floats(1, 3))
def test_wider_limits_never_cost_more(seed, factor):
    problem = random_problem(np.random.default_rng(seed))
    wider = replace(problem, resources=tuple(replace(r, limit=r.limit * factor) for r in problem.resources))
    before, after = solve(problem), solve(wider)
    if before.best is not None:
        assert after.best.cost <= before.best.cost
    elif math.isfinite(before.stretch) and factor > before.stretch * (1 + 1e-12):
        assert after.best is not None


def small(limit_s: float = 1.0, limit_j: float = 1.0) -> Problem:
    """Two cuts, of which the second costs more and takes less."""
    compute = np.array([[[[0.5]], [[0.1]]], [[[0.9]], [[0.2]]]])
    return Problem(
        Choices(("late", "early"), (8,), (4,), ("high",)),
        (Resource("delay", "s", limit_s), Resource("energy", "J", limit_j)),
        compute,
        np.zeros((2, 2, 1)),
        np.array([[[0.01]], [[0.05]]]),
    )


def test_alternatives_are_the_other_splits_best_first():
    found = solve(small())
    assert found.best.split == "late" and [p.split for p in found.alternatives] == ["early"]
    assert found.explain() == "no limit binds: nothing better is to be had"


def test_what_binds_is_said():
    found = solve(small(limit_s=0.3))
    assert found.best.split == "early"
    assert found.explain() == (
        "delay binds: delay would have to be 0.5 s instead of 0.3 s, for a cost of 0.01 instead of 0.05"
    )
    assert "several limits bind: all would have to be 1.8 times" in solve(small(0.4, 0.5)).explain()
    assert solve(small(0.05)).explain() == "infeasible: delay would have to be 0.1 s instead of 0.05 s"
    assert "no limit alone can help; all would have to be 2 times" in solve(small(0.05, 0.1)).explain()
    nothing = replace(small(), cost=np.full((2, 1, 1), math.inf))
    assert "no combination is possible" in solve(nothing).explain()


def test_quality_is_maximised():
    problem = small()
    found = solve(
        Problem.maximise(
            problem.choices, problem.resources, problem.compute, problem.link, [[[0.2]], [[0.7]]]
        )
    )
    assert found.best.split == "early" and found.best.cost == -0.7


def test_wrong_tables_are_refused():
    with pytest.raises(ValueError, match=r"link has the shape \[2, 2\]; want \[2, 2, 1\]"):
        replace(small(), link=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="cost holds a value that is not a number"):
        replace(small(), cost=np.full((2, 1, 1), math.nan))
    with pytest.raises(ValueError, match="the limit of delay is 0 s; it must be positive"):
        small(limit_s=0)
    with pytest.raises(ValueError, match="one or more different values"):
        Choices(("a",), (8, 8), (4,), ("high",))
    with pytest.raises(ValueError, match="0 resources"):
        replace(small(), resources=())


def test_the_kernel_checks_its_shapes():
    compute, link, cost, limits = np.ones((1, 2, 3, 4)), np.ones((1, 2, 5)), np.ones((2, 3, 5)), np.ones(1)
    with pytest.raises(ValueError, match="3 places for 2 splits"):
        _kernels.best_points(compute, link, cost, limits, np.empty(3, np.int64))
    with pytest.raises(ValueError, match="do not agree"):
        _kernels.best_points(compute, link, cost[:, :2].copy(), limits, np.empty(2, np.int64))
    with pytest.raises(ValueError, match="no empty axis"):
        _kernels.limit_moves(
            compute[:, :, :0].copy(), link, cost, limits, 1.0, np.empty(1), np.empty(1, np.int64)
        )
    with pytest.raises(ValueError, match="a place for each resource"):
        _kernels.limit_moves(compute, link, cost, limits, 1.0, np.empty(2), np.empty(2, np.int64))
