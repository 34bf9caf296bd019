"""A battery whose state comes in as messages (sensor_msgs/BatteryState), not from a file."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .readings import Quality, Reading, unit_of, unread

__all__ = ["BatterySensor"]

_MOST_V = 1000.0
_MOST_A = 1000.0


class BatterySensor:
    """What the last message said, while it is not older than `stale_s`.

    The readings are "battery/charge" [%], "voltage/battery" [V], "current/battery" [A; negative while
    discharging, as in the message] and "power/battery" [W; positive while discharging]: the power of the
    whole robot, motors too, which is why it does not count as the computer's unless somebody says so.

    Args:
        source: where the messages come from, for example "topic /battery_state".
        stale_s: after this long without a message nothing is known [s].
    """

    names = ("battery/charge", "voltage/battery", "current/battery", "power/battery")

    def __init__(self, source: str = "topic battery_state", stale_s: float = 10.0) -> None:
        self.source = source
        self.stale_s = stale_s
        # One tuple, replaced as a whole: messages and readings are on different threads.
        self._heard: tuple[float, tuple[float, ...], tuple[str, ...]] | None = None

    def hear(self, percentage: float, voltage: float, current: float, now_s: float) -> None:
        """Takes the fields of a BatteryState that came in at `now_s` [s].

        Args:
            percentage: charge from 0 to 1; NaN: not measured.
            voltage: [V]; NaN: not measured.
            current: [A], negative while discharging; NaN: not measured.
        """
        found = [
            _checked("percentage", percentage, 0.0, 1.0, "as BatteryState has it, not percent"),
            _checked("voltage", voltage, 0.0, _MOST_V, "volts"),
            _checked("current", current, -_MOST_A, _MOST_A, "amperes"),
        ]
        (charge, no_charge), (voltage_v, no_voltage), (current_a, no_current) = found
        power_w, no_power = -voltage_v * current_a, no_voltage or no_current
        self._heard = (
            now_s,
            (100 * charge, voltage_v, current_a, power_w),
            (no_charge, no_voltage, no_current, no_power),
        )

    def read(self, now_s: float) -> Sequence[Reading]:
        heard = self._heard
        if heard is None:
            return self._nothing(now_s, "no message yet")
        heard_s, values, reasons = heard
        if now_s - heard_s > self.stale_s:
            return self._nothing(now_s, f"no message for {now_s - heard_s:.0f} s")
        return [
            unread(name, unit_of(name), self.source, now_s, reason)
            if reason
            else Reading(name, value, unit_of(name), self.source, Quality.MEASURED, now_s)
            for name, value, reason in zip(self.names, values, reasons, strict=True)
        ]

    def _nothing(self, now_s: float, reason: str) -> list[Reading]:
        return [unread(name, unit_of(name), self.source, now_s, reason) for name in self.names]


def _checked(field: str, value: float, low: float, high: float, unit: str) -> tuple[float, str]:
    """The value, or NaN and why."""
    if math.isnan(value):
        return math.nan, "the battery does not measure it"
    if not low <= value <= high:
        return math.nan, f"{field} is {value:g}; want {low:g} to {high:g} ({unit})"
    return value, ""
