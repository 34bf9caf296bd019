"""Discrete clocks: optimal among the profiles, never better than continuous ones, the testbed's pattern."""

from __future__ import annotations

import numpy as np
import pytest

from qeil_ros.planning import co_inference as co
from qeil_ros.planning import profiles

AGENT, SERVER = co.PAPER
GIT = co.Workload(agent_flop=100e9, server_flop=112.27e9, stored_bits=16, max_bits=8)
LOW, MEDIUM, HIGH = profiles.testbed(AGENT, SERVER)


def test_the_testbeds_profiles():
    assert [p.name for p in (LOW, MEDIUM, HIGH)] == ["low", "medium", "high"]
    assert (HIGH.agent_hz, HIGH.server_hz) == (AGENT.max_hz, SERVER.max_hz)
    assert LOW.agent_hz == pytest.approx(AGENT.max_hz / 3)


def best_bits(profile, limit_s, limit_j) -> int:
    try:
        return profiles.solve(GIT, AGENT, SERVER, [profile], limit_s, limit_j).bits
    except co.Infeasible:
        return 0


def test_the_testbeds_pattern():
    """Under a delay limit the high profile has the most bits, under an energy limit the low one."""
    times = np.linspace(0.3, 2.5, 12)
    by_delay = np.array([[best_bits(p, t, 1e9) for p in (LOW, MEDIUM, HIGH)] for t in times])
    assert (np.diff(by_delay, axis=1) >= 0).all() and (by_delay[:, 2] > by_delay[:, 0]).any()
    energies = np.geomspace(0.5, 60, 12)
    by_energy = np.array([[best_bits(p, 1e9, e) for p in (LOW, MEDIUM, HIGH)] for e in energies])
    assert (np.diff(by_energy, axis=1) <= 0).all() and (by_energy[:, 0] > by_energy[:, 2]).any()


def test_optimal_among_the_profiles_and_never_better_than_continuous_clocks():
    rng = np.random.default_rng(3)
    grid = profiles.pairs(
        {f"{k}": AGENT.max_hz * k / 6 for k in range(1, 7)},
        {f"{k}": SERVER.max_hz * k / 6 for k in range(1, 7)},
    )
    assert len(grid) == 36 and grid[1].name == "1/2"
    found = 0
    for _ in range(300):
        limit_s, limit_j = 10 ** rng.uniform(-0.8, 0.6), 10 ** rng.uniform(-1, 1.3)
        feasible = [
            (bits, -co.energy_j(GIT, AGENT, SERVER, bits, p.agent_hz, p.server_hz), p.name)
            for bits in range(1, 9)
            for p in grid
            if co.delay_s(GIT, AGENT, SERVER, bits, p.agent_hz, p.server_hz) <= limit_s
            and co.energy_j(GIT, AGENT, SERVER, bits, p.agent_hz, p.server_hz) <= limit_j
        ]
        try:
            design = profiles.solve(GIT, AGENT, SERVER, grid, limit_s, limit_j)
        except co.Infeasible as error:
            assert not feasible
            raised = {"delay": (error.needed, limit_j), "energy": (limit_s, error.needed)}[error.limit]
            if error.limit == "energy":
                assert profiles.solve(GIT, AGENT, SERVER, grid, *raised).bits >= 1
            continue
        found += 1
        assert (design.bits, -design.energy_j) == max(feasible)[:2]
        assert design.delay_s <= limit_s and design.energy_j <= limit_j
        assert design.bits <= co.solve(GIT, AGENT, SERVER, limit_s, limit_j).bits
    assert 80 < found < 290


def test_what_cannot_be_is_said():
    with pytest.raises(co.Infeasible, match="the fastest profile, high, runs one bit in") as caught:
        profiles.solve(GIT, AGENT, SERVER, [LOW, HIGH], 0.01, 10)
    assert caught.value.limit == "delay"
    with pytest.raises(co.Infeasible, match="the cheapest, low, takes") as caught:
        profiles.solve(GIT, AGENT, SERVER, [LOW, HIGH], 10, 1e-6)
    assert caught.value.limit == "energy"
    with pytest.raises(ValueError, match="no profile"):
        profiles.solve(GIT, AGENT, SERVER, [], 1, 1)
    with pytest.raises(ValueError, match="'fast' runs at 1e"):
        profiles.solve(GIT, AGENT, SERVER, [profiles.Profile("fast", 1e11, 1e9)], 1, 1)
    with pytest.raises(ValueError, match="positive clocks"):
        profiles.Profile("off", 0, 1)
    with pytest.raises(ValueError, match="both must be positive"):
        profiles.solve(GIT, AGENT, SERVER, [LOW], 0, 1)
