"""The exact solver against brute force, and the models against the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

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


def instances(count: int, seed: int):
    """Random problems around the edge of feasibility, where mistakes show."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        agent = co.Processor(
            rng.uniform(1, 64), 10 ** rng.uniform(8.5, 9.7), 10 ** rng.uniform(-29.5, -27), rng.uniform(1, 2)
        )
        server = co.Processor(
            rng.uniform(16, 512), 10 ** rng.uniform(9, 10.3), 10 ** rng.uniform(-29.5, -27), rng.uniform(1, 2)
        )
        work = co.Workload(
            10 ** rng.uniform(9, 12), 10 ** rng.uniform(9, 12), int(rng.choice([8, 16, 32])), 16
        )
        limit_s = co.delay_s(
            work, agent, server, rng.integers(1, 17), agent.max_hz, server.max_hz
        ) * 10 ** rng.uniform(-0.2, 0.7)
        cheapest = co.least_energy(work, agent, server, int(rng.integers(1, 17)), limit_s)
        energy = (
            cheapest.energy_j
            if cheapest
            else co.energy_j(work, agent, server, 4, agent.max_hz, server.max_hz)
        )
        yield work, agent, server, limit_s, energy * 10 ** rng.uniform(-0.3, 0.5)


def brute_force(problems) -> np.ndarray:
    """The largest feasible width of each problem, 0 where there is none, without the closed form.

    For every width: the least energy along the curve of equal delay, by golden section on the logarithm of
    the agent's clock. 16 widths and all problems at once.
    """
    field = np.array([
        [w.agent_flop / (w.stored_bits * a.flop_per_cycle), w.server_flop / s.flop_per_cycle,
         a.max_hz, s.max_hz, a.joule_factor, s.joule_factor, limit_s, limit_j]
        for w, a, s, limit_s, limit_j in problems
    ]).T[:, :, None]  # fmt: skip
    cycles, server_cycles, agent_cap, server_cap, agent_factor, server_factor, limit_s, limit_j = field
    cycles = cycles * np.arange(1, 17)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slowest = cycles / np.maximum(limit_s - server_cycles / server_cap, 0)

        def cost(log_hz):
            hz = np.exp(log_hz)
            other = server_cycles / (limit_s - cycles / hz)
            return agent_factor * cycles * hz**2 + server_factor * server_cycles * other**2

        possible = slowest <= agent_cap
        low = np.where(possible, np.log(slowest), 0.0)
        high = np.where(possible, np.log(agent_cap) + 0 * slowest, 1.0)
        ends = cost(low), cost(high)
        golden = (np.sqrt(5) - 1) / 2
        for _ in range(60):
            one, two = high - golden * (high - low), low + golden * (high - low)
            left = cost(one) < cost(two)
            low, high = np.where(left, low, one), np.where(left, two, high)
        least = np.minimum(np.fmin(*ends), cost((low + high) / 2))
    feasible = possible & (least <= limit_j)
    return np.where(feasible.any(axis=1), 16 - feasible[:, ::-1].argmax(axis=1), 0)


def test_the_solver_equals_brute_force_on_ten_thousand_instances():
    problems = list(instances(10_000, seed=7))
    found = np.zeros(len(problems), int)
    for i, problem in enumerate(problems):
        try:
            design = co.solve(*problem)
        except co.Infeasible as error:
            assert error.limit in ("delay", "energy")
            continue
        found[i] = design.bits
        _, agent, server, limit_s, limit_j = problem
        assert design.delay_s <= limit_s and design.energy_j <= limit_j
        assert design.agent_hz <= agent.max_hz and design.server_hz <= server.max_hz
    np.testing.assert_array_equal(found, brute_force(problems))
    assert 1500 < np.count_nonzero(found) < 9500  # both sides of the edge were seen
    assert (np.bincount(found, minlength=17) > 50).all()


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
