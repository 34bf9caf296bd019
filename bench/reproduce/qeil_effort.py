"""How much of each experiment is done."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Effort"]


@dataclass(frozen=True)
class Effort:
    """The size of a run.

    Attributes:
        instances: random placement problems for the exact solver against the greedy ones; the first `small`
            of them are small enough for brute force.
        fronts: problems whose exact front is enumerated. steps: of each search for it.
        vetoes: random problems with limits whose placements ask the safety monitor for leave.
        quick: what is measured on this machine is measured briefly.
    """

    instances: int
    small: int
    fronts: int
    steps: int
    vetoes: int
    quick: bool

    @classmethod
    def of(cls, quick: bool) -> Effort:
        if quick:
            return cls(300, 60, 4, 5000, 100, True)
        return cls(2000, 400, 12, 20_000, 500, False)
