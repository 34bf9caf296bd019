"""The best placement: over contiguous pipelines by dynamic programming, over all by integer programming.

Ours; the paper (QEIL, arXiv 2602.06057, Eq 33) states the problem and solves it greedily.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from .problem import Assignment, Problem, Refused

__all__ = ["ENERGY", "Objective", "contiguous", "free"]

Floats = NDArray[np.float64]
_SLACK = 1e-9


@dataclass(frozen=True)
class Objective:
    """What is minimised: energy_weight x joules + latency_weight x seconds."""

    energy_weight: float = 1.0
    latency_weight: float = 0.0

    def of(self, seconds: Floats, joules: Floats) -> Floats:
        return self.energy_weight * joules + self.latency_weight * seconds


ENERGY = Objective()


@dataclass(frozen=True)
class _Label:
    """A placement of the first layers: what it costs and how it came about."""

    cost: float
    latency_s: float
    energy_j: float
    devices: tuple[int, ...]


def contiguous(problem: Problem, objective: Objective = ENERGY) -> Assignment:
    """The best pipeline: each device runs one stretch of layers at most, the same in all phases.

    Labels that another one beats in cost, latency and energy at the same place are dropped, which keeps the
    search exact under limits. Time grows with layers^2 x devices x 2^devices.

    Returns:
        [phases, layers].

    Raises:
        Refused: no pipeline is within the limits; says which one and what it would have to be.
    """
    for wanted, latency_s, energy_j in _attempts(problem, objective):
        best = _search(problem, wanted, latency_s, energy_j)
        if best is None:
            continue
        placed = np.tile(np.array(best.devices, np.intp), (problem.shape[0], 1))
        problem.check(placed)  # refuses with the figures where a limit had to be given up
        return placed
    raise _no_room(problem)


def _attempts(problem: Problem, objective: Objective) -> Iterator[tuple[Objective, float, float]]:
    """What to minimise under which limits on latency and energy: first as asked for; then, to tell what a
    limit would have to be, the least energy in time, and the least latency."""
    limits = problem.limits
    yield objective, limits.latency_s, limits.energy_j
    yield ENERGY, limits.latency_s, math.inf
    yield Objective(0.0, 1.0), math.inf, math.inf


def _search(problem: Problem, objective: Objective, latency_s: float, energy_j: float) -> _Label | None:
    t = problem.tables
    layers, devices = len(problem.layers), len(problem.devices)
    seconds, joules = (np.cumsum(a.sum(axis=0), axis=0) for a in (t.time_s, t.energy_j))  # [L, D]
    hop_s, hop_j = t.hop_s.sum(axis=0), t.hop_j.sum(axis=0)  # [L, D, D]
    need = np.concatenate([[0.0], np.cumsum(t.need_bytes)])
    bounded = math.isfinite(latency_s) or math.isfinite(energy_j)
    states: list[dict[tuple[int, int], list[_Label]]] = [{} for _ in range(layers + 1)]
    states[0][0, -1] = [_Label(0.0, 0.0, 0.0, ())]
    for start in range(layers):
        for (used, last), labels in states[start].items():
            for device in range(devices):
                if used >> device & 1:
                    continue
                room = problem.devices[device].memory_bytes
                for end in range(start + 1, layers + 1):
                    if need[end] - need[start] > room:
                        break
                    s = seconds[end - 1, device] - (seconds[start - 1, device] if start else 0.0)
                    j = joules[end - 1, device] - (joules[start - 1, device] if start else 0.0)
                    if start:
                        s, j = s + hop_s[start - 1, last, device], j + hop_j[start - 1, last, device]
                    cost = float(objective.of(s, j))
                    kept = states[end].setdefault((used | 1 << device, device), [])
                    for label in labels:
                        new = _Label(
                            label.cost + cost,
                            label.latency_s + float(s),
                            label.energy_j + float(j),
                            label.devices + (device,) * (end - start),
                        )
                        if new.latency_s <= latency_s * (1 + _SLACK) and new.energy_j <= energy_j * (
                            1 + _SLACK
                        ):
                            _keep(kept, new, bounded)
    found = list(itertools.chain.from_iterable(states[layers].values()))
    return min(found, key=lambda label: label.cost, default=None)


def _keep(kept: list[_Label], new: _Label, bounded: bool) -> None:
    def beats(a: _Label, b: _Label) -> bool:
        return a.cost <= b.cost and (not bounded or (a.latency_s <= b.latency_s and a.energy_j <= b.energy_j))

    if any(beats(label, new) for label in kept):
        return
    kept[:] = [label for label in kept if not beats(new, label)]
    kept.append(new)


def free(
    problem: Problem, objective: Objective = ENERGY, *, apart: bool = True, time_limit_s: float = 60.0
) -> Assignment:
    """The best placement of all: any layer anywhere. By mixed-integer programming (HiGHS).

    Edges between neighbouring layers are flows: without memory limits the relaxation is already whole.

    Args:
        apart: each phase has a placement of its own; else one holds for all.
        time_limit_s: of each solve.

    Returns:
        [phases, layers].

    Raises:
        Refused: none is within the limits; says which one and what it would have to be.
        TimeoutError: the optimum was not proved in time.
    """
    program = _Program(problem, apart)
    for wanted, latency_s, energy_j in _attempts(problem, objective):
        placed = program.solve(wanted, latency_s, energy_j, time_limit_s)
        if placed is None:
            continue
        problem.check(placed)
        return placed
    raise _no_room(problem)


def _no_room(problem: Problem) -> Refused:
    need, have = float(problem.tables.need_bytes.sum()), float(problem.tables.memory_bytes.sum())
    largest = float(problem.tables.need_bytes.max())
    return Refused(
        "memory",
        need,
        have,
        f"{need:.4g} bytes in layers of up to {largest:.4g} cannot be laid out on devices of {have:.4g} "
        "in all",
    )


class _Program:
    """The integer program: x, a layer's device in a phase; y, devices of neighbours; z, devices of a layer in
    neighbouring phases; h, whether a layer lies on a device."""

    def __init__(self, problem: Problem, apart: bool) -> None:
        t = problem.tables
        phases, layers = problem.shape
        devices = len(problem.devices)
        self._phases, self._apart = phases, apart
        groups = phases if apart else 1

        def grouped(a: Floats) -> Floats:
            return a if apart else a.sum(axis=0, keepdims=True)

        self._seconds = _flat(grouped(t.time_s), grouped(t.hop_s)[:, :-1], t.move_s[: groups - 1])
        self._joules = _flat(grouped(t.energy_j), grouped(t.hop_j)[:, :-1], t.move_j[: groups - 1])
        self._shape = groups, layers, devices
        self._xs = groups * layers * devices
        ys, zs = groups * (layers - 1) * devices**2, (groups - 1) * layers * devices**2
        self._count = self._xs + ys + zs + layers * devices
        self._rows: list[tuple[list[int], list[float], float, float]] = []
        x = np.arange(self._xs).reshape(self._shape)
        y = (self._xs + np.arange(ys)).reshape(groups, layers - 1, devices, devices)
        z = (self._xs + ys + np.arange(zs)).reshape(groups - 1, layers, devices, devices)
        h = (self._xs + ys + zs + np.arange(layers * devices)).reshape(layers, devices)
        for g, layer in itertools.product(range(groups), range(layers)):
            self._row(x[g, layer], 1.0, 1.0)
        for edges, before, after in ((y, x[:, :-1], x[:, 1:]), (z, x[:-1], x[1:])):
            for index in np.ndindex(edges.shape[:2]):
                for d in range(devices):
                    self._row([*edges[index][d], before[index][d]], 0.0, 0.0, [1.0] * devices + [-1.0])
                    self._row([*edges[index][:, d], after[index][d]], 0.0, 0.0, [1.0] * devices + [-1.0])
        for g, layer, d in np.ndindex(self._shape):
            self._row([h[layer, d], x[g, layer, d]], 0.0, math.inf, [1.0, -1.0])
        for d in range(devices):
            if math.isfinite(t.memory_bytes[d]):
                scale = float(t.memory_bytes[d])
                self._row(h[:, d], -math.inf, 1.0, list(t.need_bytes / scale))

    def _row(
        self,
        columns: list[int] | NDArray[np.int_],
        low: float,
        high: float,
        values: list[float] | None = None,
    ) -> None:
        self._rows.append((list(columns), values or [1.0] * len(columns), low, high))

    def solve(
        self, objective: Objective, latency_s: float, energy_j: float, time_limit_s: float
    ) -> Assignment | None:
        rows = list(self._rows)
        for values, limit in ((self._seconds, latency_s), (self._joules, energy_j)):
            if math.isfinite(limit):
                rows.append((list(range(len(values))), list(values / limit), -math.inf, 1.0))
        data = [value for _, values, _, _ in rows for value in values]
        i = [number for number, row in enumerate(rows) for _ in row[0]]
        j = [column for columns, _, _, _ in rows for column in columns]
        matrix = coo_array((data, (i, j)), shape=(len(rows), self._count)).tocsr()
        cost = np.zeros(self._count)
        cost[: len(self._seconds)] = objective.of(self._seconds, self._joules)
        scale = float(np.abs(cost).max()) or 1.0
        integral = np.zeros(self._count)
        integral[: self._xs] = 1
        found = milp(
            cost / scale,
            integrality=integral,
            bounds=Bounds(0.0, 1.0),
            constraints=LinearConstraint(matrix, [row[2] for row in rows], [row[3] for row in rows]),
            options={"mip_rel_gap": 0.0, "time_limit": time_limit_s},
        )
        if found.status == 1:
            raise TimeoutError(
                f"no proved optimum within {time_limit_s:g} s; allow more, or use `contiguous`"
            )
        if found.x is None:
            return None
        chosen = found.x[: self._xs].reshape(self._shape).argmax(axis=2)
        return chosen if self._apart else np.tile(chosen, (self._phases, 1))


def _flat(nodes: Floats, edges: Floats, moves: Floats) -> Floats:
    return np.concatenate([nodes.ravel(), edges.ravel(), moves.ravel()])
