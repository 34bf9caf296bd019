"""A length of time, with nanosecond precision."""

from __future__ import annotations

import math
from functools import total_ordering
from typing import Any

from .constants import S_TO_NS

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@total_ordering
class Duration:
    """A signed length of time; immutable, ordered and hashable."""

    __slots__ = ("_nanoseconds",)

    def __init__(self, *, seconds: int | float = 0, nanoseconds: int = 0) -> None:
        """The sum of both.

        :param seconds: seconds; the fraction counts.
        :param nanoseconds: nanoseconds; a fraction is cut off.
        :raises OverflowError: when the sum does not fit into 64 bits.
        """
        total = int(seconds * S_TO_NS) + int(nanoseconds)
        if not _INT64_MIN <= total <= _INT64_MAX:
            raise OverflowError(f"{total} ns is too large for a duration of 64 bits")
        self._nanoseconds = total

    @property
    def nanoseconds(self) -> int:
        return self._nanoseconds

    def __repr__(self) -> str:
        return f"Duration(nanoseconds={self._nanoseconds})"

    def __str__(self) -> str:
        return "Infinite" if self == Infinite else f"{self._nanoseconds} nanoseconds"

    def __hash__(self) -> int:
        return hash((Duration, self._nanoseconds))

    def __eq__(self, other: object) -> bool:
        return self._nanoseconds == other._nanoseconds if isinstance(other, Duration) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._nanoseconds < other._nanoseconds if isinstance(other, Duration) else NotImplemented

    def __add__(self, other: Duration) -> Duration:
        if not isinstance(other, Duration):
            return NotImplemented
        return Duration(nanoseconds=self._nanoseconds + other._nanoseconds)

    def __sub__(self, other: Duration) -> Duration:
        if not isinstance(other, Duration):
            return NotImplemented
        return Duration(nanoseconds=self._nanoseconds - other._nanoseconds)

    def __mul__(self, factor: int | float) -> Duration:
        if not isinstance(factor, (int, float)):
            return NotImplemented
        product = self._nanoseconds * factor
        if not math.isfinite(product):
            raise OverflowError(f"{self!r} times {factor} is not finite")
        return Duration(nanoseconds=int(product))

    __rmul__ = __mul__

    def __neg__(self) -> Duration:
        return Duration(nanoseconds=-self._nanoseconds)

    def to_msg(self) -> Any:
        """As a `builtin_interfaces.msg.Duration`."""
        from builtin_interfaces.msg import Duration as DurationMsg

        sec, nanosec = divmod(self._nanoseconds, S_TO_NS)
        return DurationMsg(sec=sec, nanosec=nanosec)

    @classmethod
    def from_msg(cls, msg: Any) -> Duration:
        """From a `builtin_interfaces.msg.Duration`."""
        from builtin_interfaces.msg import Duration as DurationMsg

        if not isinstance(msg, DurationMsg):
            raise TypeError(f"expected a builtin_interfaces.msg.Duration, got {type(msg)}")
        return cls(seconds=msg.sec, nanoseconds=msg.nanosec)


# What rmw means by "never": 2^63 - 1 ns, about 292 years.
Infinite = Duration(nanoseconds=_INT64_MAX)
