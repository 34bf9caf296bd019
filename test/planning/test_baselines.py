"""The baselines answer the same problem as the exact solver, never better and never beyond a limit."""

from __future__ import annotations

import builtins
import importlib
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qeil_ros.planning import co_inference as co
from qeil_ros.planning.baselines import fixed, ppo, sampled

AGENT, SERVER = co.PAPER
WORK = co.Workload(200e9, 12e9, stored_bits=16, max_bits=8)


def bits(solve, *limits) -> int:
    try:
        design = solve(WORK, AGENT, SERVER, *limits)
    except co.Infeasible as error:
        assert error.needed > limits[error.limit == "energy"]
        return 0
    assert design.delay_s <= limits[0] and design.energy_j <= limits[1]
    assert design.agent_hz <= AGENT.max_hz and design.server_hz <= SERVER.max_hz
    return design.bits


@settings(max_examples=200, deadline=None)
@given(st.floats(0.05, 5), st.floats(0.01, 10))
def test_fixed_clocks_never_beat_the_joint_design(limit_s, limit_j):
    joint = bits(co.solve, limit_s, limit_j)
    agent_only = bits(fixed.max_agent_clock, limit_s, limit_j)
    assert bits(fixed.max_clock, limit_s, limit_j) <= agent_only <= joint


def test_the_clock_costs_what_it_costs():
    """With delay alone the highest clocks lose nothing; with energy alone they lose everything."""
    assert bits(fixed.max_clock, 0.8, 1e6) == bits(co.solve, 0.8, 1e6) > 1
    assert bits(fixed.max_clock, 1e6, 0.5) == 0 < bits(co.solve, 1e6, 0.5)
    with pytest.raises(co.Infeasible, match="one bit takes") as caught:
        fixed.max_agent_clock(WORK, AGENT, SERVER, 1e3, 0.01)
    assert caught.value.limit == "energy"
    with pytest.raises(ValueError, match="must be positive"):
        fixed.max_agent_clock(WORK, AGENT, SERVER, 0, 1)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 5), st.floats(0.01, 10), st.integers(0, 2**31))
def test_random_designs_are_feasible_and_cover_every_feasible_width(limit_s, limit_j, seed):
    most = bits(co.solve, limit_s, limit_j)
    assume(most)
    found = sampled.random_feasible(WORK, AGENT, SERVER, limit_s, limit_j, seed=seed)
    assert len(found) == sampled.COUNT
    assert all(d.delay_s <= limit_s and d.energy_j <= limit_j for d in found)
    assert {d.bits for d in found} == set(range(1, most + 1))  # 400 draws among 8: missed once in 1e22
    again = sampled.random_feasible(WORK, AGENT, SERVER, limit_s, limit_j, seed=seed)
    assert again == found


def test_random_designs_want_a_feasible_problem():
    with pytest.raises(co.Infeasible):
        sampled.random_feasible(WORK, AGENT, SERVER, 1e-3, 1.0, seed=0)
    with pytest.raises(ValueError, match="count is 0"):
        sampled.random_feasible(WORK, AGENT, SERVER, 1.0, 1.0, count=0, seed=0)


def test_without_torch_the_policy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"qeil-ros\[torch\]"):
        ppo.train(WORK, AGENT, SERVER, (0.1, 1), (0.1, 1), seed=0)


def test_the_package_does_not_import_torch(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        assert name.partition(".")[0] != "torch"
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for name in ("fixed", "sampled", "ppo"):
        importlib.reload(importlib.import_module(f"qeil_ros.planning.baselines.{name}"))


def test_the_reward_is_the_objective_or_the_overrun():
    points = np.array([1.0, 4.0, 8.0, 8.0]), np.full(4, AGENT.max_hz), np.full(4, SERVER.max_hz)
    delays = [co.delay_s(WORK, AGENT, SERVER, b, AGENT.max_hz, SERVER.max_hz) for b in points[0]]
    limits = np.array([[10, 100], [10, 100], [10, 100], [delays[3] / 1.1, 100]])
    one, four, eight, late = ppo._rewards(points, limits, WORK, AGENT, SERVER)
    assert one == 0 and 0 < four < eight == 1
    assert late == pytest.approx(-np.log(1.1))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_policy_learns_and_never_breaks_a_limit():
    torch = pytest.importorskip("torch", reason='the PPO baseline needs the extra "torch"')
    before = torch.random.get_rng_state()
    ranges = (0.5, 4.0), (0.1, 3.0)
    short, long = (
        ppo.train(WORK, AGENT, SERVER, *ranges, seed=1, training=ppo.Training(steps=steps, hidden=16))
        for steps in (1, 50)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert long.reward > short.reward + 0.3
    rng, chosen = np.random.default_rng(0), []
    for limit_s, limit_j in np.exp(rng.uniform(*np.log(ranges).T, (40, 2))):
        best = bits(co.solve, limit_s, limit_j)
        try:
            design = long.design(limit_s, limit_j)
        except co.Infeasible:
            continue
        assert design.delay_s <= limit_s and design.energy_j <= limit_j and design.bits <= best
        chosen.append(design.bits / best)
    assert len(chosen) > 20 and np.mean(chosen) > 0.3
    same = ppo.train(WORK, AGENT, SERVER, *ranges, seed=1, training=ppo.Training(steps=1, hidden=16))
    assert same.reward == short.reward
    with pytest.raises(ValueError, match="want a positive range"):
        ppo.train(WORK, AGENT, SERVER, (2.0, 1.0), (0.1, 3.0), seed=1)
