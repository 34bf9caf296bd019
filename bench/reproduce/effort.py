"""How much of each experiment is done."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Effort"]


@dataclass(frozen=True)
class Effort:
    """The size of a run.

    Attributes:
        rates: at which D(R) is computed, from 0.2 to 7 bits. cells: of its grid, in a distortion.
        pictures: of each data set, in the experiment on distortions.
        seeds: repetitions of the sweeps; each has pictures, random draws and a trained policy of its own.
        block: pictures a seed.
        thresholds: of each sweep.
        ppo_steps: of a policy's training.
        instances: random problems for the exact solver; of the feasible ones among the first `sca` of them
            the paper's algorithm solves each.
    """

    rates: int
    cells: int
    pictures: int
    seeds: int
    block: int
    thresholds: int
    ppo_steps: int
    instances: int
    sca: int

    @classmethod
    def of(cls, quick: bool) -> Effort:
        if quick:
            return cls(20, 5, 16, 4, 10, 5, 60, 10_000, 60)
        return cls(20, 20, 100, 10, 100, 9, 300, 10_000, 10_000)
