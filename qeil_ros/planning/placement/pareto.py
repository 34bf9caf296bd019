"""The trade-off between energy, latency and under-utilisation: simulated annealing with an archive.

Inspired by PGSAM of QEIL v2 (arXiv 2602.06057 v3), of which only the abstract could be read: that it anneals
over these three, guided by the Pareto front. The moves, the schedule and the archive here are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .greedy import greedy
from .problem import Assignment, Outcome, Problem, Refused

__all__ = ["Placed", "hypervolume", "search"]

Floats = NDArray[np.float64]
ANNEALED = 0.4
"""The share of the steps that finds good placements; the others find those that lie between them."""


@dataclass(frozen=True)
class Placed:
    """A placement and what it costs."""

    assignment: Assignment
    outcome: Outcome

    @property
    def values(self) -> tuple[float, float, float]:
        """Energy [J], latency [s], under-utilisation: less is better of each."""
        return self.outcome.energy_j, self.outcome.latency_s, self.outcome.idle_share


def search(problem: Problem, *, steps: int = 20_000, seed: int = 0, apart: bool = True) -> list[Placed]:
    """Placements none of which another beats in all three, least energy first; all within the limits.

    First a few annealings under different weights of the three, in logs, each from the archive's best for it;
    a move gives a stretch of layers another device, in one phase or in all. Then the neighbours of what the
    archive holds are looked at, placement by placement. `steps` are tried in all.

    Raises:
        Refused: not even a first placement fits the memory.
    """
    rng = np.random.default_rng(seed)
    archive = _Archive(problem)
    for start in _starts(problem):
        archive.offer(start)
    if not archive.any:
        greedy(problem)  # says which layer does not fit
        raise Refused("memory", math.nan, math.nan, "no placement was found that fits the memory")
    weights = _weights(rng)
    each = max(1, int(ANNEALED * steps) // len(weights))
    for weight in weights:
        _anneal(problem, archive, weight, each, rng, apart)
    _spread(problem, archive, steps - each * len(weights), rng, apart)
    return archive.front()


def _starts(problem: Problem) -> list[Assignment]:
    found = [np.full(problem.shape, index) for index in range(len(problem.devices))]
    with suppress(Refused):  # the others may fit nevertheless
        found.append(greedy(problem))
    return found


def _weights(rng: np.random.Generator) -> Floats:
    """Directions through the objectives: the corners, the edges' middles, the centre, some at random."""
    corners = np.eye(3)
    edges = 0.5 * (corners[[0, 0, 1]] + corners[[1, 2, 2]])
    return np.concatenate([corners, edges, np.full((1, 3), 1 / 3), rng.dirichlet(np.ones(3), 9)])


def _anneal(
    problem: Problem, archive: _Archive, weight: Floats, steps: int, rng: np.random.Generator, apart: bool
) -> None:
    current = archive.best(weight)
    cost = _cost(current.values, weight)
    hot, cold = 0.3, 1e-3
    for step in range(steps):
        temperature = hot * (cold / hot) ** (step / steps)
        tried = archive.offer(_moved(current.assignment, len(problem.devices), rng, apart))
        if tried is None:
            continue
        new = _cost(tried.values, weight)
        if new <= cost or rng.random() < math.exp((cost - new) / temperature):
            current, cost = tried, new


def _spread(problem: Problem, archive: _Archive, steps: int, rng: np.random.Generator, apart: bool) -> None:
    """Pareto local search: every neighbour of every placement on the front, until nothing new turns up.

    A front of three objectives has gaps that no weighted sum of them points into.
    """
    seen: set[bytes] = set()
    while steps > 0:
        fresh = [placed for placed in archive.front() if placed.assignment.tobytes() not in seen]
        if not fresh:
            return
        for index in rng.permutation(len(fresh)):
            current = fresh[index].assignment
            seen.add(current.tobytes())
            for moved in _neighbours(current, len(problem.devices), rng, apart):
                if steps == 0:
                    return
                archive.offer(moved)
                steps -= 1


def _neighbours(
    assignment: Assignment, devices: int, rng: np.random.Generator, apart: bool
) -> Iterator[Assignment]:
    """All placements one move away, in a random order: `_moved` draws one of them."""
    phases, layers = assignment.shape
    rows = [slice(None), *((slice(p, p + 1) for p in range(phases)) if apart and phases > 1 else ())]
    stretches = layers * (layers + 1) // 2
    for number in rng.permutation(len(rows) * stretches * devices):
        rest, device = divmod(int(number), devices)
        row, stretch = divmod(rest, stretches)
        length, start = _stretch(stretch, layers)
        if (assignment[rows[row], start : start + length] == device).all():
            continue
        new: Assignment = assignment.copy()
        new[rows[row], start : start + length] = device
        yield new


def _stretch(number: int, layers: int) -> tuple[int, int]:
    """The length and the start of a stretch, shorter ones first."""
    length = 1
    while number >= layers - length + 1:
        number -= layers - length + 1
        length += 1
    return length, number


def _cost(values: Sequence[float], weight: Floats) -> float:
    energy_j, latency_s, idle = values
    return float(weight @ (math.log(energy_j), math.log(latency_s), idle))


def _moved(assignment: Assignment, devices: int, rng: np.random.Generator, apart: bool) -> Assignment:
    phases, layers = assignment.shape
    new: Assignment = assignment.copy()
    start = int(rng.integers(layers))
    length = min(layers - start, int(rng.geometric(0.4)))
    rows = slice(None)
    if apart and phases > 1 and rng.random() < 0.6:
        row = int(rng.integers(phases))
        rows = slice(row, row + 1)
    new[rows, start : start + length] = rng.integers(devices)
    return new


class _Archive:
    """Everything seen that is within the limits and not beaten."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._placed: list[Placed] = []
        self._values = np.empty((0, 3))

    @property
    def any(self) -> bool:
        return bool(self._placed)

    def offer(self, assignment: Assignment) -> Placed | None:
        """Takes a placement in where it belongs there; None: it is not within the limits."""
        outcome = self._problem.outcome(assignment)
        limits = self._problem.limits
        if (
            (outcome.memory_bytes > self._problem.tables.memory_bytes).any()
            or outcome.latency_s > limits.latency_s
            or outcome.energy_j > limits.energy_j
        ):
            return None
        placed = Placed(assignment, outcome)
        values = np.array(placed.values)
        if not np.any(np.all(self._values <= values, axis=1)):
            stay: NDArray[np.bool_] = np.logical_not(np.all(values <= self._values, axis=1))
            self._placed = [self._placed[i] for i in np.flatnonzero(stay)] + [placed]
            self._values = np.concatenate([self._values[stay], values[None]])
        return placed

    def best(self, weight: Floats) -> Placed:
        return min(self._placed, key=lambda placed: _cost(placed.values, weight))

    def front(self) -> list[Placed]:
        return sorted(self._placed, key=lambda placed: placed.values)


def hypervolume(points: Sequence[Sequence[float]] | Floats, reference: Sequence[float]) -> float:
    """Volume that points [n, 3] dominate up to a reference, less being better. By slices of the last value.

    Points beyond the reference count for nothing.
    """
    found = np.asarray(points, np.float64).reshape(-1, 3)
    end = np.asarray(reference, np.float64)
    found = found[(found < end).all(axis=1)]
    found = found[np.argsort(found[:, 2])]
    depths = np.append(found[:, 2], end[2])
    return float(
        sum(
            _area(found[: i + 1, :2], end[:2]) * (depths[i + 1] - depths[i])
            for i in range(len(found))
            if depths[i + 1] > depths[i]
        )
    )


def _area(points: Floats, end: Floats) -> float:
    total, height = 0.0, float(end[1])
    for x, y in points[np.lexsort((points[:, 1], points[:, 0]))]:
        if y < height:
            total += (float(end[0]) - float(x)) * (height - float(y))
            height = float(y)
    return total
