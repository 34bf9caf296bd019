"""When to start the local model beside a frame that the offboard computer may still answer. Pure.

Such a hedge costs the robot energy and is wasted where the offboard answer comes after all. So it begins when
that has become less likely than not, by how long answers took of late (after J. Dean and L. A. Barroso, The
Tail at Scale, CACM 56(2), 2013: send the second request once the first is slower than expected), and wasted
ones are held to an allowance.
"""

from __future__ import annotations

import bisect
import math
from collections import deque

__all__ = ["Allowance", "AnswerTimes"]


class AnswerTimes:
    """How long the last `most` offboard answers took from the arrival of their frame [s]; inf: never came."""

    def __init__(self, most: int = 64, fewest: int = 8) -> None:
        self._fewest = fewest
        self._times_s: deque[float] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._times_s)

    def add(self, took_s: float) -> None:
        self._times_s.append(took_s)

    def chance(self, waited_s: float, within_s: float) -> float:
        """The probability that an answer comes within `within_s` of its frame, given that it has not come
        after `waited_s`: the share of those that took longer than that. 0 where none did; NaN where too few
        are known.
        """
        if len(self._times_s) < self._fewest:
            return math.nan
        ordered = sorted(self._times_s)
        first, last = bisect.bisect_right(ordered, waited_s), bisect.bisect_right(ordered, within_s)
        left = len(ordered) - first
        return max(0, last - first) / left if left else 0.0

    def doubtful_after_s(self, within_s: float, least: float) -> float:
        """The shortest wait after which `chance` is below `least` [s]; inf: never, or too few are known."""
        if len(self._times_s) < self._fewest:
            return math.inf
        ordered = sorted(self._times_s)
        count, good = len(ordered), bisect.bisect_right(ordered, within_s)
        # The chance changes only where a recorded time is passed, and is 0 after the last good one.
        for passed in range(good + 1):
            if passed < good and passed and ordered[passed] == ordered[passed - 1]:
                continue
            if passed == count or (good - passed) / (count - passed) < least:
                return ordered[passed - 1] if passed else 0.0
        return math.inf


class Allowance:
    """How much may be wasted: a share of the frames, and at once at most `burst` of them.

    A hedge takes one from the allowance when it starts and puts it back where it was needed: it then took the
    place of a later run. So up to any moment no more than burst + share * frames were wasted.
    """

    def __init__(self, share: float, burst: float) -> None:
        self._share, self._burst = share, burst
        self._left = burst if share > 0 else 0.0

    def change(self, share: float, burst: float) -> None:
        """Other terms from now on; what is left stays, as far as they allow it."""
        if share > 0 and self._share <= 0:
            self._left = burst
        self._share, self._burst = share, burst
        self._left = min(self._left, burst) if share > 0 else 0.0

    @property
    def allows(self) -> bool:
        return self._left >= 1.0

    def frame(self) -> None:
        """Another frame has come."""
        self._left = min(self._burst, self._left + self._share)

    def take(self) -> None:
        if not self.allows:
            raise ValueError(f"the allowance is spent: {self._left:.3g} left")
        self._left -= 1.0

    def put_back(self) -> None:
        self._left = min(self._burst, self._left + 1.0)
