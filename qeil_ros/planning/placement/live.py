"""When a placement that runs should change: a device is slower than planned, short of memory, or gone.

The paper (QEIL, arXiv 2602.06057) names this as future work; the rules here are ours. Pure: what is measured
comes in as arguments, the placement to change to goes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .exact import ENERGY, Objective
from .problem import Assignment, Problem

__all__ = ["Change", "Reallocator", "slowed"]


@dataclass(frozen=True)
class Change:
    """Attributes:
    assignment: [phases, layers] to change to.
    reason: for people.
    gain: what it saves of the objective, 0 to 1; NaN where the present one may not go on.
    """

    assignment: Assignment
    reason: str
    gain: float


def slowed(problem: Problem, slowdown: Mapping[str, float]) -> Problem:
    """The problem with devices as slow as they were measured to be.

    Args:
        slowdown: measured over predicted time by device name; 1 where not given. The power stays: a device
            that throttles draws less, by how much is not known.
    """
    if wrong := {name: value for name, value in slowdown.items() if not 0 < value < math.inf}:
        raise ValueError(f"slowdowns {wrong}; want numbers above 0")
    devices = tuple(
        replace(
            device,
            flops_s=device.flops_s / slowdown.get(device.name, 1.0),
            bandwidth_bytes_s=device.bandwidth_bytes_s / slowdown.get(device.name, 1.0),
        )
        for device in problem.devices
    )
    return replace(problem, devices=devices)


class Reallocator:
    """Decides on changes: at once where the present placement may not go on, else only for a clear gain and
    not more often than every `rest_s`, since each change costs time and memory of its own.

    Args:
        solve: finds a placement; raises Refused where there is none.
        gain: of the objective that a change must save, 0 to 1.
    """

    def __init__(
        self,
        solve: Callable[[Problem], Assignment],
        objective: Objective = ENERGY,
        *,
        gain: float = 0.1,
        rest_s: float = 5.0,
    ) -> None:
        if not (0 <= gain < 1 and rest_s >= 0):
            raise ValueError(f"a gain of {gain} every {rest_s} s; want 0 up to below 1, and no negative time")
        self._solve, self._objective, self._gain, self._rest_s = solve, objective, gain, rest_s
        self._looked_s = -math.inf

    def step(
        self,
        problem: Problem,
        indices: Sequence[int] | NDArray[np.intp],
        current: Assignment,
        now_s: float,
        veto: str = "",
    ) -> Change | None:
        """What to change to now; None: nothing.

        Args:
            problem: of the devices that may be used, as they are now. indices: of each its number in
                `current`, which may use others.
            current: [phases, layers].
            veto: why the present placement may not go on; empty: it may.

        Raises:
            Refused: it may not go on, and there is no other.
        """
        back = {int(original): here for here, original in enumerate(indices)}
        lost = sorted(set(np.unique(current).tolist()) - set(back))
        reason = veto or (f"devices {', '.join(map(str, lost))} may not be used" if lost else "")
        if not reason and now_s - self._looked_s < self._rest_s:
            return None
        self._looked_s = now_s
        found = self._solve(problem)
        wanted: Assignment = np.asarray(indices, np.intp)[found]
        if np.array_equal(wanted, current):
            return None
        if reason:
            return Change(wanted, reason, math.nan)
        here: Assignment = np.vectorize(back.__getitem__, otypes=[np.intp])(current)
        before, after = self._cost(problem, here), self._cost(problem, found)
        gain = 1.0 - after / before if before > 0 else 0.0
        if gain < self._gain:
            return None
        return Change(wanted, f"saves {gain:.0%} with the devices as they are now", gain)

    def _cost(self, problem: Problem, assignment: Assignment) -> float:
        outcome = problem.outcome(assignment)
        return float(self._objective.of(np.float64(outcome.latency_s), np.float64(outcome.energy_j)))
