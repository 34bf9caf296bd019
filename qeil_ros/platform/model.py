"""Power where nothing measures it: a straight line over the number of busy cores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .readings import Quality, Reading, unread

__all__ = ["PowerModel"]


@dataclass(frozen=True)
class PowerModel:
    """P = idle_w + core_w * busy cores; the usual first-order model of a processor at a fixed clock.

    Both figures come from the board's data sheet, or from a wall meter read idle and with all cores busy.

    Args:
        idle_w: the whole machine with no load [W].
        core_w: what one busy core adds [W].
    """

    idle_w: float
    core_w: float

    def read(self, readings: Iterable[Reading], now_s: float) -> Reading:
        """The reading "power/model" from the "cpu/busy_cores" among `readings`, of quality modelled."""
        source = f"{self.idle_w:g} W + {self.core_w:g} W x busy cores"
        for reading in readings:
            if reading.name == "cpu/busy_cores":
                if not reading.good:
                    return unread("power/model", "W", source, now_s, f"processor use: {reading.reason}")
                power_w = self.idle_w + self.core_w * reading.value
                return Reading("power/model", power_w, "W", source, Quality.MODELLED, now_s)
        return unread("power/model", "W", source, now_s, "processor use is not sampled")
