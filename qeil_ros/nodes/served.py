"""A robot as the offboard computer sees it: whether it is there, how its frames fared, what it left here."""

from __future__ import annotations

import math

from qeil_ros.models.features import FeatureReader
from qeil_ros.msg import OffboardStatus
from qeil_ros.safety.arbiter import Key

__all__ = ["Served"]

_REFUSING_FOR_S = 5.0
_OVERLOADED_FOR_S = 1.0
_NONE = Key(0, 0)


class Served:
    """All times are of one monotonic clock of this machine [s]. A key of run 0 stands for none."""

    def __init__(self) -> None:
        self.answered = self.late = self.refused = 0
        self.keepers: dict[str, FeatureReader] = {}  # by cut: with the frames that later ones refer to
        self.decoded = _NONE
        """The newest frame kept for reference."""
        self.heard, self.heard_s = _NONE, -math.inf
        """The newest message of the robot, a frame or a heartbeat, and when it came."""
        self.there = False
        """It was heard, and is not silent."""
        self._late_s = self._refused_s = -math.inf
        self._reason = ""

    def hear(self, key: Key, now_s: float) -> bool:
        """A message of the robot has come. True: it was not there before."""
        self.heard, self.heard_s = key, now_s
        came, self.there = not self.there, True
        return came

    def miss(self, timeout_s: float, now_s: float) -> bool:
        """True: it has just been silent for too long. Then nothing is kept for it: it may have gone for good,
        and if it comes back it begins with a frame that stands by itself.
        """
        if not self.there or now_s - self.heard_s <= timeout_s:
            return False
        self.there = False
        self.keepers.clear()
        self.decoded = _NONE
        return True

    def heard_age_s(self, now_s: float) -> float:
        """How long ago it was heard last [s]; NaN: never."""
        return now_s - self.heard_s if self.heard.run else math.nan

    def count_answered(self) -> None:
        self.answered += 1
        self._refused_s = -math.inf

    def count_late(self, now_s: float) -> None:
        self.late += 1
        self._late_s = now_s

    def count_refused(self, reason: str, now_s: float) -> None:
        self.refused += 1
        self._refused_s, self._reason = now_s, reason

    def state(self, now_s: float) -> tuple[int, str]:
        """(OffboardStatus.STATE_*, reason)."""
        if now_s - self._refused_s < _REFUSING_FOR_S:
            return OffboardStatus.STATE_REFUSING, self._reason
        if now_s - self._late_s < _OVERLOADED_FOR_S:
            return OffboardStatus.STATE_OVERLOADED, "frames could not be answered before their deadline"
        return OffboardStatus.STATE_READY, ""
