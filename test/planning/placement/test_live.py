"""When a running placement changes: at once where it must, else for a clear gain; layer times."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qeil_ros.planning.placement.exact import Objective, contiguous
from qeil_ros.planning.placement.live import Reallocator, slowed
from qeil_ros.planning.placement.problem import Device, Layer, Link, Problem, Refused

LATENCY = Objective(0.0, 1.0)


def problem(*speeds: float, memory: float = 100.0, **options) -> Problem:
    layers = tuple(Layer(f"l{i}", 10.0, (100.0,), (1.0,), (1.0,)) for i in range(4))
    devices = tuple(Device(f"d{i}", speed, 1e6, 1.0, memory) for i, speed in enumerate(speeds))
    return Problem(layers, devices, (1.0,), Link(1e9), **options)


def best(of: Problem):
    return contiguous(of, LATENCY)


def all_on(device: int):
    return np.full((1, 4), device)


def test_factors_are_of_their_device_and_layer():
    plain = problem(10.0, 20.0)
    factors = {"d1": (1.0, 2.0, 3.0, 4.0)}
    timed = dataclasses.replace(plain, factors=factors)
    ratio = timed.tables.time_s / plain.tables.time_s
    np.testing.assert_allclose(ratio[0, :, 0], 1.0)
    np.testing.assert_allclose(ratio[0, :, 1], factors["d1"])
    np.testing.assert_allclose(timed.tables.energy_j / plain.tables.energy_j, ratio)
    # They stay with their device where others are left out or slowed.
    alone = dataclasses.replace(timed, devices=timed.devices[1:])
    np.testing.assert_allclose(alone.tables.time_s[..., 0], timed.tables.time_s[..., 1])


@pytest.mark.parametrize("factors", [(1.0,), (1.0, 1.0, 1.0, 0.0), (1.0, 1.0, 1.0, float("nan"))])
def test_factors_that_make_no_sense(factors):
    with pytest.raises(ValueError, match="factor above 0 for each of 4"):
        problem(10.0, factors={"d0": factors})


def test_a_slowed_device_takes_as_much_longer():
    before, after = problem(10.0, 20.0), slowed(problem(10.0, 20.0), {"d1": 3.0})
    np.testing.assert_allclose(after.tables.time_s[..., 1], 3 * before.tables.time_s[..., 1])
    np.testing.assert_allclose(after.tables.time_s[..., 0], before.tables.time_s[..., 0])
    with pytest.raises(ValueError, match="slowdowns"):
        slowed(before, {"d1": 0.0})


def test_what_runs_well_stays():
    assert Reallocator(best, LATENCY).step(problem(10.0, 20.0), [0, 1], all_on(1), 0.0) is None


def test_throttling_moves_the_work_for_a_clear_gain():
    reallocator = Reallocator(best, LATENCY, gain=0.1)
    nearly = slowed(problem(10.0, 20.0), {"d1": 2.1})
    assert reallocator.step(nearly, [0, 1], all_on(1), 0.0) is None  # a gain of 5 %
    clearly = slowed(problem(10.0, 20.0), {"d1": 4.0})
    change = Reallocator(best, LATENCY, gain=0.1).step(clearly, [0, 1], all_on(1), 0.0)
    assert change is not None and change.gain == pytest.approx(0.5)
    np.testing.assert_array_equal(change.assignment, all_on(0))


def test_gains_are_looked_for_now_and_then_only():
    reallocator = Reallocator(best, LATENCY, rest_s=5.0)
    now = slowed(problem(10.0, 20.0), {"d1": 4.0})
    assert reallocator.step(problem(10.0, 20.0), [0, 1], all_on(1), 0.0) is None
    assert reallocator.step(now, [0, 1], all_on(1), 4.9) is None
    assert reallocator.step(now, [0, 1], all_on(1), 5.0) is not None


def test_a_lost_device_is_left_at_once_whatever_it_costs():
    reallocator = Reallocator(best, LATENCY, rest_s=100.0)
    assert reallocator.step(problem(10.0, 20.0), [0, 1], all_on(1), 0.0) is None
    change = reallocator.step(problem(10.0), [0], all_on(1), 0.1)
    assert change is not None and "devices 1" in change.reason
    np.testing.assert_array_equal(change.assignment, all_on(0))


def test_a_veto_moves_it_at_once_and_numbers_stay_the_original_ones():
    reallocator = Reallocator(best, LATENCY, rest_s=100.0)
    reallocator.step(problem(10.0, 20.0, 30.0), [0, 1, 2], all_on(2), 0.0)
    small = problem(10.0, 20.0)  # d0 and d2 are left; d2, the faster, is short of memory now
    devices = (small.devices[0], dataclasses.replace(small.devices[1], memory_bytes=20.0))
    change = reallocator.step(
        dataclasses.replace(small, devices=devices), [0, 2], all_on(2), 0.1, "d2: memory would be 40"
    )
    assert change is not None and change.reason == "d2: memory would be 40"
    assert sorted(change.assignment[0].tolist()) == [0, 0, 2, 2]


def test_where_there_is_no_other_it_says_so():
    with pytest.raises(Refused, match="cannot be laid out"):
        Reallocator(best, LATENCY).step(problem(10.0, memory=5.0), [0], all_on(0), 0.0, "too much memory")


@pytest.mark.parametrize("wrong", [{"gain": 1.0}, {"gain": -0.1}, {"rest_s": -1.0}])
def test_rules_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="a gain of"):
        Reallocator(best, **wrong)
