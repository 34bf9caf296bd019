"""Algorithm 1 against the exact solver."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("cvxpy", reason='the paper\'s algorithm needs the extra "planning"')

from qeil_ros.planning import co_inference as co
from qeil_ros.planning import rate_distortion as rd
from qeil_ros.planning import sca

AGENT, SERVER = co.PAPER
BLIP2 = co.Workload(agent_flop=200e9, server_flop=333.66e9, stored_bits=32, max_bits=8)


def instances(count: int, seed: int):
    """Random feasible problems, whose limits bind more often than not."""
    rng = np.random.default_rng(seed)
    while count:
        agent = co.Processor(rng.uniform(4, 64), 10 ** rng.uniform(8.8, 9.6), 10 ** rng.uniform(-29.5, -27.5))
        server = co.Processor(
            rng.uniform(32, 512), 10 ** rng.uniform(9, 10.2), 10 ** rng.uniform(-29.5, -27.5), 2.0
        )
        work = co.Workload(10 ** rng.uniform(10, 12), 10 ** rng.uniform(10, 12), 16, 8)
        aim = rng.uniform(1.2, 9)
        limit_s = co.delay_s(work, agent, server, aim, agent.max_hz, server.max_hz) * rng.uniform(1.0, 4)
        clocks = co.clocks(work, agent, server, aim, limit_s)
        limit_j = co.energy_j(work, agent, server, aim, *clocks) * rng.uniform(0.7, 1.5)
        try:
            co.solve(work, agent, server, limit_s, limit_j)
        except co.Infeasible:
            continue
        count -= 1
        yield work, agent, server, limit_s, limit_j


def largest_real_width(work, agent, server, limit_s, limit_j) -> float:
    """The optimum of the relaxed problem, by bisection: feasibility is lost once and for all."""

    def feasible(bits: float) -> bool:
        clocks = co.clocks(work, agent, server, bits, limit_s)
        return clocks is not None and co.energy_j(work, agent, server, bits, *clocks) <= limit_j

    low, high = 1.0, float(work.max_bits)
    if feasible(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if feasible(middle) else (low, middle)
    return low


def test_it_never_beats_the_exact_solver_and_comes_within_one_percent():
    broken = converged = equal = 0
    for instance in instances(100, seed=11):
        work, agent, server, limit_s, limit_j = instance
        exact = co.solve(*instance)
        relaxed = sca.relax(*instance)
        objectives = [point.objective for point in relaxed.iterates]
        assert objectives == sorted(objectives, reverse=True)  # monotone
        for point in relaxed.iterates:
            where = point.bits, point.agent_hz, point.server_hz
            assert co.delay_s(work, agent, server, *where) <= limit_s * (1 + 1e-5)
            assert co.energy_j(work, agent, server, *where) <= limit_j * (1 + 1e-5)
            assert point.agent_hz <= agent.max_hz and point.server_hz <= server.max_hz
        found = sca.round_down(relaxed, *instance)
        assert found.bits <= exact.bits  # never beats it
        assert found.delay_s <= limit_s and found.energy_j <= limit_j
        equal += found.bits == exact.bits
        if relaxed.converged:
            converged += 1
            optimum = largest_real_width(*instance)
            if optimum > 1.01:  # nearer to one bit the objective is without bound
                assert relaxed.last.objective <= float(rd.gap(optimum, 1.0)) * 1.01
            if found.bits == exact.bits and exact.bits > 1:
                assert rd.gap(found.bits, 1.0) <= rd.gap(exact.bits, 1.0) * 1.01
        broken += not sca.round_nearest(relaxed, *instance).safe
    assert converged >= 95 and equal >= 95
    assert 15 <= broken <= 70  # the paper's rounding breaks a limit where it rounds up


def test_nearest_rounding_breaks_a_limit_that_rounding_down_keeps():
    limit_s = 3.5
    clocks = co.clocks(BLIP2, AGENT, SERVER, 5.7, limit_s)
    instance = BLIP2, AGENT, SERVER, limit_s, co.energy_j(BLIP2, AGENT, SERVER, 5.7, *clocks)
    relaxed = sca.relax(*instance)
    assert relaxed.converged and relaxed.last.bits == pytest.approx(5.7, abs=1e-3)
    nearest = sca.round_nearest(relaxed, *instance)
    assert nearest.design.bits == 6 and nearest.breaks_energy and nearest.breaks_delay and not nearest.safe
    assert sca.round_down(relaxed, *instance) == co.solve(*instance)
    assert co.solve(*instance).bits == 5


def test_the_exact_reformulation_of_the_upper_bound():
    """log(1 + exp(-v)) <= R ln 2 with v = log u + log(u + 1) holds with equality at u = lambda D_U(R)."""
    for rate_bits in (0.1, 1.0, 3.0, 7.0):
        u = float(rd.distortion_upper(rate_bits, 1.0))
        v = math.log(u) + math.log(u + 1)
        assert math.log1p(math.exp(-v)) == pytest.approx(rate_bits * math.log(2), rel=1e-9)


def test_lambda_scales_the_objective_and_nothing_else():
    one, other = (sca.relax(BLIP2, AGENT, SERVER, 2.4, 2.0, rate) for rate in (1.0, 40.0))
    assert [p.bits for p in other.iterates] == pytest.approx([p.bits for p in one.iterates], rel=1e-4)
    assert other.last.objective == pytest.approx(one.last.objective / 40, rel=1e-4)


def test_the_edges():
    with pytest.raises(co.Infeasible):
        sca.relax(BLIP2, AGENT, SERVER, 0.01, 2.0)
    clocks = co.clocks(BLIP2, AGENT, SERVER, 1.0, 3.0)
    least_j = co.energy_j(BLIP2, AGENT, SERVER, 1.0, *clocks)
    only = sca.relax(BLIP2, AGENT, SERVER, 3.0, least_j)
    assert [p.bits for p in only.iterates] == [1.0] and "no width above one bit" in only.reason
    assert sca.round_down(only, BLIP2, AGENT, SERVER, 3.0, least_j).bits == 1
    short = sca.relax(BLIP2, AGENT, SERVER, 3.5, 2.0, iterations=2)
    assert not short.converged and len(short.iterates) == 3 and "still falling" in short.reason
