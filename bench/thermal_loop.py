"""A board's plant in closed loop with what decides its frame rate: nothing, plain on/off, or the guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qeil_ros.platform.readings import Quality, Reading
from qeil_ros.safety.guard import Guard, GuardConfig
from qeil_ros.safety.limits import Limit
from qeil_ros.safety.link import Link
from qeil_ros.safety.permit import Caps, OperatingPoint

from .thermal_plant import Plant

__all__ = ["FULL_HZ", "Controller", "Course", "Scenario", "guarded", "on_off", "simulate", "uncontrolled"]

Floats = NDArray[np.float64]

STEP_S = 0.2
FULL_HZ, THROTTLED_HZ = 30.0, 2.0
RELEASE_C = 3.0
FRESH_S = 0.1
"""An answer is of use for so long: the world has moved on after it [s]."""

Controller = Callable[[float, float, float], float]
"""(temperature as it is read [C], load, time [s]) -> frames a second."""


@dataclass(frozen=True)
class Scenario:
    """What happens to a board.

    Attributes:
        demand: time [s] -> the load that the full frame rate is.
        ambient_c: time [s] -> what is added to the plant's ambient [K].
        noise_c, resolution_c: of the sensor [K].
        limit_c: the temperature that must not be exceeded.
    """

    plant: Plant
    demand: Callable[[float], float]
    duration_s: float
    start_c: float
    limit_c: float
    ambient_c: Callable[[float], float] = lambda time_s: 0.0
    noise_c: float = 0.1
    resolution_c: float = 0.5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Course:
    """What came of it, at every step; the temperature is the plant's own, not what the sensor said."""

    time_s: Floats
    temperature_c: Floats
    rate_hz: Floats
    limit_c: float

    @property
    def over(self) -> int:
        """Samples above the limit."""
        return int(np.count_nonzero(self.temperature_c > self.limit_c))

    @property
    def worst_c(self) -> float:
        """How far above the limit at most [K]; below 0 where it was never reached."""
        return float(self.temperature_c.max() - self.limit_c)

    @property
    def frames(self) -> float:
        return float(self.rate_hz.sum() * STEP_S)

    @property
    def fresh(self) -> float:
        """Share of the time for which there is an answer that is at most `FRESH_S` old."""
        return float(np.minimum(1.0, self.rate_hz * FRESH_S).mean())

    @property
    def stops(self) -> int:
        """How often the rate fell to the throttled one."""
        low = self.rate_hz <= THROTTLED_HZ * 1.01
        return int(np.count_nonzero(low[1:] & ~low[:-1]))


def simulate(scenario: Scenario, controller: Controller) -> Course:
    rng = np.random.default_rng(scenario.seed)
    plant, count = scenario.plant, int(scenario.duration_s / STEP_S)
    load = scenario.demand(0.0)
    die = min(plant.die_gain * load, scenario.start_c - plant.ambient_c)
    state = (scenario.start_c - die, die)
    rate_hz = FULL_HZ
    temperatures: Floats = np.empty(count)
    rates: Floats = np.empty(count)
    for i in range(count):
        now_s = i * STEP_S
        load = scenario.demand(now_s) * min(1.0, rate_hz / FULL_HZ)
        shift_c = scenario.ambient_c(now_s)
        moved = plant.step((state[0] - shift_c, state[1]), load, STEP_S)
        state = (moved[0] + shift_c, moved[1])
        temperatures[i], rates[i] = sum(state), rate_hz
        noisy_c = temperatures[i] + rng.normal(0.0, scenario.noise_c)
        read_c = round(noisy_c / scenario.resolution_c) * scenario.resolution_c
        rate_hz = controller(read_c, load * rng.normal(1.0, 0.02), now_s)
    return Course(np.arange(count, dtype=np.float64) * STEP_S, temperatures, rates, scenario.limit_c)


def uncontrolled(temperature_c: float, load: float, now_s: float) -> float:
    return FULL_HZ


def on_off(threshold_c: float, release_c: float = RELEASE_C) -> Controller:
    """The throttled rate from the threshold on, the full one again when it is `release_c` below it."""
    throttled = False

    def rate_hz(temperature_c: float, load: float, now_s: float) -> float:
        nonlocal throttled
        throttled = temperature_c >= threshold_c - (release_c if throttled else 0.0)
        return THROTTLED_HZ if throttled else FULL_HZ

    return rate_hz


def guarded(limit_c: float) -> tuple[Controller, Guard]:
    """The supervisor's own decision, with its defaults; the limit is the throttle threshold."""
    limit = Limit("temperature/*", limit_c - 5.0, limit_c, limit_c + 10.0, release=RELEASE_C)
    guard = Guard(
        GuardConfig(limits=(limit,), caps=Caps(throttle_rate_hz=THROTTLED_HZ), full_rate_hz=FULL_HZ)
    )
    asked = OperatingPoint(rate_hz=FULL_HZ)

    def rate_hz(temperature_c: float, load: float, now_s: float) -> float:
        sample = (
            Reading("temperature/cpu", temperature_c, "C", "simulated", Quality.MODELLED, now_s),
            Reading("cpu/busy_cores", load, "", "simulated", Quality.MODELLED, now_s),
        )
        return guard.step(asked, sample, Link.UP, "", now_s).point.rate_hz

    return rate_hz, guard
