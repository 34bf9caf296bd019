"""The ways to answer a frame, ranked; which of them can be had now, and which one is taken.

As in a handler of minimal-risk manoeuvres: each strategy says whether it is available and why not, and one
place ranks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from .limits import Level
from .link import Link
from .permit import OperatingPoint, Route

__all__ = ["Availability", "ReasonCode", "Strategy", "apply", "asked_strategy", "availability", "choose"]


class Strategy(str, Enum):
    """Best first: the order of the members is the ranking."""

    CO_INFERENCE = "co_inference"
    """The robot runs the first part, the offboard computer the rest."""
    ON_SERVER = "on_server"
    """A compressed image travels; the offboard computer runs all of it."""
    LOCAL_FULL = "local_full"
    """The robot's own model answers at the rate asked for."""
    LOCAL_CHEAP = "local_cheap"
    """The robot's own model answers at the throttled rate."""
    HOLD = "hold"
    """No inference. Always available."""

    @property
    def route(self) -> Route:
        return _ROUTES[self]


_ROUTES = {
    Strategy.CO_INFERENCE: Route.OFFBOARD,
    Strategy.ON_SERVER: Route.OFFBOARD,
    Strategy.LOCAL_FULL: Route.LOCAL,
    Strategy.LOCAL_CHEAP: Route.LOCAL,
    Strategy.HOLD: Route.HOLD,
}


class ReasonCode(str, Enum):
    """For programs; the reason beside it is for people."""

    AVAILABLE = "available"
    NOT_OFFERED = "not_offered"
    LINK_DOWN = "link_down"
    LINK_DEGRADED = "link_degraded"
    LIMIT_THROTTLE = "limit_throttle"
    LIMIT_CRITICAL = "limit_critical"
    PINNED = "pinned"


@dataclass(frozen=True)
class Availability:
    """Whether a strategy can be had; `reason` is empty exactly when it can."""

    name: Strategy
    available: bool
    reason_code: ReasonCode
    reason: str = ""


def availability(
    level: Level, link: Link, offered: Iterable[Strategy], pinned: Route = Route.OFFBOARD
) -> tuple[Availability, ...]:
    """Each strategy, best first.

    Args:
        level: of the limits, in force.
        link: its state, in force.
        offered: the strategies that this robot is set up for; HOLD needs no mention.
        pinned: the least restricted route that the operator leaves.
    """
    return _ranked(level, link, tuple(offered), pinned)


@lru_cache(maxsize=64)  # a robot is seldom anywhere else than a moment before
def _ranked(
    level: Level, link: Link, offered: tuple[Strategy, ...], pinned: Route
) -> tuple[Availability, ...]:
    return tuple(_judge(strategy, level, link, offered, pinned) for strategy in Strategy)


def _judge(
    strategy: Strategy, level: Level, link: Link, offered: tuple[Strategy, ...], pinned: Route
) -> Availability:
    def no(code: ReasonCode, reason: str) -> Availability:
        return Availability(strategy, False, code, reason)

    if strategy is Strategy.HOLD:
        return Availability(strategy, True, ReasonCode.AVAILABLE)
    if strategy not in offered:
        return no(ReasonCode.NOT_OFFERED, "this robot is not set up for it")
    if level >= Level.CRITICAL:
        return no(ReasonCode.LIMIT_CRITICAL, "a limit is critical")
    if strategy.route == Route.OFFBOARD and link == Link.DOWN:
        return no(ReasonCode.LINK_DOWN, "the link is down")
    if strategy.route < pinned:
        return no(ReasonCode.PINNED, f"the operator has pinned the route to {pinned.name.lower()}")
    if strategy is Strategy.ON_SERVER and link == Link.DEGRADED:
        return no(ReasonCode.LINK_DEGRADED, "the link is degraded, and an image is more than features")
    if strategy is Strategy.LOCAL_FULL and level >= Level.THROTTLE:
        return no(ReasonCode.LIMIT_THROTTLE, "a limit is reached")
    return Availability(strategy, True, ReasonCode.AVAILABLE)


def asked_strategy(point: OperatingPoint, server_split: str) -> Strategy:
    """The strategy that an operating point stands for; `server_split`: the cut at which an image travels."""
    if point.route == Route.HOLD:
        return Strategy.HOLD
    if point.route == Route.LOCAL:
        return Strategy.LOCAL_FULL
    return Strategy.ON_SERVER if server_split and point.split == server_split else Strategy.CO_INFERENCE


def choose(asked: Strategy, found: Sequence[Availability]) -> Strategy:
    """What was asked for if it can be had, else the best of those that leave the robot no freer route."""
    available = [each.name for each in found if each.available and each.name.route >= asked.route]
    return asked if asked in available else available[0]


def apply(
    point: OperatingPoint, strategy: Strategy, server_split: str, cheap_rate_hz: float
) -> OperatingPoint:
    """The point with which that strategy is carried out; never a freer route or a higher rate."""
    if point.route < strategy.route:
        point = replace(point, route=strategy.route)
    if strategy is Strategy.ON_SERVER:
        return replace(point, split=server_split)
    if strategy is Strategy.CO_INFERENCE and server_split and point.split == server_split:
        return replace(point, split="")  # the model's own cut
    if strategy is Strategy.LOCAL_CHEAP and cheap_rate_hz and not 0 < point.rate_hz <= cheap_rate_hz:
        return replace(point, rate_hz=cheap_rate_hz)
    return point
