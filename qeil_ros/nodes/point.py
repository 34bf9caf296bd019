"""The operating point that the encoder follows: the supervisor's while it holds, else its own. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

__all__ = ["HOLD", "LOCAL", "OFFBOARD", "Pacer", "Point", "PointFollower", "problem"]

OFFBOARD, LOCAL, HOLD = 0, 1, 2  # OperatingPoint.ROUTE_*

_LONGEST_S = 3600.0


@dataclass(frozen=True)
class Point:
    """What to do with the next frame. `split` empty: the model's default; `rate_hz` 0: every frame;
    `weight_bits` 0: the agent part's weights at their best."""

    split: str
    feature_bits: int
    rate_hz: float
    route: int = OFFBOARD
    origin: str = "parameters"
    weight_bits: int = 0


class PointFollower:
    """Times come in as arguments [s], from one monotonic clock.

    Before the first message the node's own point holds: a graph without a supervisor is a complete one. Once
    a supervisor has spoken, its silence for longer than it promised means that nobody watches the limits any
    more, and the safe point holds until it speaks again.
    """

    def __init__(self) -> None:
        self._message: Any = None
        self._until_s = -math.inf

    def hear(self, message: Any, now_s: float) -> None:
        """A message that `problem` has found nothing wrong with."""
        self._message = message
        self._until_s = now_s + message.valid_for_s

    def point(self, own: Point, safe: Point, now_s: float) -> Point:
        if self._message is None:
            return own
        if now_s > self._until_s:
            return safe
        message = self._message
        return Point(
            split=message.split or own.split,
            feature_bits=message.feature_bits or own.feature_bits,
            rate_hz=message.rate_hz,
            route=message.route,
            origin="supervisor",
            weight_bits=message.weight_bits or own.weight_bits,
        )


def problem(message: Any, splits: Collection[str]) -> str:
    """Why an OperatingPoint message cannot be followed; empty where it can."""
    if message.split and message.split not in splits:
        return f"split {message.split!r} is none that this machine holds ({', '.join(splits)})"
    if message.feature_bits > 8:
        return f"feature_bits {message.feature_bits} is not from 0 to 8"
    if message.weight_bits > 8:
        return f"weight_bits {message.weight_bits} is not from 0 to 8"
    if not (math.isfinite(message.rate_hz) and message.rate_hz >= 0):
        return f"rate_hz {message.rate_hz} is not a rate"
    if message.route not in (OFFBOARD, LOCAL, HOLD):
        return f"route {message.route} is not known"
    if not 0 < message.valid_for_s <= _LONGEST_S:
        return f"valid_for_s {message.valid_for_s} is not from 0 to {_LONGEST_S:g}"
    return ""


class Pacer:
    """Lets at most `rate_hz` frames a second pass, and keeps that mean between frames of another rate."""

    def __init__(self) -> None:
        self._next_s = -math.inf

    def admit(self, rate_hz: float, now_s: float) -> bool:
        if rate_hz <= 0:
            return True
        period_s = 1 / rate_hz
        # A rate that was raised a moment ago must not wait out the old, longer period.
        due_s = min(self._next_s, now_s + period_s)
        if now_s < due_s:
            self._next_s = due_s
            return False
        # The next one is due a period after this one was due, not after it came; after a pause there is no
        # catching up.
        self._next_s = due_s + period_s if due_s + period_s > now_s else now_s + period_s
        return True
