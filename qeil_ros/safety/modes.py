"""The mode machine: what is wrong decides what the robot does without, at once; what is well again, slowly.

| mode | entered when | permits |
|---|---|---|
| NOMINAL | | everything |
| CONSTRAINED | a limit is near or reached, or the link is degraded | a lower rate, or fewer bits |
| LOCAL | the link is down | no offboard computer; the caps of CONSTRAINED where a limit is near as well |
| HOLD | a limit is critical | nothing |

An operator may pin a mode: the robot is then in that one or in one that permits less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from .latch import Latch
from .limits import Finding, Level, worst
from .link import Link
from .permit import Caps, OperatingPoint, Route, at_most, cap

__all__ = ["Decision", "Mode", "ModeMachine", "restrict"]


class Mode(IntEnum):
    """The numbers are those of SupervisorStatus.MODE_*; a higher one permits less."""

    NOMINAL = 0
    CONSTRAINED = 1
    LOCAL = 2
    HOLD = 3


@dataclass(frozen=True)
class Decision:
    """The mode, what it rests on, and why; `reasons` is empty exactly when the mode is NOMINAL.

    Attributes:
        pinned: the least restricted mode that the operator leaves; NOMINAL: he pins nothing.
    """

    mode: Mode
    level: Level
    link: Link
    reasons: tuple[str, ...]
    pinned: Mode = Mode.NOMINAL

    @property
    def least_route(self) -> Route:
        """The freest route that the mode leaves."""
        return {Mode.LOCAL: Route.LOCAL, Mode.HOLD: Route.HOLD}.get(self.mode, Route.OFFBOARD)


class ModeMachine:
    """Two latches, one for the limits and one for the link: each worsens at once and improves after its
    dwell time.

    The limits' level falls one step at a time, so HOLD is left by way of CONSTRAINED: the load comes back
    in stages. A mode that was left for a better one is thus left again, at the earliest, a dwell time later.

    Args:
        dwell_s: how long a limit must have been clear before its level falls by one [s].
        link_dwell_s: how long the link must have been better before the mode follows [s].
    """

    def __init__(self, dwell_s: float, link_dwell_s: float) -> None:
        self._level = Latch(dwell_s, Level.CLEAR)
        self._link = Latch(link_dwell_s, Link.UP, stepwise=False)
        self._pinned, self._pin_reason = Mode.NOMINAL, ""

    def pin(self, mode: Mode, reason: str = "") -> None:
        """No mode that permits more than this one from now on; NOMINAL lifts it. A limit is never lifted."""
        self._pinned, self._pin_reason = mode, reason

    def set_dwell(self, dwell_s: float, link_dwell_s: float) -> None:
        self._level.dwell_s, self._link.dwell_s = dwell_s, link_dwell_s

    def update(self, found: Sequence[Finding], link: Link, link_reason: str, now_s: float) -> Decision:
        """The decision at `now_s`. A link of which nothing is known yet is given the benefit of the doubt."""
        present = worst(found)
        level = Level(self._level.update(present, now_s))
        held_link = Link(self._link.update(max(link, Link.UP), now_s))
        reasons = [finding.reason for finding in found]
        if level > present:
            reasons.append(
                f"{level.name.lower()} level held until limits have been clear for {self._level.dwell_s:g} s"
            )
        if held_link > Link.UP:
            held = f"link held {held_link.name.lower()} for {self._link.dwell_s:g} s"
            reasons.append(f"link {link.name.lower()}: {link_reason}" if held_link == link else held)
        pinned = self._pinned
        if pinned:
            why = f": {self._pin_reason}" if self._pin_reason else ""
            reasons.append(f"pinned to {pinned.name.lower()} by the operator{why}")
        return Decision(max(_mode(level, held_link), pinned), level, held_link, tuple(reasons), pinned)


def _mode(level: Level, link: Link) -> Mode:
    if level == Level.CRITICAL:
        return Mode.HOLD
    if link == Link.DOWN:
        return Mode.LOCAL
    return Mode.CONSTRAINED if level or link == Link.DEGRADED else Mode.NOMINAL


def restrict(point: OperatingPoint, decision: Decision, caps: Caps) -> OperatingPoint:
    """The point as the decision has it; never anything raised. A route of HOLD or LOCAL asked for stays."""
    point = cap(point, decision.level, caps)
    if point.route < decision.least_route:
        point = replace(point, route=decision.least_route)
    if decision.link == Link.DEGRADED:
        point = replace(point, feature_bits=at_most(point.feature_bits, caps.degraded_feature_bits))
    return point
