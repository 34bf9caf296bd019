"""The baseline that leaves the clocks alone: both sides at their highest, only the width chosen."""

from __future__ import annotations

from .. import profiles
from ..co_inference import Design, Infeasible, Processor, Workload, delay_s, energy_j

__all__ = ["max_agent_clock", "max_clock"]


def max_clock(
    work: Workload, agent: Processor, server: Processor, delay_limit_s: float, energy_limit_j: float
) -> Design:
    """The largest feasible width with both sides at their highest clocks (the paper's baseline).

    Raises:
        Infeasible: at these clocks not even one bit keeps both limits.
        ValueError: a limit is not positive.
    """
    highest = profiles.Profile("highest", agent.max_hz, server.max_hz)
    found = profiles.solve(work, agent, server, [highest], delay_limit_s, energy_limit_j)
    return Design(found.bits, found.agent_hz, found.server_hz, found.delay_s, found.energy_j)


def max_agent_clock(
    work: Workload, agent: Processor, server: Processor, delay_limit_s: float, energy_limit_j: float
) -> Design:
    """The same with the server's clock left free: the slowest that still meets the delay limit.

    Ours. With the paper's constants the server at its highest clock takes more than the whole energy limit,
    so that `max_clock` has no answer; this reading of "maximum frequency" gives it one.

    Raises:
        Infeasible: with the agent at its highest clock not even one bit keeps both limits.
        ValueError: a limit is not positive.
    """
    if not (delay_limit_s > 0 and energy_limit_j > 0):
        raise ValueError(f"limits of {delay_limit_s} s and {energy_limit_j} J; both must be positive")
    for bits in range(work.max_bits, 0, -1):
        design = _slowest_server(work, agent, server, bits, delay_limit_s)
        if design is not None and design.energy_j <= energy_limit_j:
            return design
    one = _slowest_server(work, agent, server, 1, delay_limit_s)
    if one is None:
        fastest_s = delay_s(work, agent, server, 1, agent.max_hz, server.max_hz)
        raise Infeasible("delay", fastest_s, f"one bit takes {fastest_s:.6g} s at the highest clocks")
    raise Infeasible(
        "energy", one.energy_j, f"one bit takes {one.energy_j:.6g} J within {delay_limit_s:.6g} s"
    )


def _slowest_server(
    work: Workload, agent: Processor, server: Processor, bits: int, delay_limit_s: float
) -> Design | None:
    """The agent at its highest clock, the server as slow as the delay limit allows; None: it is too slow."""
    agent_s = bits * work.agent_flop / (work.stored_bits * agent.flop_per_cycle * agent.max_hz)
    left_s = delay_limit_s * (1 - 1e-12) - agent_s  # so that the limit holds in floating point, too
    server_hz = work.server_flop / server.flop_per_cycle / left_s if left_s > 0 else float("inf")
    if server_hz > server.max_hz:
        return None
    point = bits, agent.max_hz, server_hz
    return Design(
        *point,
        delay_s(work, agent, server, *point),
        energy_j(work, agent, server, *point),
    )
