"""Energy spent, what is left of it, and what may be drawn until the mission ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qeil_ros.platform.readings import Quality, Reading, unread

__all__ = ["EnergyMeter", "Mission", "battery_percent"]


@dataclass(frozen=True)
class Mission:
    """What the energy has to do.

    Attributes:
        budget_j: energy that may be spent from the beginning [J]; 0: no budget.
        duration_s: how long it has to last, from the beginning [s]; 0: no end is known.
        battery_floor_percent: charge that must be left [%].
        battery_j: energy of the full battery [J]; 0: not known, the battery then says nothing about joules.
    """

    budget_j: float = 0.0
    duration_s: float = 0.0
    battery_floor_percent: float = 0.0
    battery_j: float = 0.0

    def __post_init__(self) -> None:
        if min(self.budget_j, self.duration_s, self.battery_floor_percent, self.battery_j) < 0:
            raise ValueError(f"{self}: want nothing below 0")
        if self.battery_floor_percent >= 100:
            raise ValueError(f"battery_floor_percent is {self.battery_floor_percent:g}; want below 100")

    @property
    def limited(self) -> bool:
        """Whether there is anything that energy can be left of."""
        return self.budget_j > 0 or self.battery_j > 0


class EnergyMeter:
    """The integral of power over time, and what it leaves of a mission's energy.

    Between two readings the power is taken to run in a straight line. Over a gap without readings the last
    power is taken to have gone on: energy that nobody measured was spent all the same, and the quality says
    modelled.

    Args:
        mean_s: time constant of the mean power that forecasts rest on [s].
    """

    def __init__(self, mean_s: float = 10.0) -> None:
        self.spent_j = 0.0
        self.mean_w = math.nan
        """The power of late [W]; NaN before the first reading."""
        self._mean_s = mean_s
        self._began_s: float | None = None
        self._last: tuple[float, float] | None = None  # time [s], power [W]
        self._quality = Quality.NONE
        self._source = ""

    def add(self, power: Reading) -> None:
        """The machine's power at `power.time_s`; times must not run backwards."""
        if self._began_s is None:
            self._began_s = power.time_s
        if not power.good:
            if self._last is not None:
                self._advance(power.time_s, self._last[1])
                self._quality = max(self._quality, Quality.MODELLED)
            return
        if self._last is None:
            self.mean_w = power.value
        else:
            self._advance(power.time_s, (self._last[1] + power.value) / 2)
        self._last = (power.time_s, power.value)
        self._quality, self._source = max(self._quality, power.quality), power.source

    def time_left_s(self, mission: Mission, now_s: float) -> float:
        """Until the mission ends [s], 0 after it; inf where no end is known."""
        if mission.duration_s <= 0 or self._began_s is None:
            return mission.duration_s or math.inf
        return max(0.0, self._began_s + mission.duration_s - now_s)

    def left(self, mission: Mission, battery_percent: float, now_s: float) -> Reading:
        """The reading "energy/left" [J]: of the budget or of the battery above its floor, whichever is less.

        Args:
            battery_percent: charge of the battery; NaN where it cannot be read.
        """
        candidates: list[tuple[float, str]] = []
        if mission.budget_j > 0:
            if self._last is None:
                return unread("energy/left", "J", "", now_s, "no power reading yet")
            candidates.append((mission.budget_j - self.spent_j, f"budget less integral of {self._source}"))
        quality = self._quality
        if mission.battery_j > 0:
            if math.isnan(battery_percent):
                return unread("energy/left", "J", "", now_s, "the battery's charge cannot be read")
            share = (battery_percent - mission.battery_floor_percent) / 100.0
            candidates.append((share * mission.battery_j, "charge above the battery's floor"))
            quality = max(quality, Quality.MEASURED)
        if not candidates:
            return unread("energy/left", "J", "", now_s, "no budget is set")
        left_j, source = min(candidates)
        return Reading("energy/left", left_j, "J", source, quality, now_s)

    def readings(self, mission: Mission, battery_percent: float, now_s: float) -> list[Reading]:
        """The reading "energy/spent"; where energy is limited "energy/left" too; with an end of the mission
        "power/allowed" [W], what can be drawn until then.
        """
        if self._last is None:
            found = [unread("energy/spent", "J", "", now_s, "no power reading yet")]
        else:
            source = f"integral of {self._source}"
            found = [Reading("energy/spent", self.spent_j, "J", source, self._quality, now_s)]
        if not mission.limited:
            return found
        left = self.left(mission, battery_percent, now_s)
        found.append(left)
        time_left_s = self.time_left_s(mission, now_s)
        if left.good and 0 < time_left_s < math.inf:
            allowed_w = max(0.0, left.value) / time_left_s
            source = "energy left over time left"
            found.append(Reading("power/allowed", allowed_w, "W", source, left.quality, now_s))
        return found

    def _advance(self, now_s: float, power_w: float) -> None:
        assert self._last is not None
        passed_s = max(0.0, now_s - self._last[0])
        self.spent_j += power_w * passed_s
        self.mean_w = power_w + (self.mean_w - power_w) * math.exp(-passed_s / self._mean_s)
        self._last = (max(now_s, self._last[0]), self._last[1])


def battery_percent(readings: Sequence[Reading]) -> float:
    """The charge of the battery [%], the lowest of several; NaN where none can be read."""
    charges = [r.value for r in readings if r.kind == "battery" and r.unit == "%" and r.good]
    return min(charges, default=math.nan)
