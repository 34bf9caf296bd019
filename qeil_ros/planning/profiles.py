"""Discrete clocks: what a machine lets one choose, in place of the paper's continuous frequencies.

The paper's testbed (arXiv 2602.13052) runs its devices in three profiles, low, medium and high, whose clocks
it does not give. `testbed` makes such profiles as thirds of the highest clock, which is ours. The problem is
then P1 with f and f~ out of a list, solved exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .co_inference import Design, Infeasible, Processor, Workload, delay_s, energy_j

__all__ = ["Profile", "ProfiledDesign", "pairs", "solve", "testbed"]


@dataclass(frozen=True)
class Profile:
    """A clock on either side, under one name."""

    name: str
    agent_hz: float
    server_hz: float

    def __post_init__(self) -> None:
        if not (self.agent_hz > 0 and self.server_hz > 0):
            raise ValueError(
                f"profile {self.name!r}: {self.agent_hz} and {self.server_hz} Hz; want positive clocks"
            )


@dataclass(frozen=True)
class ProfiledDesign(Design):
    """A design whose clocks are those of a profile."""

    profile: str


def testbed(agent: Processor, server: Processor) -> tuple[Profile, ...]:
    """low, medium and high: both sides at one, two and three thirds of their highest clocks."""
    return tuple(
        Profile(name, agent.max_hz * third / 3, server.max_hz * third / 3)
        for third, name in enumerate(("low", "medium", "high"), start=1)
    )


def pairs(agent_hz: Mapping[str, float], server_hz: Mapping[str, float]) -> tuple[Profile, ...]:
    """Every clock of the agent with every clock of the server: profiles named "agent/server"."""
    return tuple(
        Profile(f"{a}/{s}", a_hz, s_hz) for a, a_hz in agent_hz.items() for s, s_hz in server_hz.items()
    )


def solve(
    work: Workload,
    agent: Processor,
    server: Processor,
    profiles: Iterable[Profile],
    delay_limit_s: float,
    energy_limit_j: float,
) -> ProfiledDesign:
    """The largest width that some profile runs within both limits, in the cheapest such profile.

    Raises:
        Infeasible: no profile runs even one bit within both limits. Where some profile meets the delay limit
            energy binds, and `needed` is what the cheapest of these takes; else delay does.
        ValueError: no profile, one beyond a processor's highest clock, or a limit that is not positive.
    """
    if not (delay_limit_s > 0 and energy_limit_j > 0):
        raise ValueError(f"limits of {delay_limit_s} s and {energy_limit_j} J; both must be positive")
    listed = tuple(profiles)
    if not listed:
        raise ValueError("there is no profile to choose from")
    for profile in listed:
        if profile.agent_hz > agent.max_hz or profile.server_hz > server.max_hz:
            raise ValueError(
                f"profile {profile.name!r} runs at {profile.agent_hz:g} and {profile.server_hz:g} Hz; "
                f"the highest clocks are {agent.max_hz:g} and {server.max_hz:g} Hz"
            )
    for bits in range(work.max_bits, 0, -1):
        designs = [_design(work, agent, server, bits, profile) for profile in listed]
        kept = [d for d in designs if d.delay_s <= delay_limit_s and d.energy_j <= energy_limit_j]
        if kept:
            return min(kept, key=lambda design: (design.energy_j, design.delay_s))
    in_time = [design for design in designs if design.delay_s <= delay_limit_s]
    if in_time:
        cheapest = min(in_time, key=lambda design: design.energy_j)
        raise Infeasible(
            "energy",
            cheapest.energy_j,
            f"an energy of {energy_limit_j:.6g} J cannot be met: of the profiles that run one bit within "
            f"{delay_limit_s:.6g} s the cheapest, {cheapest.profile}, takes {cheapest.energy_j:.6g} J",
        )
    fastest = min(designs, key=lambda design: design.delay_s)
    raise Infeasible(
        "delay",
        fastest.delay_s,
        f"a delay of {delay_limit_s:.6g} s cannot be met: the fastest profile, {fastest.profile}, runs one "
        f"bit in {fastest.delay_s:.6g} s",
    )


def _design(
    work: Workload, agent: Processor, server: Processor, bits: int, profile: Profile
) -> ProfiledDesign:
    clocks = profile.agent_hz, profile.server_hz
    return ProfiledDesign(
        bits,
        *clocks,
        delay_s(work, agent, server, bits, *clocks),
        energy_j(work, agent, server, bits, *clocks),
        profile.name,
    )
