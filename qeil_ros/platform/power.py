"""Which of the many power readings is the machine's."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from .readings import Quality, Reading, unread

__all__ = ["total_power"]

# Whole-machine inputs first, then what a processor's own counters add up to, the model last.
_PREFERRED = (
    ("power/psys",),
    ("power/jetson/total",),
    ("power/*/VDD_IN", "power/*/POM_5V_IN"),  # the input rails of most Jetson boards
    ("power/*/VDD_GPU_SOC", "power/*/VDD_CPU_CV", "power/*/VIN_SYS_5V0"),  # AGX Orin: only together
    tuple(f"power/*/{rail}" for rail in ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")),  # AGX Xavier
    ("power/package-*", "power/dram", "power/package-*/dram"),
    ("power/model",),
)


def total_power(readings: Sequence[Reading], pattern: str = "") -> Reading:
    """The sum of the power readings that make up the machine [W], as the reading "power/total".

    Args:
        readings: of one sample.
        pattern: names to add up, for example "power/ina3221/*"; empty: the best known set that can be read.

    Returns:
        A reading whose source lists what was added and whose quality is the least of theirs. A set of which a
        part cannot be read is not used: its sum would be too low, and nobody would see it.
    """
    now_s = readings[0].time_s if readings else 0.0
    found: list[Reading] = []
    for patterns in ((pattern,),) if pattern else _PREFERRED:
        found = [reading for reading in readings if reading.unit == "W" and _matches(reading.name, patterns)]
        if found and all(reading.good for reading in found):
            source = " + ".join(reading.name for reading in found)
            quality = max((reading.quality for reading in found), default=Quality.NONE)
            power_w = sum(reading.value for reading in found)
            return Reading("power/total", power_w, "W", source, quality, now_s)
    bad = next((reading for reading in readings if reading.unit == "W" and not reading.good), None)
    reason = (
        f"{bad.name} {bad.reason}" if bad else "this machine has no power sensor, and no power model is set"
    )
    return unread("power/total", "W", pattern, now_s, reason)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    # fnmatch's star also matches slashes: "power/package-*" alone would count a package's parts twice.
    return any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)
