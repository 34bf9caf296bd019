"""Delay and energy of co-inference, and the best bit-width with its clocks: problem P1, solved exactly.

Paper: quantization-aware co-inference, arXiv 2602.13052. One agent with `b^` bit weights at clock f, one
server at clock f~; transmission is left out, as in the paper. Units: s, J, Hz, FLOP.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "PAPER",
    "Design",
    "Infeasible",
    "Processor",
    "Workload",
    "clocks",
    "delay_s",
    "energy_j",
    "least_energy",
    "solve",
]

_ROUNDING = 1e-12
"""Part of the delay limit left unused, so that a point computed to meet it does so in floating point too."""


@dataclass(frozen=True)
class Processor:
    """One side's processor.

    Attributes:
        flop_per_cycle: c.
        max_hz: highest clock.
        power_w_per_hz3: psi, W/(cycle/s)^3.
        overhead: eta, power usage effectiveness: 1 or more.
    """

    flop_per_cycle: float
    max_hz: float
    power_w_per_hz3: float
    overhead: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be positive")

    @property
    def joule_factor(self) -> float:
        """eta psi: the energy of a cycle is this times the clock squared."""
        return self.overhead * self.power_w_per_hz3


@dataclass(frozen=True)
class Workload:
    """A split model: operations on either side, and how the agent's weights are stored.

    Attributes:
        agent_flop: N, at `stored_bits`.
        server_flop: N~.
        stored_bits: b, the width at which the agent needs N; a width b^ needs b^ N / b (Eq 4).
        max_bits: B_max, the largest width to choose.
    """

    agent_flop: float
    server_flop: float
    stored_bits: int = 32
    max_bits: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be positive")


PAPER = (Processor(32, 2e9, 2e-29, 1.0), Processor(128, 10e9, 1e-28, 2.0))
"""Agent and server of the paper's simulation."""


@dataclass(frozen=True)
class Design:
    """A bit-width with clocks, and what they cost."""

    bits: int
    agent_hz: float
    server_hz: float
    delay_s: float
    energy_j: float


class Infeasible(ValueError):
    """No bit-width satisfies both limits.

    Attributes:
        limit: "delay" or "energy": what binds at one bit.
        needed: the least delay [s] or energy [J] at which one bit would do, the other limit unchanged.
    """

    def __init__(self, limit: str, needed: float, message: str) -> None:
        super().__init__(message)
        self.limit, self.needed = limit, needed


def delay_s(
    work: Workload, agent: Processor, server: Processor, bits: float, agent_hz: float, server_hz: float
) -> float:
    """T = b^ N/(b f c) + N~/(f~ c~) (Eq 4, 5, 8)."""
    cycles, server_cycles = _cycles(work, agent, server, bits)
    return cycles / agent_hz + server_cycles / server_hz


def energy_j(
    work: Workload, agent: Processor, server: Processor, bits: float, agent_hz: float, server_hz: float
) -> float:
    """E = eta (b^ N/(b c)) psi f^2 + eta~ (N~/c~) psi~ f~^2 (Eq 6, 7, 9)."""
    cycles, server_cycles = _cycles(work, agent, server, bits)
    return agent.joule_factor * cycles * agent_hz**2 + server.joule_factor * server_cycles * server_hz**2


def solve(
    work: Workload, agent: Processor, server: Processor, delay_limit_s: float, energy_limit_j: float
) -> Design:
    """The largest feasible width, with the clocks that meet the delay limit at the least energy.

    Exact: P1's objective D_U - D_L falls strictly with the width and does not depend on the clocks. The
    paper rounds a relaxed solution to the nearest width, which can break a limit; this cannot.

    Raises:
        Infeasible: not even one bit is feasible; the error says which limit binds and what it must be.
        ValueError: a limit is not positive.
    """
    if not (delay_limit_s > 0 and energy_limit_j > 0):
        raise ValueError(f"limits of {delay_limit_s} s and {energy_limit_j} J; both must be positive")
    for bits in range(work.max_bits, 0, -1):
        design = least_energy(work, agent, server, bits, delay_limit_s)
        if design is not None and design.energy_j <= energy_limit_j:
            return design
    raise _explained(work, agent, server, delay_limit_s, energy_limit_j)


def least_energy(
    work: Workload, agent: Processor, server: Processor, bits: int, delay_limit_s: float
) -> Design | None:
    """The design of least energy that meets the delay limit at that width; None where the caps forbid it."""
    found = clocks(work, agent, server, bits, delay_limit_s)
    if found is None:
        return None
    return Design(
        bits,
        *found,
        delay_s(work, agent, server, bits, *found),
        energy_j(work, agent, server, bits, *found),
    )


def clocks(
    work: Workload, agent: Processor, server: Processor, bits: float, delay_limit_s: float
) -> tuple[float, float] | None:
    """Agent's and server's clock of least energy that meet the delay limit; None where the caps forbid it.

    The interior optimum has f/f~ = r = (eta~ psi~/(eta psi))^(1/3) and no slack, so f~ = (a/r + a~)/T0 with
    a, a~ the cycles of either side. Where that passes a cap, the clock is the cap and the other one follows;
    energy is convex along the curve of equal delay, so this is the optimum too.
    """
    cycles, server_cycles = _cycles(work, agent, server, bits)
    delay_limit_s *= 1 - _ROUNDING
    ratio = (server.joule_factor / agent.joule_factor) ** (1 / 3)
    server_hz = (cycles / ratio + server_cycles) / delay_limit_s
    agent_hz = ratio * server_hz
    if agent_hz > agent.max_hz:
        agent_hz = agent.max_hz
        server_hz = _rest(server_cycles, delay_limit_s - cycles / agent_hz)
    elif server_hz > server.max_hz:
        server_hz = server.max_hz
        agent_hz = _rest(cycles, delay_limit_s - server_cycles / server_hz)
    if agent_hz > agent.max_hz or server_hz > server.max_hz:
        return None
    return agent_hz, server_hz


def _rest(cycles: float, time_s: float) -> float:
    return cycles / time_s if time_s > 0 else float("inf")


def _cycles(work: Workload, agent: Processor, server: Processor, bits: float) -> tuple[float, float]:
    return (
        bits * work.agent_flop / (work.stored_bits * agent.flop_per_cycle),
        work.server_flop / server.flop_per_cycle,
    )


def _explained(
    work: Workload, agent: Processor, server: Processor, delay_limit_s: float, energy_limit_j: float
) -> Infeasible:
    fastest_s = delay_s(work, agent, server, 1, agent.max_hz, server.max_hz)
    cheapest = least_energy(work, agent, server, 1, delay_limit_s)
    if cheapest is None:
        return Infeasible(
            "delay",
            fastest_s,
            f"a delay of {delay_limit_s:.6g} s cannot be met: at the highest clocks one bit takes "
            f"{fastest_s:.6g} s",
        )
    return Infeasible(
        "energy",
        cheapest.energy_j,
        f"an energy of {energy_limit_j:.6g} J cannot be met: one bit within {delay_limit_s:.6g} s takes "
        f"{cheapest.energy_j:.6g} J; raise the energy limit, or the delay limit, which lets clocks fall",
    )
