"""Keeps a running placement right: what the devices are like now, whether it may go on, what to change to."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from qeil_ros.models.staged.place import Place
from qeil_ros.models.staged.staged import Staged
from qeil_ros.planning.placement.live import Change, Reallocator, slowed
from qeil_ros.planning.placement.problem import Limits, Problem, Refused
from qeil_ros.platform import discover
from qeil_ros.platform.readings import trip_points
from qeil_ros.safety.health import Health
from qeil_ros.safety.limits import ceiling_c
from qeil_ros.safety.placement import Condition, Permission, permit_placement, usable

from .here import available_bytes

__all__ = ["Keeper", "Sensed", "SharedHealth"]

_SLOWER = 1.25
"""Over the predicted time: less is the day's mood."""


class SharedHealth:
    """`safety.health.Health` for several threads: the crew's and the keeper's."""

    def __init__(self, health: Health) -> None:
        self._health, self._lock = health, threading.Lock()

    def fault(self, name: str, reason: str, now_s: float) -> None:
        with self._lock:
            self._health.fault(name, reason, now_s)

    def may_return(self, name: str, now_s: float) -> bool:
        with self._lock:
            return self._health.may_return(name, now_s)

    def back(self, name: str, now_s: float) -> bool:
        with self._lock:
            return self._health.back(name, now_s)

    def share(self, name: str, now_s: float) -> float:
        with self._lock:
            return self._health.share(name, now_s)

    def conditions(self, seen: Mapping[str, Condition], now_s: float) -> dict[str, Condition]:
        """What was seen of the devices, with what faults and recovery leave of them."""
        with self._lock:
            for name, condition in seen.items():
                self._health.observe(name, condition)
            return self._health.conditions(now_s)


class Sensed:
    """The places' conditions as this machine tells them: available memory, and for those on the processor the
    temperature that is nearest to where the kernel acts. A device's own driver is not asked."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = tuple(places)
        self._sensors = discover(include=["sysfs"])
        self._trips = {
            name: points for name, points in trip_points(self._sensors).items() if ceiling_c(points) > 0
        }

    def __call__(self) -> dict[str, Condition]:
        free = Condition(free_bytes=float(available_bytes()))
        processor = free
        if self._trips:
            now_s = time.monotonic()
            values = {r.name: r.value for s in self._sensors for r in s.read(now_s) if r.good}
            name = max(
                self._trips, key=lambda n: values.get(n, math.inf) - ceiling_c(self._trips[n])
            )  # one that cannot be read counts as the hottest
            processor = replace(free, temperature_c=values.get(name, math.nan), trips=self._trips[name])
        return {place.name: processor if place.on_processor else free for place in self._places}


class Keeper:
    """Looks after a running placement.

    Args:
        problem: that the placement solves, as it was predicted.
        limits: which `safety.placement.permit_placement` holds it to; it has the last word on every change.
        sense: gives the places' conditions.

    Attributes:
        permission: on the present placement, at the last look.
        changes: made so far.
    """

    def __init__(
        self,
        staged: Staged,
        problem: Problem,
        limits: Limits,
        health: SharedHealth,
        reallocator: Reallocator,
        sense: Callable[[], Mapping[str, Condition]],
    ) -> None:
        self._staged, self._problem, self._limits = staged, problem, limits
        self._health, self._reallocator, self._sense = health, reallocator, sense
        self.changes: list[Change] = []
        self.permission = self.look(time.monotonic())

    def look(self, now_s: float) -> Permission:
        """Once: takes stock, and changes the placement where that is called for and permitted.

        Raises:
            ModelError: a placement to change to cannot be loaded; the present one goes on.
        """
        problem = slowed(self._problem, self._slowdown())
        conditions = self._health.conditions(self._sense(), now_s)
        current = np.array([self._staged.assignment], np.intp)
        self.permission = permit_placement(problem, current, self._limits, conditions)
        try:
            left, indices = usable(problem, conditions)
            change = self._reallocator.step(left, indices, current, now_s, self.permission.reason)
        except (Refused, ValueError):
            return self.permission  # nothing is better; the veto, where there is one, stands
        if change is None:
            return self.permission
        permission = permit_placement(problem, change.assignment, self._limits, conditions)
        if permission:
            self._staged.reassign(change.assignment[0].tolist())
            self.changes.append(change)
            self.permission = permission
        return self.permission

    def _slowdown(self) -> dict[str, float]:
        """Measured over predicted time of the places that run sections now."""
        measured: dict[str, float] = {}
        predicted: dict[str, float] = {}
        crew = self._staged.crew
        for section, seconds in zip(crew.program.sections, crew.section_s, strict=True):
            if math.isnan(seconds):
                continue
            name = self._staged.places[section.place].name
            measured[name] = measured.get(name, 0.0) + seconds
            predicted[name] = predicted.get(name, 0.0) + float(
                self._problem.tables.time_s[0, list(section.blocks), section.place].sum()
            )
        found = {name: measured[name] / predicted[name] for name in measured}
        return {name: value for name, value in found.items() if value > _SLOWER}
