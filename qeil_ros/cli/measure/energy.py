"""The energy of a question on this machine, by what there is to tell it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from qeil_ros.platform import PowerModel, Quality

from ..profile.power import PowerMeter

__all__ = ["Energy", "EnergyMeter"]

_PROBE_S = 0.2
_BLOCK_S = 0.4
"""A counter of power is read ten times a second."""


@dataclass(frozen=True)
class Energy:
    """Joules with what they rest on; NaN with the reason as the source."""

    energy_j: float
    quality: Quality
    source: str


class EnergyMeter:
    """Sensors of power first, else what was stated, else nothing.

    Args:
        stated: idle power, and what a busy core adds. sysfs_root, procfs_root: where to look for sensors.
    """

    def __init__(
        self, stated: PowerModel | None = None, sysfs_root: str = "/sys", procfs_root: str = "/proc"
    ) -> None:
        self._stated = stated
        self._meter = PowerMeter(sysfs_root, procfs_root)
        self._found = self._meter.mean(_PROBE_S)

    def close(self) -> None:
        self._meter.close()

    @property
    def source(self) -> str:
        """What energies rest on, for people."""
        if self._found.good:
            return f"{self._found.source}: mean power x time"
        if self._stated is not None:
            return f"stated: {self._stated.idle_w:g} W x time + {self._stated.core_w:g} W x core-seconds used"
        return f"not known: {self._found.reason}"

    @property
    def quality(self) -> Quality:
        if self._found.good:
            return self._found.quality
        return Quality.MODELLED if self._stated is not None else Quality.NONE

    def of(self, work: Callable[[], object], latency_s: float, core_s: float) -> Energy:
        """The energy of `work`, which took so long and kept cores busy for so long.

        With sensors the work is done over and over for some tenths of a second, so that they see it.
        """
        if self._found.good:
            power = self._meter.mean(max(_BLOCK_S, latency_s), work)
            if power.good:
                return Energy(power.value * latency_s, power.quality, self.source)
            return Energy(math.nan, Quality.NONE, f"{power.source}: {power.reason}")
        if self._stated is not None:
            joules = self._stated.idle_w * latency_s + self._stated.core_w * core_s
            return Energy(joules, Quality.MODELLED, self.source)
        return Energy(math.nan, Quality.NONE, self.source)
