"""The last word on a placement: whatever an optimiser found, this says whether it may run.

The counterpart of `permit`, which has the last word on an operating point. A point can be reduced to what the
limits permit; a placement can only be vetoed, with every reason, and the optimiser asked again for one on the
devices that are `usable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qeil_ros.planning.placement.problem import Assignment, Device, Limits, Outcome, Problem
from qeil_ros.platform.readings import TripPoints

from .limits import ceiling_c

__all__ = ["Condition", "Permission", "Veto", "permit_placement", "usable"]

_SLACK = 1e-9  # rounding, no tolerance


@dataclass(frozen=True)
class Condition:
    """What is known of a device now.

    Attributes:
        fault: why nothing may run on it; empty: it is healthy.
        temperature_c: its own; NaN where it has no sensor, or one that gives no value.
        trips: the temperatures at which its hardware acts. With any of them known the temperature must be,
            too: a sensor that dies counts as being at its limit.
        free_bytes: memory that it has left for us now, at most the device's own.
        budget_w: power that its heat leaves it, on average over a query.
        share: of its capacity that recovery leaves, above 0 to 1 (`recovery.Recovery`).
    """

    fault: str = ""
    temperature_c: float = math.nan
    trips: TripPoints = field(default_factory=TripPoints)
    free_bytes: float = math.inf
    budget_w: float = math.inf
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; want above 0 up to 1, and a fault where it is none")


@dataclass(frozen=True)
class Veto:
    """One limit that a placement would break.

    Attributes:
        limit: "shape", "health", "temperature", "memory", "power", "latency" or "energy".
        device: its name; empty where the limit is the whole placement's.
        value, allowed: in C, bytes, W, s or J; NaN where there is no figure.
        reason: for people.
    """

    limit: str
    device: str
    value: float
    allowed: float
    reason: str


@dataclass(frozen=True)
class Permission:
    """True where the placement may run.

    Attributes:
        vetoes: every limit that it would break.
        outcome: what it costs with the devices in their present condition; None for no placement at all.
    """

    vetoes: tuple[Veto, ...]
    outcome: Outcome | None

    def __bool__(self) -> bool:
        return not self.vetoes

    @property
    def reason(self) -> str:
        """All reasons; empty where it may run."""
        return "; ".join(veto.reason for veto in self.vetoes)


def permit_placement(
    problem: Problem,
    assignment: Assignment | Sequence[Sequence[int]],
    limits: Limits,
    conditions: Mapping[str, Condition],
) -> Permission:
    """Whether a placement may run.

    Stateless, and independent of who made the placement: everything is computed anew from layers and devices,
    nothing is taken from the optimiser's own outcome, and `problem.limits` is not looked at.

    Args:
        assignment: [phases, layers] of device indices.
        limits: those of the robot.
        conditions: by device name. A device without one must not be used: nobody watches it.
    """
    placed = np.asarray(assignment)
    count = len(problem.devices)
    if (
        placed.shape != problem.shape
        or not np.issubdtype(placed.dtype, np.integer)
        or ((placed < 0) | (placed >= count)).any()
    ):
        reason = f"no placement: {placed.dtype} of shape {placed.shape}, want device indices {problem.shape}"
        return Permission((Veto("shape", "", math.nan, math.nan, reason),), None)
    known = [conditions.get(device.name, _UNWATCHED) for device in problem.devices]
    now = _slowed(problem, known)
    outcome = now.outcome(placed)
    vetoes: list[Veto] = []
    for index in np.unique(placed):
        device, condition = problem.devices[index], known[index]
        vetoes += _state(device.name, condition)
        room = min(device.memory_bytes, condition.free_bytes)
        vetoes += _over("memory", device.name, float(outcome.memory_bytes[index]), room, "bytes")
        busy_s, latency_s = float(outcome.busy_s[index]), outcome.latency_s
        # The paused part of a recovering device's time draws nothing: its share is in the efficiency.
        joules = busy_s * now.devices[index].power_w * now.devices[index].efficiency
        mean_w = joules / latency_s if latency_s > 0 else 0.0
        vetoes += _over("power", device.name, mean_w, condition.budget_w, "W")
    vetoes += _over("latency", "", outcome.latency_s, limits.latency_s, "s")
    vetoes += _over("energy", "", outcome.energy_j, limits.energy_j, "J")
    return Permission(tuple(vetoes), outcome)


def usable(problem: Problem, conditions: Mapping[str, Condition]) -> tuple[Problem, NDArray[np.intp]]:
    """The problem as an optimiser should see it: devices that may run something, with what they have left.

    Returns:
        the problem, and for each of its devices the index in the original one: `indices[assignment]`.

    Raises:
        ValueError: no device may be used; says why for each.
    """
    known = [conditions.get(device.name, _UNWATCHED) for device in problem.devices]
    states = [_state(device.name, known[i]) for i, device in enumerate(problem.devices)]
    held = [i for i, vetoes in enumerate(states) if not vetoes and known[i].free_bytes > 0]
    if not held:
        reasons = [veto.reason for vetoes in states for veto in vetoes]
        raise ValueError(f"no device may be used: {'; '.join(reasons) or 'none has memory left'}")
    slowed = _slowed(problem, known)
    devices = tuple(
        replace(slowed.devices[i], memory_bytes=min(slowed.devices[i].memory_bytes, known[i].free_bytes))
        for i in held
    )
    return replace(slowed, devices=devices), np.array(held, np.intp)


_UNWATCHED = Condition(fault="nothing is known of its condition")


def _state(name: str, condition: Condition) -> list[Veto]:
    """What forbids a device whatever would run on it."""
    vetoes = []
    if condition.fault:
        vetoes.append(Veto("health", name, math.nan, math.nan, f"{name}: {condition.fault}"))
    ceiling = ceiling_c(condition.trips)
    if math.isnan(ceiling):
        return vetoes
    value = condition.temperature_c
    if math.isnan(value):
        reason = f"{name}: its temperature cannot be read; taken to be at its ceiling of {ceiling:.4g} C"
        vetoes.append(Veto("temperature", name, value, ceiling, reason))
    elif value >= ceiling:
        reason = f"{name}: {value:.4g} C, the ceiling is {ceiling:.4g} C"
        vetoes.append(Veto("temperature", name, value, ceiling, reason))
    return vetoes


def _over(limit: str, device: str, value: float, allowed: float, unit: str) -> list[Veto]:
    """A veto where a value is not at most what is allowed; one that is not a number is not."""
    if value <= allowed * (1 + _SLACK):
        return []
    who = f"{device}: " if device else ""
    much = f", {value / allowed - 1:.1%} too much" if allowed > 0 else ""
    reason = f"{who}{limit} would be {value:.4g} {unit}, the limit is {allowed:.4g} {unit}{much}"
    return [Veto(limit, device, value, allowed, reason)]


def _slowed(problem: Problem, known: Sequence[Condition]) -> Problem:
    """The problem with every device at its share: slower, for the same energy."""
    devices = tuple(_at(device, known[i].share) for i, device in enumerate(problem.devices))
    return replace(problem, devices=devices)


def _at(device: Device, share: float) -> Device:
    if share == 1.0:
        return device
    return replace(
        device,
        flops_s=device.flops_s * share,
        bandwidth_bytes_s=device.bandwidth_bytes_s * share,
        efficiency=device.efficiency * share,
    )
