"""Random placement problems, and everything that can be placed in a small one, by enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qeil_ros.planning.placement.problem import Device, Layer, Limits, Link, Problem

__all__ = ["Costs", "Everything", "costs", "enumerate_placements", "problems", "random_problem"]

Floats = NDArray[np.float64]
MOST = 60_000
"""Placements of one problem that are enumerated at most."""


def random_problem(
    seed: int, layers: int = 5, devices: int = 3, phases: int = 2, tight: float = 0.6
) -> Problem:
    """The same for the same seed.

    Args:
        tight: memory of the devices over what the layers need, on average about 1.5 times this.
    """
    rng = np.random.default_rng(seed)
    made = tuple(
        Layer(
            f"layer {i}",
            float(rng.uniform(1, 10)) * 1e6,
            tuple(rng.uniform(1, 100, phases) * 1e6),
            tuple(rng.uniform(1, 20, phases) * 1e6),
            tuple(rng.uniform(0.01, 2, phases) * 1e6),
            float(rng.uniform(0, 1)) * 1e6 if phases > 1 else 0.0,
        )
        for i in range(layers)
    )
    need = sum(layer.weight_bytes + layer.state_bytes for layer in made)
    machines = tuple(
        Device(
            f"device {i}",
            float(rng.uniform(1, 50)) * 1e9,
            float(rng.uniform(1, 20)) * 1e9,
            float(rng.uniform(1, 60)),
            float(rng.uniform(0.3, 1.2)) * need * tight * 2,
        )
        for i in range(devices)
    )
    link = Link(float(rng.uniform(0.5, 10)) * 1e9, float(rng.uniform(0, 1e-4)), float(rng.uniform(0, 1e-9)))
    return Problem(made, machines, tuple(rng.integers(1, 30, phases).astype(float)), link)


def problems(count: int, small: int, seed: int) -> Iterator[Problem]:
    """Random problems of 2 to 4 devices and 1 or 2 phases, some short of memory, every other one with a limit
    on latency. The first `small` have placements that can be enumerated, later ones up to 10 layers."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        devices, phases = int(rng.integers(2, 5)), int(rng.integers(1, 3))
        most = int(math.log(MOST) / (phases * math.log(devices))) if index < small else 10
        problem = random_problem(
            int(rng.integers(2**31)),
            int(rng.integers(2, max(2, most) + 1)),
            devices,
            phases,
            float(rng.uniform(0.4, 2.0)),
        )
        yield _limited(problem, rng) if index % 2 else problem


def _limited(problem: Problem, rng: np.random.Generator) -> Problem:
    """The problem with a limit on latency about what random placements take, so that it often binds."""
    drawn = rng.integers(len(problem.devices), size=(20, *problem.shape))
    latencies = [problem.outcome(each).latency_s for each in drawn]
    return replace(problem, limits=Limits(latency_s=float(np.quantile(latencies, rng.uniform(0.05, 0.9)))))


@dataclass(frozen=True)
class Everything:
    """All placements of a problem that fit its memory and keep its limits.

    Attributes:
        assignments: [n, phases, layers]. energy_j, latency_s, idle_share: [n].
    """

    assignments: NDArray[np.intp]
    energy_j: Floats
    latency_s: Floats
    idle_share: Floats

    def __len__(self) -> int:
        return len(self.energy_j)

    @property
    def values(self) -> Floats:
        """[n, 3], what the Pareto search minimises."""
        return np.column_stack([self.energy_j, self.latency_s, self.idle_share])

    @property
    def pipelines(self) -> NDArray[np.bool_]:
        """Which are contiguous, and the same in all phases: [n]."""
        a = self.assignments
        alike = (a == a[:, :1]).all(axis=(1, 2))
        once = np.array(
            [
                len(set(starts)) == len(starts)
                for starts in ([d for d, _ in itertools.groupby(r[0])] for r in a)
            ],
            bool,
        )
        found: NDArray[np.bool_] = alike & once
        return found


def enumerate_placements(problem: Problem) -> Everything:
    """By counting through all of them; see `costs`.

    Raises:
        ValueError: there are more than `MOST`.
    """
    phases, layers = problem.shape
    devices = len(problem.devices)
    count = devices ** (phases * layers)
    if count > MOST:
        raise ValueError(f"{count} placements; at most {MOST} are enumerated")
    digits = np.arange(count)[:, None] // devices ** np.arange(phases * layers) % devices
    a = digits.reshape(count, phases, layers)
    found = costs(problem, a)
    slack = 1 + 1e-9
    fits = (
        (found.used_bytes <= problem.tables.memory_bytes).all(axis=1)
        & (found.latency_s <= problem.limits.latency_s * slack)
        & (found.energy_j <= problem.limits.energy_j * slack)
    )
    work = sum(
        passes * layer.flops[phase] for phase, passes in enumerate(problem.passes) for layer in problem.layers
    )
    peaks = np.array([device.flops_s for device in problem.devices])
    idle = 1.0 - work / (found.busy_s @ peaks)
    return Everything(a[fits], found.energy_j[fits], found.latency_s[fits], idle[fits])


@dataclass(frozen=True)
class Costs:
    """Of many placements at once: [n], and by device [n, D]."""

    latency_s: Floats
    energy_j: Floats
    busy_s: Floats
    used_bytes: Floats


def costs(problem: Problem, assignments: NDArray[np.intp]) -> Costs:
    """What placements [n, phases, layers] take, summed layer by layer, apart from `Problem.outcome`."""
    a = assignments
    count, phases, layers = a.shape
    devices = len(problem.devices)
    t = problem.tables
    seconds, joules = np.zeros(count), np.zeros(count)
    busy, used = np.zeros((count, devices)), np.zeros((count, devices))
    rows = np.arange(count)
    for layer in range(layers):
        holds = np.zeros((count, devices), bool)
        for phase in range(phases):
            at = a[:, phase, layer]
            took = t.time_s[phase, layer][at]
            seconds += took
            joules += t.energy_j[phase, layer][at]
            busy[rows, at] += took
            holds[rows, at] = True
            if layer:
                came = a[:, phase, layer - 1]
                seconds += t.hop_s[phase, layer - 1][came, at]
                joules += t.hop_j[phase, layer - 1][came, at]
            if phase:
                before = a[:, phase - 1, layer]
                seconds += t.move_s[phase - 1, layer][before, at]
                joules += t.move_j[phase - 1, layer][before, at]
        used += holds * t.need_bytes[layer]
    return Costs(seconds, joules, busy, used)
