"""The exact solver against brute force, and the models against the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from bench.reproduce.problems import brute_force, problems
from qeil_ros.planning import co_inference as co

AGENT, SERVER = co.PAPER
BLIP2 = co.Workload(agent_flop=200e9, server_flop=333.66e9, stored_bits=32, max_bits=16)


def test_delay_and_energy_are_the_papers_equations():
    work = co.Workload(100e9, 300e9, stored_bits=16)
    t = 8 * 100e9 / (16 * 1e9 * 32) + 300e9 / (5e9 * 128)
    e = 1 * (8 * 100e9 / (16 * 32)) * 2e-29 * 1e9**2 + 2 * (300e9 / 128) * 1e-28 * 5e9**2
    assert co.delay_s(work, AGENT, SERVER, 8, 1e9, 5e9) == pytest.approx(t)
    assert co.energy_j(work, AGENT, SERVER, 8, 1e9, 5e9) == pytest.approx(e)


processors = st.builds(
    co.Processor,
    flop_per_cycle=st.floats(1, 256),
    max_hz=st.floats(1e8, 2e10),
    power_w_per_hz3=st.floats(1e-30, 1e-26),
    overhead=st.floats(1, 3),
)
workloads = st.builds(
    co.Workload,
    agent_flop=st.floats(1e8, 1e12),
    server_flop=st.floats(1e8, 1e12),
    stored_bits=st.sampled_from([8, 16, 32]),
    max_bits=st.sampled_from([8, 16]),
)


def cheapest_numerically(work, agent, server, bits, limit_s) -> float:
    """Least energy over the agent's clock; the server's is the slowest that keeps the delay."""
    cycles = bits * work.agent_flop / (work.stored_bits * agent.flop_per_cycle)
    server_cycles = work.server_flop / server.flop_per_cycle
    left_s = limit_s - server_cycles / server.max_hz
    slowest = cycles / left_s if left_s > 0 else math.inf
    if not slowest <= agent.max_hz:
        return math.inf

    def cost(log_hz: float) -> float:
        hz = math.exp(log_hz)
        return co.energy_j(work, agent, server, bits, hz, server_cycles / (limit_s - cycles / hz))

    # the bracket opens where the server runs at its cap
    result = minimize_scalar(
        cost, bounds=(math.log(slowest), math.log(agent.max_hz)), method="bounded", options={"xatol": 1e-12}
    )
    return min(result.fun, cost(math.log(slowest)), cost(math.log(agent.max_hz)))


@settings(max_examples=300, deadline=None)
@given(workloads, processors, processors, st.floats(0.5, 20).filter(lambda x: abs(x - 1) > 1e-6))
def test_clocks_are_optimal(work, agent, server, stretch):
    limit_s = stretch * co.delay_s(work, agent, server, work.max_bits, agent.max_hz, server.max_hz)
    found = co.least_energy(work, agent, server, work.max_bits, limit_s)
    want = cheapest_numerically(work, agent, server, work.max_bits, limit_s)
    if found is None:
        assert math.isinf(want)
        return
    assert found.energy_j == pytest.approx(want, rel=1e-6)
    assert found.delay_s <= limit_s
    assert found.agent_hz <= agent.max_hz and found.server_hz <= server.max_hz


def test_the_solver_equals_brute_force_on_ten_thousand_instances():
    instances = list(problems(10_000, seed=7))
    found = np.zeros(len(instances), int)
    for i, problem in enumerate(instances):
        try:
            design = co.solve(*problem)
        except co.Infeasible as error:
            assert error.limit in ("delay", "energy")
            continue
        found[i] = design.bits
        _, agent, server, limit_s, limit_j = problem
        assert design.delay_s <= limit_s and design.energy_j <= limit_j
        assert design.agent_hz <= agent.max_hz and design.server_hz <= server.max_hz
    np.testing.assert_array_equal(found, brute_force(instances))
    assert 1500 < np.count_nonzero(found) < 9500  # both sides of the edge were seen
    assert (np.bincount(found, minlength=17) > 50).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**63))
def test_the_solver_equals_brute_force_on_any_seed(seed):
    instances = list(problems(20, seed))
    assert [solved_bits(problem) for problem in instances] == brute_force(instances).tolist()


def solved_bits(problem) -> int:
    try:
        return co.solve(*problem).bits
    except co.Infeasible:
        return 0


def test_more_of_either_limit_never_gives_fewer_bits():
    widths = [co.solve(BLIP2, AGENT, SERVER, t, 2.0).bits for t in np.linspace(2.0, 8.0, 13)]
    assert widths == sorted(widths)
    assert len(set(widths)) > 1


def test_an_impossible_delay_says_what_would_do():
    with pytest.raises(co.Infeasible, match=r"a delay of 0\.01 s cannot be met") as caught:
        co.solve(BLIP2, AGENT, SERVER, 0.01, 100.0)
    assert caught.value.limit == "delay"
    assert co.solve(BLIP2, AGENT, SERVER, caught.value.needed * (1 + 1e-9), 1e9).bits == 1


def test_an_impossible_energy_says_what_would_do():
    with pytest.raises(co.Infeasible, match="an energy of 1e-06 J cannot be met") as caught:
        co.solve(BLIP2, AGENT, SERVER, 4.0, 1e-6)
    assert caught.value.limit == "energy"
    assert co.solve(BLIP2, AGENT, SERVER, 4.0, caught.value.needed * (1 + 1e-9)).bits == 1


@pytest.mark.parametrize(("limit_s", "limit_j"), [(0, 1), (1, -1)])
def test_impossible_limits_are_refused(limit_s, limit_j):
    with pytest.raises(ValueError, match="must be positive"):
        co.solve(BLIP2, AGENT, SERVER, limit_s, limit_j)
    with pytest.raises(ValueError, match="max_hz"):
        co.Processor(1, 0, 1)
