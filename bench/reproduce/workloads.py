"""The paper's two models as workloads, and what had to be assumed for that."""

from __future__ import annotations

from dataclasses import dataclass

from qeil_ros.planning.co_inference import PAPER, Infeasible, Workload, least_energy, solve

__all__ = ["WORKLOADS", "PaperModel", "least_delay_s", "least_energy_j"]

AGENT, SERVER = PAPER
STORED_BITS = 16
"""b: both models are published in 16 bits or run in them. The paper does not give it."""
MAX_BITS = 8
"""B_max, not given: the widest that weights are quantized to here."""
FOREVER_S = 1e6


@dataclass(frozen=True)
class PaperModel:
    """A model of the paper's experiments, as its cost model sees it.

    Attributes:
        family: in the file config.json of a model folder's server part.
        flop: to the first token, as printed.
        agent_share: of it in the agent part, which is taken to be the vision tower. Not given; by our count
            (two operations a multiply-accumulate), see `share`.
        delay_s, energy_j: the limits around which its sweeps lie.
    """

    name: str
    family: str
    flop: float
    agent_share: float
    share: str
    delay_s: float
    energy_j: float

    def workload(self, stored_bits: int = STORED_BITS, agent_share: float | None = None) -> Workload:
        share = self.agent_share if agent_share is None else agent_share
        return Workload(self.flop * share, self.flop * (1 - share), stored_bits, MAX_BITS)


WORKLOADS = (
    PaperModel(
        "BLIP-2",
        "blip-2",
        533.66e9,
        0.976,
        "the vision tower (39 layers of width 1408 on 257 tokens) takes 521 GFLOP, the Q-Former 13; together "
        "that is the paper's 533.66, in which the language model then has no part",
        3.5,
        2.0,
    ),
    PaperModel(
        "GIT-base",
        "git",
        212.27e9,
        0.66,
        "four frames through the vision tower (12 layers of width 768 on 197 tokens) take 140 GFLOP, the six "
        "text layers on 788 image tokens the rest; for one picture it would be a fifth of the paper's 212.27",
        2.0,
        2.0,
    ),
)


def least_delay_s(work: Workload, bits: int, energy_j: float) -> float:
    """The least delay at which a width is feasible within an energy, by bisection; inf: at none."""

    def feasible(delay_s: float) -> bool:
        design = least_energy(work, AGENT, SERVER, bits, delay_s)
        return design is not None and design.energy_j <= energy_j

    low, high = 0.0, FOREVER_S
    if not feasible(high):
        return float("inf")
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if feasible(middle) else (middle, high)
    return high


def least_energy_j(work: Workload, bits: int, delay_s: float) -> float:
    """The least energy at which a width is feasible within a delay; inf: at none."""
    design = least_energy(work, AGENT, SERVER, bits, delay_s)
    return float("inf") if design is None else design.energy_j


def width_at(model: PaperModel, stored_bits: int, agent_share: float) -> int:
    """The designed width at the middle of the model's sweeps, 0 where there is none."""
    try:
        work = model.workload(stored_bits, agent_share)
        return solve(work, AGENT, SERVER, model.delay_s, model.energy_j).bits
    except Infeasible:
        return 0
