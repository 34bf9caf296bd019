"""The veto of placements: no optimiser's output gets past it, and nothing sound is held back."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.planning.placement.exact import contiguous, free
from qeil_ros.planning.placement.greedy import greedy, printed
from qeil_ros.planning.placement.pareto import search
from qeil_ros.planning.placement.problem import Device, Layer, Limits, Link, Problem, Refused
from qeil_ros.platform.readings import TripPoints
from qeil_ros.safety.placement import Condition, permit_placement, usable

HOT = TripPoints(critical_c=100.0)


def a_problem(rng: np.random.Generator, layers: int = 4, devices: int = 3) -> Problem:
    made = tuple(
        Layer(
            f"layer {i}",
            float(rng.uniform(1, 10)) * 1e6,
            tuple(rng.uniform(1, 100, 2) * 1e6),
            tuple(rng.uniform(1, 20, 2) * 1e6),
            tuple(rng.uniform(0.01, 2, 2) * 1e6),
            float(rng.uniform(0, 1)) * 1e6,
        )
        for i in range(layers)
    )
    need = sum(layer.weight_bytes + layer.state_bytes for layer in made)
    machines = tuple(
        Device(
            f"device {i}",
            float(rng.uniform(1, 50)) * 1e9,
            float(rng.uniform(1, 20)) * 1e9,
            float(rng.uniform(1, 60)),
            float(rng.uniform(0.3, 1.5)) * need,
            float(rng.uniform(0.1, 1.0)),
        )
        for i in range(devices)
    )
    return Problem(made, machines, (1.0, float(rng.integers(1, 30))), Link(1e9, 1e-5, 1e-10))


def a_condition(rng: np.random.Generator, device: Device) -> Condition:
    return Condition(
        fault="unplugged" if rng.random() < 0.15 else "",
        temperature_c=math.nan if rng.random() < 0.1 else float(rng.uniform(40, 95)),
        trips=HOT if rng.random() < 0.7 else TripPoints(),
        free_bytes=device.memory_bytes * float(rng.uniform(0.3, 1.2)),
        budget_w=math.inf if rng.random() < 0.5 else float(rng.uniform(1, 60)),
        share=float(rng.choice([0.5, 0.75, 1.0])),
    )


def optimised(problem: Problem, seed: int) -> list[np.ndarray]:
    """What every optimiser makes of a problem, by its own lights."""
    found = []
    for make in (greedy, printed, contiguous, free):
        with suppress(Refused):
            found.append(make(problem))
    with suppress(Refused):
        found += [placed.assignment for placed in search(problem, steps=160, seed=seed)]
    return found


def breaches(problem: Problem, placed: np.ndarray, limits: Limits, conditions: dict) -> set[str]:
    """The limits that a placement breaks, layer by layer: what `permit_placement` must find, written anew."""
    found = set()
    time_s = {device.name: 0.0 for device in problem.devices}
    joules = dict(time_s)
    held: dict[str, float] = dict(time_s)
    transfer_s = transfer_j = 0.0
    phases, layers = placed.shape
    for number, layer in enumerate(problem.layers):
        for phase in range(phases):
            device = problem.devices[placed[phase, number]]
            share = conditions[device.name].share if device.name in conditions else 1.0
            alone_s = max(
                layer.flops[phase] / device.flops_s, layer.moved_bytes[phase] / device.bandwidth_bytes_s
            )
            time_s[device.name] += problem.passes[phase] * alone_s / share
            joules[device.name] += problem.passes[phase] * alone_s * device.power_w * device.efficiency
            if number + 1 < layers and placed[phase, number + 1] != placed[phase, number]:
                size = problem.passes[phase] * layer.output_bytes[phase]
                transfer_s += size / problem.link.bytes_s + problem.passes[phase] * problem.link.start_s
                transfer_j += size * problem.link.j_byte
            if phase + 1 < phases and placed[phase + 1, number] != placed[phase, number]:
                transfer_s += layer.state_bytes / problem.link.bytes_s + problem.link.start_s
                transfer_j += layer.state_bytes * problem.link.j_byte
        for name in {problem.devices[index].name for index in placed[:, number]}:
            held[name] += layer.weight_bytes + layer.state_bytes
    latency_s = sum(time_s.values()) + transfer_s
    for index in set(placed.ravel().tolist()):
        device = problem.devices[index]
        condition = conditions.get(device.name)
        if condition is None or condition.fault:
            found.add("health")
        condition = condition or Condition()
        if not math.isnan(condition.trips.critical_c) and not condition.temperature_c < 85.0:
            found.add("temperature")
        if held[device.name] > min(device.memory_bytes, condition.free_bytes):
            found.add("memory")
        if joules[device.name] / latency_s > condition.budget_w:
            found.add("power")
    if latency_s > limits.latency_s:
        found.add("latency")
    if sum(joules.values()) + transfer_j > limits.energy_j:
        found.add("energy")
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_optimisers_output_gets_past_a_limit_and_nothing_sound_is_vetoed(seed):
    rng = np.random.default_rng(seed)
    problem = a_problem(rng)
    conditions = {device.name: a_condition(rng, device) for device in problem.devices}
    for name in list(conditions):
        if rng.random() < 0.05:
            del conditions[name]
    everywhere = problem.outcome(np.zeros(problem.shape, int))
    limits = Limits(
        everywhere.latency_s * float(rng.uniform(0.3, 3)), everywhere.energy_j * float(rng.uniform(0.3, 3))
    )
    # The optimisers are told nothing of the limits, and half of the time nothing of the devices' condition.
    told, indices = problem, np.arange(len(problem.devices))
    if rng.random() < 0.5:
        with suppress(ValueError):
            told, indices = usable(problem, conditions)
    outputs = [indices[placed] for placed in optimised(told, seed % 1000)]
    outputs.append(rng.integers(0, len(problem.devices), problem.shape))
    for placed in outputs:
        permission = permit_placement(problem, placed, limits, conditions)
        expected = breaches(problem, placed, limits, conditions)
        assert {veto.limit for veto in permission.vetoes} == expected
        assert bool(permission) == (not expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_on_usable_devices_only_what_was_not_asked_for_can_be_vetoed(seed):
    rng = np.random.default_rng(seed)
    problem = a_problem(rng)
    conditions = {
        device.name: replace(a_condition(rng, device), budget_w=math.inf) for device in problem.devices
    }
    try:
        told, indices = usable(problem, conditions)
        placed = greedy(told)
    except ValueError:  # Refused is one, too
        return
    permission = permit_placement(problem, indices[placed], Limits(), conditions)
    assert permission and permission.reason == ""
    assert permission.outcome.latency_s == pytest.approx(told.outcome(placed).latency_s)
    assert permission.outcome.energy_j == pytest.approx(told.outcome(placed).energy_j)


@pytest.fixture
def problem() -> Problem:
    made = a_problem(np.random.default_rng(0), devices=2)
    return replace(made, devices=tuple(replace(device, memory_bytes=math.inf) for device in made.devices))


def fine(problem: Problem, **changes: Condition) -> dict[str, Condition]:
    return {device.name: Condition() for device in problem.devices} | {
        name.replace("_", " "): condition for name, condition in changes.items()
    }


class TestVetoes:
    def test_what_is_well_may_run(self, problem):
        placed = np.zeros(problem.shape, int)
        permission = permit_placement(problem, placed, Limits(), fine(problem))
        assert permission and permission.vetoes == ()
        assert permission.outcome.energy_j == problem.outcome(placed).energy_j

    @pytest.mark.parametrize(
        ("condition", "limit", "words"),
        [
            (Condition(fault="does not answer"), "health", "device 0: does not answer"),
            (Condition(temperature_c=85.0, trips=HOT), "temperature", "85 C, the ceiling is 85 C"),
            (Condition(trips=HOT), "temperature", "cannot be read"),
            (
                Condition(temperature_c=70.0, trips=TripPoints(passive_c=70.0, critical_c=100.0)),
                "temperature",
                "the ceiling is 70 C",
            ),
            (Condition(free_bytes=1e3), "memory", "too much"),
            (Condition(budget_w=0.1), "power", "device 0: power would be"),
        ],
    )
    def test_each_says_what_and_by_how_much(self, problem, condition, limit, words):
        conditions = fine(problem, device_0=condition)
        permission = permit_placement(problem, np.zeros(problem.shape, int), Limits(), conditions)
        veto = next(veto for veto in permission.vetoes if veto.limit == limit)
        assert veto.device == "device 0" and words in veto.reason and words in permission.reason
        # The other device is none the worse for it.
        other = permit_placement(problem, np.ones(problem.shape, int), Limits(), conditions)
        assert limit not in {veto.limit for veto in other.vetoes}

    def test_limits_are_the_robots_not_the_optimisers(self, problem):
        lax = replace(problem, limits=Limits(math.inf, math.inf))
        placed = np.ones(problem.shape, int)
        need = lax.outcome(placed)
        tight = Limits(need.latency_s * 0.8, need.energy_j * 0.5)
        vetoes = {v.limit: v for v in permit_placement(lax, placed, tight, fine(lax)).vetoes}
        assert vetoes["latency"].value == pytest.approx(need.latency_s)
        assert "25.0% too much" in vetoes["latency"].reason and "100.0% too much" in vetoes["energy"].reason

    def test_nobody_watches_nothing_runs(self, problem):
        permission = permit_placement(problem, np.ones(problem.shape, int), Limits(), {})
        assert "nothing is known of its condition" in permission.reason

    @pytest.mark.parametrize(
        "placed",
        [
            np.zeros((1, 4), int),
            np.full((2, 4), 2),
            np.full((2, 4), -1),
            np.full((2, 4), 0.5),
            np.full((2, 4), math.nan),
        ],
    )
    def test_what_is_no_placement(self, problem, placed):
        permission = permit_placement(problem, placed, Limits(), fine(problem))
        assert not permission and permission.outcome is None
        assert permission.vetoes[0].limit == "shape"

    def test_a_figure_that_is_none_is_vetoed(self, problem):
        broken = replace(problem, passes=(1.0, math.nan))
        vetoed = {
            v.limit for v in permit_placement(broken, np.zeros((2, 4), int), Limits(), fine(broken)).vetoes
        }
        assert {"latency", "energy"} <= vetoed

    def test_half_the_capacity_takes_twice_the_time_for_the_same_energy(self, problem):
        placed = np.zeros(problem.shape, int)
        full = permit_placement(problem, placed, Limits(), fine(problem)).outcome
        half = permit_placement(
            problem, placed, Limits(), fine(problem, device_0=Condition(share=0.5))
        ).outcome
        assert half.latency_s == pytest.approx(2 * full.latency_s)
        assert half.energy_j == pytest.approx(full.energy_j)

    def test_no_share_is_a_fault(self):
        with pytest.raises(ValueError, match="want above 0"):
            Condition(share=0.0)


def test_usable_says_why_nothing_is(problem):
    conditions = fine(problem, device_0=Condition(fault="gone"), device_1=Condition(free_bytes=0.0))
    with pytest.raises(ValueError, match="device 0: gone"):
        usable(problem, conditions)
    left, indices = usable(problem, fine(problem, device_0=Condition(fault="gone")))
    assert [device.name for device in left.devices] == ["device 1"] and indices.tolist() == [1]
