"""Greedy placements: the paper's algorithm 1, as printed and corrected, and everything on one device.

Paper: QEIL, arXiv 2602.06057, algorithm 1. As printed it never takes what it has placed off a device's
memory, and steps past its list of devices; `greedy` does neither, counts transfers, and places each phase by
itself.
"""

from __future__ import annotations

import numpy as np

from .problem import Assignment, Outcome, Problem, Refused

__all__ = ["greedy", "homogeneous", "printed"]


def printed(problem: Problem) -> Assignment:
    """Algorithm 1 as printed: devices by FLOP per joule, first and last layer to the best, each layer between
    to the current device while that layer alone fits, else to the next one. [phases, layers], phases alike.

    Memory may come out overdrawn: `Problem.check` says so.

    Raises:
        Refused: an end does not fit the best device, or a layer none (the printed index leaves the list).
    """
    ranked = _ranked(problem)
    devices, need = problem.devices, problem.tables.need_bytes
    best = ranked[0]
    for end in (0, len(need) - 1):
        if need[end] > devices[best].memory_bytes:
            raise _too_large(problem, end, best)
    placed = np.full(problem.shape, best, np.intp)
    current = 0
    for layer in range(1, len(need) - 1):
        while need[layer] > devices[ranked[current]].memory_bytes:
            current += 1
            if current == len(ranked):
                raise _too_large(problem, layer, ranked[-1])
        placed[:, layer] = ranked[current]
    return placed


def greedy(problem: Problem) -> Assignment:
    """Layer by layer, and phase by phase of each, the device that adds least energy, transfers included, and
    still has room. [phases, layers]; the limits on latency and energy are `Problem.check`'s.

    Raises:
        Refused: a layer fits on no device beside what is placed already.
    """
    t = problem.tables
    phases, layers = problem.shape
    free = t.memory_bytes.copy()
    placed = np.zeros(problem.shape, np.intp)
    for layer in range(layers):
        held: set[int] = set()
        for phase in range(phases):
            added = t.energy_j[phase, layer].copy()
            if layer:
                added += t.hop_j[phase, layer - 1, placed[phase, layer - 1]]
            if phase:
                added += t.move_j[phase - 1, layer, placed[phase - 1, layer]]
            room = free >= t.need_bytes[layer]
            room[list(held)] = True
            if not room.any():
                raise _too_large(problem, layer, int(free.argmax()), float(free.max()))
            chosen = int(np.where(room, added, np.inf).argmin())
            placed[phase, layer] = chosen
            if chosen not in held:
                held.add(chosen)
                free[chosen] -= t.need_bytes[layer]
    return placed


def homogeneous(problem: Problem) -> dict[str, Outcome]:
    """The outcome of everything on one device, by device; without those that it does not fit."""
    found = {}
    for index, device in enumerate(problem.devices):
        outcome = problem.outcome(np.full(problem.shape, index))
        if outcome.memory_bytes[index] <= device.memory_bytes:
            found[device.name] = outcome
    return found


def _ranked(problem: Problem) -> list[int]:
    return sorted(range(len(problem.devices)), key=lambda i: -problem.devices[i].flops_j)


def _too_large(problem: Problem, layer: int, device: int, room: float | None = None) -> Refused:
    need = float(problem.tables.need_bytes[layer])
    room = problem.devices[device].memory_bytes if room is None else room
    name = problem.devices[device].name
    return Refused(
        "memory",
        need,
        room,
        f"layer {problem.layers[layer].name!r} needs {need:.4g} bytes; the most that is left, on {name}, "
        f"is {room:.4g}",
    )
