"""The baseline that does not choose: widths drawn at random among those that are feasible."""

from __future__ import annotations

import numpy as np

from .. import co_inference
from ..co_inference import Design, Processor, Workload

__all__ = ["COUNT", "random_feasible"]

COUNT = 400
"""How many the paper draws."""


def random_feasible(
    work: Workload,
    agent: Processor,
    server: Processor,
    delay_limit_s: float,
    energy_limit_j: float,
    *,
    count: int = COUNT,
    seed: int,
) -> list[Design]:
    """`count` designs whose widths are drawn uniformly among the feasible ones.

    How the paper draws is not given. A width counts as feasible where some pair of clocks keeps both limits,
    and comes with the cheapest such pair: of the possible readings the most favourable one.

    Raises:
        Infeasible: there is no feasible width.
        ValueError: a limit is not positive, or `count` is.
    """
    if count < 1:
        raise ValueError(f"count is {count}; want 1 or more")
    most = co_inference.solve(work, agent, server, delay_limit_s, energy_limit_j).bits
    # Every width below a feasible one is feasible: fewer cycles take less of both.
    designs = {
        bits: design
        for bits in range(1, most + 1)
        if (design := co_inference.least_energy(work, agent, server, bits, delay_limit_s)) is not None
    }
    widths = np.random.default_rng(seed).integers(1, most + 1, count)
    return [designs[int(bits)] for bits in widths]
