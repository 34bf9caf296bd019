"""A point in time of one kind of clock."""

from __future__ import annotations

from functools import total_ordering
from typing import Any, overload

from .clock_type import ClockType
from .constants import S_TO_NS
from .duration import Duration


@total_ordering
class Time:
    """Nanoseconds since a clock's epoch. Times of different kinds of clock cannot be compared or
    subtracted."""

    __slots__ = ("_clock_type", "_nanoseconds")

    def __init__(
        self,
        *,
        seconds: int | float = 0,
        nanoseconds: int = 0,
        clock_type: ClockType = ClockType.SYSTEM_TIME,
    ) -> None:
        """The sum of both.

        :raises ValueError: when a value is negative.
        :raises OverflowError: when the sum does not fit into 64 bits.
        """
        if not isinstance(clock_type, ClockType):
            raise TypeError(f"Clock type must be a ClockType enum, got {clock_type!r}")
        if seconds < 0:
            raise ValueError(f"Seconds value must not be negative, got {seconds}")
        if nanoseconds < 0:
            raise ValueError(f"Nanoseconds value must not be negative, got {nanoseconds}")
        total = int(seconds * S_TO_NS) + int(nanoseconds)
        if total >= 2**63:
            raise OverflowError(f"{total} ns is too large for a time point of 64 bits")
        self._nanoseconds = total
        self._clock_type = clock_type

    @property
    def nanoseconds(self) -> int:
        return self._nanoseconds

    @property
    def clock_type(self) -> ClockType:
        return self._clock_type

    def seconds_nanoseconds(self) -> tuple[int, int]:
        """Whole seconds and the nanoseconds left over."""
        return divmod(self._nanoseconds, S_TO_NS)

    def __repr__(self) -> str:
        return f"Time(nanoseconds={self._nanoseconds}, clock_type={self._clock_type.name})"

    def __hash__(self) -> int:
        return hash((self._clock_type, self._nanoseconds))

    def _check_same_clock(self, other: Time, operation: str) -> None:
        if self._clock_type != other._clock_type:
            raise TypeError(
                f"Can't {operation} times with different clock types: {self._clock_type.name} and "
                f"{other._clock_type.name}"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Time):
            return NotImplemented
        self._check_same_clock(other, "compare")
        return self._nanoseconds == other._nanoseconds

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Time):
            return NotImplemented
        self._check_same_clock(other, "compare")
        return self._nanoseconds < other._nanoseconds

    def __add__(self, other: Duration) -> Time:
        if not isinstance(other, Duration):
            return NotImplemented
        return Time(nanoseconds=self._nanoseconds + other.nanoseconds, clock_type=self._clock_type)

    __radd__ = __add__

    @overload
    def __sub__(self, other: Time) -> Duration: ...
    @overload
    def __sub__(self, other: Duration) -> Time: ...
    def __sub__(self, other: Time | Duration) -> Time | Duration:
        if isinstance(other, Time):
            self._check_same_clock(other, "subtract")
            return Duration(nanoseconds=self._nanoseconds - other._nanoseconds)
        if isinstance(other, Duration):
            return Time(nanoseconds=self._nanoseconds - other.nanoseconds, clock_type=self._clock_type)
        return NotImplemented

    def to_msg(self) -> Any:
        """As a `builtin_interfaces.msg.Time`."""
        from builtin_interfaces.msg import Time as TimeMsg

        sec, nanosec = self.seconds_nanoseconds()
        return TimeMsg(sec=sec, nanosec=nanosec)

    @classmethod
    def from_msg(cls, msg: Any, clock_type: ClockType = ClockType.ROS_TIME) -> Time:
        """From a `builtin_interfaces.msg.Time`."""
        from builtin_interfaces.msg import Time as TimeMsg

        if not isinstance(msg, TimeMsg):
            raise TypeError(f"expected a builtin_interfaces.msg.Time, got {type(msg)}")
        return cls(seconds=msg.sec, nanoseconds=msg.nanosec, clock_type=clock_type)
