"""Random instances of problem P1 (arXiv 2602.13052), and their solution by brute force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qeil_ros.planning import co_inference as co

__all__ = ["BITS", "Problem", "brute_force", "largest_real_width", "problems"]

BITS = 16

Problem = tuple[co.Workload, co.Processor, co.Processor, float, float]
"""Workload, agent, server, delay limit [s], energy limit [J]."""


def problems(count: int, seed: int) -> Iterator[Problem]:
    """Random problems around the edge of feasibility, where mistakes show; the same for the same seed.

    Limits are set by what a random width takes, times a factor about one, so that each of the widths 1 to
    `BITS` is the answer of some, and some have none.
    """
    rng = np.random.default_rng(seed)

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    for _ in range(count):
        agent = co.Processor(draw(1, 64), 10 ** draw(8.5, 9.7), 10 ** draw(-29.5, -27), draw(1, 2))
        server = co.Processor(draw(16, 512), 10 ** draw(9, 10.3), 10 ** draw(-29.5, -27), draw(1, 2))
        stored_bits = int(rng.choice([8, 16, 32]))
        work = co.Workload(10 ** draw(9, 12), 10 ** draw(9, 12), stored_bits, BITS)
        slowest_s = co.delay_s(work, agent, server, int(rng.integers(1, 17)), agent.max_hz, server.max_hz)
        limit_s = slowest_s * 10 ** draw(-0.2, 0.7)
        cheapest = co.least_energy(work, agent, server, int(rng.integers(1, 17)), limit_s)
        energy_j = (
            cheapest.energy_j
            if cheapest
            else co.energy_j(work, agent, server, 4, agent.max_hz, server.max_hz)
        )
        yield work, agent, server, limit_s, energy_j * 10 ** draw(-0.3, 0.5)


def brute_force(instances: Sequence[Problem]) -> NDArray[np.int64]:
    """The largest feasible width of each problem [N], 0 where there is none, without the closed form.

    For every width: the least energy along the curve of equal delay, by golden section on the logarithm of
    the agent's clock. All widths and all problems at once.
    """
    rows = [
        [w.agent_flop / (w.stored_bits * a.flop_per_cycle), w.server_flop / s.flop_per_cycle,
         a.max_hz, s.max_hz, a.joule_factor, s.joule_factor, limit_s, limit_j]
        for w, a, s, limit_s, limit_j in instances
    ]  # fmt: skip
    field = np.array(rows).T[:, :, None]
    cycles, server_cycles, agent_cap, server_cap, agent_factor, server_factor, limit_s, limit_j = field
    cycles = cycles * np.arange(1, BITS + 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slowest = cycles / np.maximum(limit_s - server_cycles / server_cap, 0)

        def cost(log_hz: NDArray[np.float64]) -> NDArray[np.float64]:
            hz = np.exp(log_hz)
            other = server_cycles / (limit_s - cycles / hz)
            return np.asarray(agent_factor * cycles * hz**2 + server_factor * server_cycles * other**2)

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
    return np.where(feasible.any(axis=1), BITS - feasible[:, ::-1].argmax(axis=1), 0)


def largest_real_width(problem: Problem) -> float:
    """The optimum of the relaxed problem, by bisection: as the width grows feasibility is lost once and for
    all. The problem must have a feasible width.
    """
    work, agent, server, limit_s, limit_j = problem

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
