"""What an operator has set by service and still holds: pins and raised limits; who, why, until when.

Pure: times come in as arguments. Nothing here lifts a limit: a pin goes to `safety.Guard`, which keeps the
last word, and a limit is raised at most to what the hardware itself allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from glob import escape

from qeil_ros.platform import TripPoints
from qeil_ros.safety.limits import Limit
from qeil_ros.safety.modes import Mode
from qeil_ros.safety.permit import OperatingPoint, Route, at_most
from qeil_ros.safety.strategies import Strategy, asked_strategy

__all__ = ["Overrides", "Signature", "pinned", "raised"]

AUTO = "auto"
_BELOW_CRITICAL_C = 2.0
"""A raised limit stays so far below the temperature at which the machine would switch itself off [K]."""
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Signature:
    """Who set something, why, and when it ends [s]; inf: it does not by itself."""

    who: str
    why: str
    until_s: float = math.inf

    @classmethod
    def of(cls, who: str, why: str, duration_s: float, now_s: float) -> Signature:
        """From the fields of a request. ValueError: a duration that is none."""
        if not 0 <= duration_s < math.inf:
            raise ValueError(f"duration_s is {duration_s}; want 0 (until released) or more")
        return cls(_shown(who) or "nobody named", _shown(why), now_s + duration_s if duration_s else math.inf)

    def text(self, now_s: float) -> str:
        """For people: "by ann: windy, for another 12 s"."""
        why = f": {self.why}" if self.why else ""
        until = f", for another {self.until_s - now_s:.0f} s" if math.isfinite(self.until_s) else ""
        return f"by {self.who}{why}{until}"


class Overrides:
    """At most one pin of a mode, one of a strategy, and one raise for each reading."""

    def __init__(self) -> None:
        self.mode = Mode.NOMINAL
        self.strategy: Strategy | None = None
        self._mode_by: Signature | None = None
        self._strategy_by: Signature | None = None
        self._raised: dict[str, tuple[float, Signature]] = {}

    @property
    def mode_reason(self) -> str:
        """Who has pinned the mode, and why; empty where nobody has."""
        return "" if self._mode_by is None else f"by {self._mode_by.who}" + _because(self._mode_by.why)

    @property
    def raised_c(self) -> dict[str, float]:
        """By how much the limit of each reading was raised [K]."""
        return {name: by_c for name, (by_c, _) in self._raised.items()}

    def pin(self, mode: str, strategy: str, signature: Signature) -> None:
        """Pins or releases, by the names in Pin.srv; empty: as it is. ValueError: unknown ones."""
        modes = {each.name.lower(): each for each in Mode}
        strategies = {AUTO: None, **{each.value: each for each in Strategy if each is not Strategy.HOLD}}
        for what, value, known in (("mode", mode, modes), ("strategy", strategy, strategies)):
            if value and value not in known:
                raise ValueError(f"{what} {_shown(value)!r} is none of {', '.join(known)}")
        if not mode and not strategy:
            raise ValueError("neither a mode nor a strategy was named; nominal and auto release them")
        if mode:
            self.mode = modes[mode]
            self._mode_by = signature if self.mode else None
        if strategy:
            self.strategy = strategies[strategy]
            self._strategy_by = signature if self.strategy else None

    def raise_limit(
        self,
        name: str,
        by_c: float,
        limits: Sequence[Limit],
        trips: Mapping[str, TripPoints],
        signature: Signature,
    ) -> Limit:
        """Raises the limit of a reading; 0 takes that back. Returns the limit that holds then.

        Args:
            limits: as configured. trips: what the hardware says of each temperature.

        Raises:
            ValueError: no such limit, or more than the hardware allows.
        """
        limit = next((limit for limit in limits if name in trips and _matches(limit, name)), None)
        if limit is None:
            among = ", ".join(sorted(trip for trip in trips if any(_matches(each, trip) for each in limits)))
            raise ValueError(
                f"there is no temperature limit on {_shown(name)!r}; there are {among or 'none'}"
            )
        if not 0 <= by_c < math.inf:
            raise ValueError(f"by_c is {by_c}; want 0 (as configured) or more")
        critical_c = trips[name].critical_c
        if by_c:
            if math.isnan(critical_c):
                raise ValueError(f"the hardware names no critical temperature for {name} to stay below")
            highest_c = max(value for value in limit.thresholds if not math.isnan(value))
            most_c = max(0.0, critical_c - _BELOW_CRITICAL_C - highest_c)
            if by_c > most_c:
                raise ValueError(
                    f"{name} can be raised by {most_c:.3g} K at most: its limit is {highest_c:.4g} C now, "
                    f"and the hardware switches itself off at {critical_c:.4g} C"
                )
        if by_c:
            self._raised[name] = by_c, signature
        else:
            self._raised.pop(name, None)
        return _by(limit, name, by_c)

    def expire(self, now_s: float) -> list[str]:
        """Releases what has run its time; says what that was."""
        gone = []
        if self._mode_by is not None and now_s >= self._mode_by.until_s:
            gone.append(f"mode {self.mode.name.lower()} pinned by {self._mode_by.who}")
            self.mode, self._mode_by = Mode.NOMINAL, None
        if self._strategy_by is not None and self.strategy and now_s >= self._strategy_by.until_s:
            gone.append(f"strategy {self.strategy.value} pinned by {self._strategy_by.who}")
            self.strategy, self._strategy_by = None, None
        for name, (by_c, signature) in list(self._raised.items()):
            if now_s >= signature.until_s:
                gone.append(f"limit of {name} raised by {by_c:g} K by {signature.who}")
                del self._raised[name]
        return gone

    def describe(self, now_s: float) -> list[str]:
        """A line for each thing that is set."""
        lines = []
        if self._mode_by is not None:
            lines.append(f"mode pinned to {self.mode.name.lower()} {self._mode_by.text(now_s)}")
        if self._strategy_by is not None and self.strategy is not None:
            lines.append(f"strategy pinned to {self.strategy.value} {self._strategy_by.text(now_s)}")
        for name, (by_c, signature) in self._raised.items():
            lines.append(f"limit of {name} raised by {by_c:g} K {signature.text(now_s)}")
        return lines


def raised(limits: Sequence[Limit], names: Sequence[str], raised_c: Mapping[str, float]) -> list[Limit]:
    """The limits with those of some readings raised; `names`: of all temperature readings.

    A limit on many readings becomes one for each of them where one of them is raised.
    """
    found = []
    for limit in limits:
        matching = [name for name in names if _matches(limit, name)]
        if any(name in raised_c for name in matching):
            found += [_by(limit, name, raised_c.get(name, 0.0)) for name in matching]
        else:
            found.append(limit)
    return found


def pinned(
    points: Sequence[OperatingPoint], strategy: Strategy, server_split: str, cheap_hz: float
) -> OperatingPoint:
    """What to ask for under a pinned strategy.

    Args:
        points: the ones that could be asked for, the best first; at least one.
        server_split: the cut at which an image travels. cheap_hz: the rate of local_cheap.
    """
    wanted = Strategy.LOCAL_FULL if strategy is Strategy.LOCAL_CHEAP else strategy
    fitting = [point for point in points if asked_strategy(point, server_split) is wanted]
    point = fitting[0] if fitting else replace(points[0], route=wanted.route)
    if strategy is Strategy.LOCAL_CHEAP:
        point = replace(point, rate_hz=at_most(point.rate_hz, cheap_hz))
    if strategy is Strategy.ON_SERVER and server_split:
        point = replace(point, split=server_split, route=Route.OFFBOARD)
    return point


def _matches(limit: Limit, name: str) -> bool:

    return fnmatchcase(name, limit.pattern)


def _by(limit: Limit, name: str, by_c: float) -> Limit:
    warning, throttle, critical = (value + by_c for value in limit.thresholds)
    return replace(limit, pattern=escape(name), warning=warning, throttle=throttle, critical=critical)


def _because(why: str) -> str:
    return f", {why}" if why else ""


def _shown(text: str) -> str:
    """What a stranger wrote, fit for a log line."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_TEXT]).strip()
