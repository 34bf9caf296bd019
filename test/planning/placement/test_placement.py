"""Placements: the exact solvers against brute force, the greedy ones and the search against the exact."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reproduce.qeil_instances import costs, random_problem
from qeil_ros.planning.placement.exact import Objective, contiguous, free
from qeil_ros.planning.placement.greedy import greedy, homogeneous, printed
from qeil_ros.planning.placement.pareto import _neighbours, hypervolume, search
from qeil_ros.planning.placement.problem import Device, Layer, Limits, Link, Problem, Refused
from qeil_ros.planning.placement.transformer import Transformer

ENERGY = Objective()


def everything(problem: Problem, apart: bool):
    """Every placement within the memory, by brute force."""
    phases, layers = problem.shape
    rows = list(itertools.product(range(len(problem.devices)), repeat=layers))
    for chosen in itertools.product(rows, repeat=phases if apart else 1):
        placed = np.array(chosen if apart else chosen * phases)
        if (problem.memory_used(placed) <= problem.tables.memory_bytes).all():
            yield placed, problem.outcome(placed)


def pipelines(problem: Problem):
    for placed, outcome in everything(problem, apart=False):
        stretches = [device for device, _ in itertools.groupby(placed[0])]
        if len(stretches) == len(set(stretches)):
            yield placed, outcome


@pytest.mark.parametrize("seed", range(25))
def test_the_best_pipeline_is_brute_forces(seed):
    problem = random_problem(seed)
    costs = [outcome.energy_j for _, outcome in pipelines(problem)]
    if not costs:
        with pytest.raises(Refused):
            contiguous(problem)
        return
    assert problem.check(contiguous(problem)).energy_j == pytest.approx(min(costs))
    bound = float(np.median([outcome.latency_s for _, outcome in pipelines(problem)]))
    held = dataclasses.replace(problem, limits=Limits(latency_s=bound))
    costs = [outcome.energy_j for _, outcome in pipelines(problem) if outcome.latency_s <= bound]
    assert held.check(contiguous(held)).energy_j == pytest.approx(min(costs))


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_best_placement_is_brute_forces(seed, apart):
    problem = random_problem(seed, layers=4)
    outcomes = [outcome for _, outcome in everything(problem, apart)]
    if not outcomes:
        with pytest.raises(Refused):
            free(problem, apart=apart)
        return
    best = problem.check(free(problem, apart=apart))
    assert best.energy_j == pytest.approx(min(o.energy_j for o in outcomes))
    bound = float(np.median([o.latency_s for o in outcomes]))
    held = dataclasses.replace(problem, limits=Limits(latency_s=bound))
    best = held.check(free(held, apart=apart))
    assert best.energy_j == pytest.approx(min(o.energy_j for o in outcomes if o.latency_s <= bound))


def test_weights_of_the_objective_reach_both_ends():
    problem = random_problem(3, layers=4)
    outcomes = [outcome for _, outcome in everything(problem, apart=True)]
    fastest = problem.check(free(problem, Objective(0.0, 1.0)))
    assert fastest.latency_s == pytest.approx(min(o.latency_s for o in outcomes))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 3), st.integers(1, 2))
def test_no_greedy_placement_beats_the_exact_one(seed, layers, devices, phases):
    problem = random_problem(seed, layers, devices, phases)
    try:
        found = problem.check(greedy(problem))
    except Refused:
        return
    best = problem.check(free(problem))
    assert best.energy_j <= found.energy_j * (1 + 1e-9)
    for outcome in homogeneous(problem).values():
        assert best.energy_j <= outcome.energy_j * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 4), st.floats(0.1, 1.0))
def test_greedy_never_overdraws_memory(seed, layers, devices, tight):
    problem = random_problem(seed, layers, devices, tight=tight)
    try:
        problem.check(greedy(problem))
    except Refused as refused:
        assert refused.limit == "memory" and refused.needed > refused.allowed


def test_the_printed_algorithm_overdraws_memory_and_is_told_so():
    model = Transformer("small", 1000, 64, 12, prompt=16, tokens=16)
    need = model.printed()[1].weight_bytes
    devices = (
        Device("a", 2e9, 1e9, 1.0, memory_bytes=need * 3),
        Device("b", 1e9, 1e9, 1.0, memory_bytes=need * 20),
    )
    problem = Problem(model.printed(), devices, model.passes(4))
    placed = printed(problem)
    assert (placed == 0).all()  # each alone fits the first
    with pytest.raises(Refused, match="a would hold"):
        problem.check(placed)
    held = problem.check(greedy(problem))
    assert (held.memory_bytes <= [need * 3, need * 20]).all()


def test_the_printed_index_ends_with_the_list():
    model = Transformer("wide", 10, 64, 2, prompt=16, tokens=16)
    devices = (
        Device("a", 2e9, 1e9, 1.0, memory_bytes=20_000.0),
        Device("b", 1e9, 1e9, 1.0, memory_bytes=5000.0),
    )
    with pytest.raises(Refused, match="layer 'decoder 0' needs") as caught:
        printed(Problem(model.printed(), devices, model.passes(1)))
    assert caught.value.limit == "memory"


def test_a_refusal_says_which_limit_and_by_how_much():
    problem = random_problem(1, layers=4)
    fastest = problem.check(free(problem, Objective(0.0, 1.0))).latency_s
    cheapest = problem.check(free(problem)).energy_j
    for solve in (free, contiguous):
        with pytest.raises(Refused) as late:
            solve(dataclasses.replace(problem, limits=Limits(latency_s=fastest / 2)))
        assert late.value.limit == "latency" and late.value.needed >= fastest * (1 - 1e-9)
        with pytest.raises(Refused) as dear:
            solve(dataclasses.replace(problem, limits=Limits(energy_j=cheapest / 2)))
        assert dear.value.limit == "energy" and dear.value.needed >= cheapest * (1 - 1e-9)
        small = [dataclasses.replace(device, memory_bytes=1.0) for device in problem.devices]
        with pytest.raises(Refused, match="cannot be laid out") as full:
            solve(dataclasses.replace(problem, devices=tuple(small)))
        assert full.value.limit == "memory"
    assert "too much" in str(late.value)


def test_apart_is_never_worse_than_together():
    for seed in range(10):
        problem = random_problem(seed, layers=5, tight=2.0)
        together, apart = (problem.check(free(problem, apart=flag)) for flag in (False, True))
        assert apart.energy_j <= together.energy_j * (1 + 1e-9)


def test_costs_by_hand():
    layers = (
        Layer("a", 10.0, (100.0, 10.0), (20.0, 20.0), (4.0, 2.0), 6.0),
        Layer("b", 20.0, (10.0, 10.0), (40.0, 4.0), (9.0, 9.0)),
    )
    devices = (Device("x", 10.0, 10.0, 2.0), Device("y", 5.0, 20.0, 1.0))
    problem = Problem(layers, devices, (1.0, 3.0), Link(bytes_s=2.0, start_s=0.5, j_byte=0.1))
    outcome = problem.outcome([[0, 1], [1, 1]])
    times = [100 / 10, 40 / 20, 3 * 10 / 5, 3 * 10 / 5]  # a on x, b on y; both on y, bound by C
    transfer_s = 4 / 2 + 0.5 + 6 / 2 + 0.5  # a's output to y; a's state from x to y
    assert outcome.latency_s == pytest.approx(sum(times) + transfer_s)
    assert outcome.energy_j == pytest.approx(10 * 2 + 2 + 6 + 6 + 0.1 * (4 + 6))
    assert list(outcome.memory_bytes) == [16.0, 36.0]
    assert outcome.beat_s == pytest.approx(14.0) and list(outcome.busy_s) == pytest.approx([10.0, 14.0])
    assert outcome.idle_share == pytest.approx(1 - 170 / (10 * 10 + 14 * 5))
    assert devices[0].ridge == 1.0 and devices[1].flops_j == 5.0 and layers[0].intensity(0) == 5.0


def test_a_transformers_layers_are_the_models_size():
    model = Transformer("gpt2", 50257, 768, 12, prompt=64, tokens=32)
    assert model.parameters == pytest.approx(124e6, rel=0.01)
    layers = model.counted()
    assert [layer.name for layer in layers[:2]] == ["embedding", "decoder 0"] and layers[-1].name == "head"
    decode = sum(layer.flops[1] for layer in layers)
    assert decode == pytest.approx(2 * model.parameters, rel=0.02)  # two FLOP a weight and token
    assert sum(layer.flops[0] for layer in layers[1:-1]) == pytest.approx(2 * 85e6 * 64, rel=0.02)
    assert model.printed()[1].flops[0] == 4 * 64 * 768**2  # Eq 19


def test_the_search_covers_the_exact_front():
    for seed in range(4):
        problem = random_problem(seed, layers=5, devices=3, phases=1, tight=1.0)
        outcomes = [o for _, o in everything(problem, apart=False)]
        values = np.array([(o.energy_j, o.latency_s, o.idle_share) for o in outcomes])
        reference = values.max(axis=0) * 1.01 + 1e-9
        found = [placed.values for placed in search(problem, steps=3000, seed=seed)]
        assert hypervolume(found, reference) >= 0.98 * hypervolume(values, reference)
        assert min(found)[0] == pytest.approx(values[:, 0].min(), rel=0.05)


def test_a_search_that_has_the_steps_finds_the_whole_front():
    problem = random_problem(1, layers=4, devices=3, phases=1, tight=1.0)
    values = np.array([(o.energy_j, o.latency_s, o.idle_share) for _, o in everything(problem, apart=False)])
    front = {
        tuple(v.round(9)) for v in values if not ((values <= v).all(axis=1) & (values < v).any(axis=1)).any()
    }
    found = {tuple(np.round(placed.values, 9)) for placed in search(problem, steps=4000, seed=0)}
    assert found == front and len(front) == 5


def test_a_placement_has_every_neighbour_once():
    layers, devices = 4, 3
    current = np.array([[0, 1, 1, 2], [0, 0, 2, 2]])
    rng = np.random.default_rng(0)
    found = [n.tobytes() for n in _neighbours(current, devices, rng, apart=True)]
    wanted = set()
    for rows, start, stop in itertools.product(([0], [1], [0, 1]), range(layers), range(1, layers + 1)):
        for device in range(devices if start < stop else 0):
            new = current.copy()
            new[np.ix_(rows, range(start, stop))] = device
            wanted.add(new.tobytes())
    assert set(found) == wanted - {current.tobytes()}
    for together in _neighbours(current, devices, rng, apart=False):
        changed = (together != current).any(axis=0)
        assert (together[:, changed] == together[:1, changed]).all()


def test_costs_of_many_are_those_of_each():
    problem = random_problem(2, layers=4)
    placed = np.random.default_rng(0).integers(3, size=(30, 2, 4))
    found = costs(problem, placed)
    for i, each in enumerate(placed):
        outcome = problem.outcome(each)
        assert found.latency_s[i] == pytest.approx(outcome.latency_s)
        assert found.energy_j[i] == pytest.approx(outcome.energy_j)
        assert found.busy_s[i] == pytest.approx(outcome.busy_s)
        assert found.used_bytes[i] == pytest.approx(problem.memory_used(each))


def test_a_search_keeps_limits_and_repeats():
    problem = random_problem(5, layers=5)
    outcomes = [o for _, o in everything(problem, apart=False)]
    bound = float(np.median([o.latency_s for o in outcomes]))
    held = dataclasses.replace(problem, limits=Limits(latency_s=bound))
    try:
        first, second = (search(held, steps=1000, seed=1) for _ in range(2))
    except Refused:
        pytest.fail("the greedy start does not hold the limit; another seed would")
    assert all(placed.outcome.latency_s <= bound for placed in first)
    assert [p.values for p in first] == [p.values for p in second]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=8))
def test_hypervolume_counts_cells(points):
    cells = sum(
        any(p[0] <= x and p[1] <= y and p[2] <= z for p in points)
        for x, y, z in itertools.product(range(6), repeat=3)
    )
    assert hypervolume(points, (6, 6, 6)) == pytest.approx(cells)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="power_w is 0"):
        Device("x", 1.0, 1.0, 0.0)
    problem = random_problem(0)
    with pytest.raises(ValueError, match="want \\(2, 5\\)"):
        problem.outcome([[0, 1]])
    with pytest.raises(ValueError, match="does not have 1 phases"):
        dataclasses.replace(problem, passes=(1.0,))
    assert math.isinf(Limits().latency_s)
