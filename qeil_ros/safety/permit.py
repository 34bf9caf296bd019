"""The last word on an operating point: whatever is asked for, this is what the limits permit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

from qeil_ros.platform.readings import Reading

from .limits import Level, Limit, findings, worst

__all__ = ["Caps", "OperatingPoint", "Route", "at_most", "cap", "permit"]


class Route(IntEnum):
    """The numbers are those of OperatingPoint.ROUTE_*."""

    OFFBOARD = 0
    LOCAL = 1
    HOLD = 2


@dataclass(frozen=True)
class OperatingPoint:
    """The fields of the message of that name; 0 and "" mean there what they mean here: leave it alone.

    Attributes:
        split: cut of the model.
        feature_bits: bits per feature value, 0 to 8.
        weight_bits: bits of the agent part's weights, 0 to 8.
        rate_hz: frames encoded per second at most [Hz].
        route: who answers.
        clock_hz: processor clock [Hz].
        reason: why this point, for people.
    """

    split: str = ""
    feature_bits: int = 0
    weight_bits: int = 0
    rate_hz: float = 0.0
    route: Route = Route.OFFBOARD
    clock_hz: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Caps:
    """What may be used at most. 0: no cap.

    Attributes:
        warning_rate_hz: frames encoded per second with a limit near [Hz]. Without a cap here the governor
            alone slows the robot on the way to a limit, by as much as is needed.
        throttle_rate_hz: the same with a limit reached [Hz]. With a critical limit reached nothing is
            encoded.
        degraded_feature_bits: bits per feature value over a link that is doubtful.
        throttle_clock_hz: processor clock with a limit reached [Hz].
    """

    warning_rate_hz: float = 0.0
    throttle_rate_hz: float = 2.0
    degraded_feature_bits: int = 4
    throttle_clock_hz: float = 0.0

    def __post_init__(self) -> None:
        given = (self.warning_rate_hz, self.throttle_rate_hz, self.degraded_feature_bits)
        if min(*given, self.throttle_clock_hz) < 0:
            raise ValueError(f"a cap below 0: {self}")
        slower, faster = self.throttle_rate_hz, self.warning_rate_hz
        if faster and not 0 < slower <= faster:
            raise ValueError(f"throttle_rate_hz is {slower}; want above 0, up to warning_rate_hz {faster}")

    def rate_hz(self, level: Level) -> float:
        """Frames encoded per second at most at that level [Hz]; 0: no cap."""
        return {Level.WARNING: self.warning_rate_hz, Level.THROTTLE: self.throttle_rate_hz}.get(level, 0.0)


Number = TypeVar("Number", int, float)


def at_most(value: Number, most: Number) -> Number:
    """The lower of two fields of an operating point, of which 0 stands for none."""
    return min(value, most) if value and most else value or most


def cap(point: OperatingPoint, level: Level, caps: Caps) -> OperatingPoint:
    """The point reduced to what a level permits; never anything raised."""
    if level >= Level.CRITICAL:
        return replace(point, route=Route.HOLD)
    if level >= Level.THROTTLE:
        point = replace(point, clock_hz=at_most(point.clock_hz, caps.throttle_clock_hz))
    rate_hz = at_most(point.rate_hz, caps.rate_hz(level))
    return point if rate_hz == point.rate_hz else replace(point, rate_hz=rate_hz)


def permit(
    point: OperatingPoint, readings: Sequence[Reading], limits: Sequence[Limit], caps: Caps
) -> tuple[OperatingPoint, list[str]]:
    """The point reduced to what the limits permit with these readings, and the reasons where it was.

    Stateless, and independent of the mode machine: it holds even if everything before it has gone wrong.
    With a reading at its critical threshold the route is HOLD; at a lower one rate and clock are at most the
    level's caps.
    """
    found = findings(limits, readings)
    permitted = cap(point, worst(found), caps)
    return permitted, [finding.reason for finding in found] if permitted != point else []
