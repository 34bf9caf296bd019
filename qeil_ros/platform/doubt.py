"""Values that a sensor gives and that cannot be believed: one that stands still, and one that jumps.

**Standing still.** A thermometer that hangs goes on giving its last value. As long as the load stays as it
was, that value is still about right; once the load has moved, what follows the load must move too. So the
change of the load is added up for as long as a value stands still:

    impulse = sum over the samples since the value last changed of (use - slow mean of use) x time

in seconds of the whole processor's change between idle and full use; the slow mean (60 s) forgets a load that
lasts, since a temperature that has settled may well stand still. A value is frozen when it has stood still
for 25 samples or more, and through an impulse of

    40 s for each degree (or watt) of the smallest change that this sensor was ever seen to make,
    twice as much as it ever stood still through before, and 8 s,

whichever is most, so that a coarse or slow thermometer sets its own measure. With steps of half a degree that
is a processor that goes from idle to full use for 24 s. The sensor must have moved eight times before: what
never moves is constant by nature, or cannot be told from it. It is believed again as soon as it moves.

Only readings that follow the processor are watched, by their names (`FOLLOWERS`): its temperatures, its
power, and that of the board's input. A fan, a battery, a clock, a disk and a GPU have reasons of their own to
stand still.

**Jumping.** A temperature that is more than 40 degrees off the last one, less than two seconds later, is
believed when the next one bears it out: a glitch of one sample on the bus must not stop a robot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .readings import Reading, unread

__all__ = ["FOLLOWERS", "Doubt"]

FOLLOWERS = re.compile(
    r"temperature/.*(cpu|soc|core|package|pkg|tctl|tdie|tccd|tj)"
    r"|power/(package|.*(cpu|vdd_in|pom_5v_in))",
    re.IGNORECASE,
)
_SLOW_S = 60.0
_LEAST_SAMPLES = 25
_LEAST_IMPULSE_S = 8.0
_IMPULSE_S_PER_UNIT = 40.0
_RECORDS = 2.0
_LEAST_MOVES = 8
_JUMP_C = 40.0
_JUMP_S = 2.0
_LONGEST_STEP_S = 2.0


@dataclass(slots=True)
class _Standstill:
    value: float
    moves: int = 0
    samples: int = 0
    impulse_s: float = 0.0
    record_s: float = 0.0
    step: float = math.inf  # the smallest change seen: what the sensor can tell apart

    def patience_s(self) -> float:
        return max(_LEAST_IMPULSE_S, _IMPULSE_S_PER_UNIT * self.step, _RECORDS * self.record_s)


class Doubt:
    """Looks at each round of readings, in the order of their times."""

    def __init__(self, followers: re.Pattern[str] = FOLLOWERS) -> None:
        self._followers = followers
        self._watched: dict[str, _Standstill | None] = {}  # None: a name that is not watched
        # The last temperature that was believed, when, and one that waits to be borne out.
        self._believed: dict[str, tuple[float, float, float]] = {}
        self._slow: float | None = None
        self._last_s = 0.0

    def check(self, readings: Sequence[Reading], now_s: float) -> list[Reading]:
        """The readings; those that cannot be believed as unread, with the reason."""
        step_s = self._impulse_s(readings, now_s)
        found = []
        for reading in readings:
            reason = ""
            if reading.good:
                if reading.unit == "C":
                    reason = self._jumped(reading, now_s)
                reason = reason or self._stands(reading, step_s)
            found.append(
                unread(reading.name, reading.unit, reading.source, reading.time_s, reason)
                if reason
                else reading
            )
        return found

    def _impulse_s(self, readings: Sequence[Reading], now_s: float) -> float:
        """What this round adds to the impulses [s]."""
        passed_s, self._last_s = now_s - self._last_s, now_s
        use = next((r.value / 100 for r in readings if r.name == "cpu/use" and r.good), None)
        if use is None or passed_s <= 0:
            return 0.0
        if self._slow is None:
            self._slow = use
            return 0.0
        off = use - self._slow
        self._slow += off * min(1.0, passed_s / _SLOW_S)
        return off * min(passed_s, _LONGEST_STEP_S)  # what happened in a long gap, nobody knows

    def _stands(self, reading: Reading, step_s: float) -> str:
        try:
            watched = self._watched[reading.name]
        except KeyError:
            follows = self._followers.match(reading.name)
            watched = self._watched[reading.name] = _Standstill(reading.value) if follows else None
        if watched is None:
            return ""
        if reading.value != watched.value:
            watched.record_s = max(watched.record_s, abs(watched.impulse_s))
            watched.step = min(watched.step, abs(reading.value - watched.value))
            watched.value = reading.value
            watched.moves += 1
            watched.samples, watched.impulse_s = 0, 0.0
            return ""
        watched.samples += 1
        watched.impulse_s += step_s
        if (
            watched.moves < _LEAST_MOVES
            or watched.samples < _LEAST_SAMPLES
            or abs(watched.impulse_s) < watched.patience_s()
        ):
            return ""
        return f"frozen: {watched.value:g} {reading.unit} for {watched.samples} samples while the load moved"

    def _jumped(self, reading: Reading, now_s: float) -> str:
        value_c = reading.value
        last_c, last_s, waiting_c = self._believed.get(reading.name, (value_c, now_s, math.nan))
        if (
            abs(value_c - last_c) <= _JUMP_C
            or now_s - last_s > _JUMP_S
            or abs(value_c - waiting_c) <= _JUMP_C  # not for NaN
        ):
            self._believed[reading.name] = (value_c, now_s, math.nan)
            return ""
        self._believed[reading.name] = (last_c, last_s, value_c)
        return f"jumped from {last_c:g} to {value_c:g} C in {now_s - last_s:.2g} s"
