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
stand still. Without "cpu/use" among the readings nothing is found frozen.

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


class Doubt:
    """Looks at each round of readings, in the order of their times."""

    def __init__(self, followers: re.Pattern[str] = FOLLOWERS) -> None:
        self._followers = followers
        self._suspects: dict[str, _Suspect | None] = {}  # None: nothing speaks against whatever it says
        self._slow: float | None = None
        self._last_s = 0.0

    def check(self, readings: Sequence[Reading], now_s: float) -> list[Reading]:
        """The readings; those that cannot be believed as unread, with the reason."""
        step_s = self._impulse_s(readings, now_s)
        found = list(readings)
        for index, reading in enumerate(readings):
            name = reading.name
            if name not in self._suspects:
                self._suspects[name] = self._suspect(reading)
            suspect = self._suspects[name]
            if suspect is None or not reading.good:
                continue
            value, unit = reading.value, reading.unit
            reason = suspect.jumped(value, now_s) or suspect.frozen(value, step_s)
            if reason:
                found[index] = unread(name, unit, reading.source, reading.time_s, reason)
        return found

    def _suspect(self, reading: Reading) -> _Suspect | None:
        follows = self._followers.match(reading.name) is not None
        if reading.unit == "C":
            return _Suspect(follows, _JUMP_C, "C")
        return _Suspect(follows, math.inf, reading.unit) if follows else None

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


@dataclass(slots=True)
class _Suspect:
    """What is remembered of the readings of one name.

    `follows`: the processor; `most`: by how much they may change at once.
    """

    follows: bool
    most: float
    unit: str

    last: float = math.nan  # that was believed
    last_s: float = -math.inf
    waiting: float = math.nan  # a jump that is to be borne out

    value: float = math.nan
    moves: int = -1  # the first value is no move
    samples: int = 0
    impulse_s: float = 0.0
    record_s: float = 0.0
    step: float = math.inf  # the smallest change seen: what the sensor can tell apart

    def jumped(self, value: float, now_s: float) -> str:
        """Why the value is not believed yet; empty where it is."""
        late = now_s - self.last_s > _JUMP_S
        if late or abs(value - self.last) <= self.most or abs(value - self.waiting) <= self.most:
            self.last, self.last_s, self.waiting = value, now_s, math.nan
            return ""
        self.waiting = value
        return f"jumped from {self.last:g} to {value:g} {self.unit} in {now_s - self.last_s:.2g} s"

    def frozen(self, value: float, step_s: float) -> str:
        """Why the value counts as frozen; empty where it does not."""
        if not self.follows:
            return ""
        if value != self.value:
            if self.moves >= 0:
                self.record_s = max(self.record_s, abs(self.impulse_s))
                self.step = min(self.step, abs(value - self.value))
            self.value = value
            self.moves += 1
            self.samples, self.impulse_s = 0, 0.0
            return ""
        self.samples += 1
        self.impulse_s += step_s
        patience_s = max(_LEAST_IMPULSE_S, _IMPULSE_S_PER_UNIT * self.step, _RECORDS * self.record_s)
        if self.moves < _LEAST_MOVES or self.samples < _LEAST_SAMPLES or abs(self.impulse_s) < patience_s:
            return ""
        return f"frozen: {value:g} {self.unit} for {self.samples} samples while the load moved"
