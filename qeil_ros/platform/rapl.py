"""Energy counters of Intel and AMD processors: RAPL, as /sys/class/powercap shows it.

Since 2020 the kernel lets only root read them (CVE-2020-8694): a user who may not is told so in the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import files
from .files import File
from .rails import chip_name
from .readings import Quality, Reading, SensorError, unread

__all__ = ["Rapl", "rapl_zones"]

_MOST_W = 2000.0


class Rapl:
    """One counter: energy since the first reading, mean power since the last.

    The counter wraps at `max_energy_range_uj`; one wrap between two readings is undone. More energy in
    between than `_MOST_W` allows is no wrap but a counter that was reset: it starts anew, and that interval
    has no power.
    """

    def __init__(self, path: Path, zone: str) -> None:
        self.path = path
        self._file = File(path / "energy_uj")
        self._names = (f"energy/{zone}", f"power/{zone}")
        self._spent_j = 0.0
        self._last: tuple[int, float] | None = None  # counter [uJ], time [s]
        # Never seen to wrap where the range is not known: a smaller count is then a reset.
        self._range_uj = files.optional(path / "max_energy_range_uj") or 0

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def read(self, now_s: float) -> Sequence[Reading]:
        source = self._file.path
        energy, power = self._names
        try:
            counter_uj = self._file.number()
            if counter_uj < 0:
                raise SensorError(f"the counter is negative: {counter_uj}")
        except SensorError as error:
            reason = str(error)
            return unread(energy, "J", source, now_s, reason), unread(power, "W", source, now_s, reason)
        power_w, reason = self._advance(counter_uj, now_s)
        return (
            Reading(energy, self._spent_j, "J", source, Quality.MEASURED, now_s),
            unread(power, "W", source, now_s, reason)
            if reason
            else Reading(power, power_w, "W", source, Quality.MEASURED, now_s),
        )

    def close(self) -> None:
        self._file.close()

    def _advance(self, counter_uj: int, now_s: float) -> tuple[float, str]:
        last, self._last = self._last, (counter_uj, now_s)
        if last is None:
            return math.nan, "power wants two readings; this is the first"
        gained_uj, passed_s = counter_uj - last[0], now_s - last[1]
        if gained_uj < 0:
            gained_uj += self._range_uj
        if passed_s <= 0:
            return math.nan, "no time has passed since the last reading"
        power_w = gained_uj * 1e-6 / passed_s
        if not 0 <= power_w <= _MOST_W:
            return math.nan, f"the counter went from {last[0]} to {counter_uj} uJ in {passed_s:.3g} s"
        self._spent_j += gained_uj * 1e-6
        return power_w, ""


def rapl_zones(folder: Path) -> Iterator[Rapl]:
    """Each counter in a folder like /sys/class/powercap; a part of a package is named below it."""
    for path in files.entries(folder, "*-rapl*:*"):
        if path.name.startswith("intel-rapl-mmio"):
            continue  # the same counter as intel-rapl's, through another door
        name = chip_name(path, "name")
        pieces = path.name.split(":")
        if len(pieces) > 2:
            name = f"{chip_name(path.with_name(':'.join(pieces[:2])), 'name')}/{name}"
        yield Rapl(path, name)
