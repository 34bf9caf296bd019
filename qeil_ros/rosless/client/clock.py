"""Clocks: system, steady, and ROS time, which a simulation or a recording may drive."""

from __future__ import annotations

import threading
import time as _time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from ._wakeup import Wakeup
from .clock_type import ClockType
from .constants import S_TO_NS
from .context import Context
from .duration import Duration
from .exceptions import NotInitializedException
from .time import Time
from .utilities import get_default_context


class ClockChange(IntEnum):
    """What happened to the source of a clock's time when it jumped."""

    ROS_TIME_NO_CHANGE = 1
    ROS_TIME_ACTIVATED = 2
    ROS_TIME_DEACTIVATED = 3
    SYSTEM_TIME_NO_CHANGE = 4


class JumpThreshold:
    """Which jumps are worth a callback."""

    def __init__(
        self, *, min_forward: Duration | None, min_backward: Duration | None, on_clock_change: bool = True
    ) -> None:
        """
        :param min_forward: smallest jump forward, positive; None for no interest in them.
        :param min_backward: smallest jump backward, negative; None for no interest in them.
        :param on_clock_change: also when ROS time starts or stops to follow `/clock`.
        """
        if min_forward is not None and min_forward.nanoseconds <= 0:
            raise ValueError("min_forward must be a positive non-zero duration")
        if min_backward is not None and min_backward.nanoseconds >= 0:
            raise ValueError("min_backward must be a negative non-zero duration")
        if min_forward is None and min_backward is None and not on_clock_change:
            raise ValueError("At least one jump threshold must be enabled")
        self.min_forward = min_forward
        self.min_backward = min_backward
        self.on_clock_change = on_clock_change

    def _exceeded_by(self, jump: TimeJump) -> bool:
        if jump.clock_change in (ClockChange.ROS_TIME_ACTIVATED, ClockChange.ROS_TIME_DEACTIVATED):
            return self.on_clock_change
        forward, backward = self.min_forward, self.min_backward
        return bool(
            (forward is not None and jump.delta >= forward)
            or (backward is not None and jump.delta <= backward)
        )


class TimeJump:
    """How a clock jumped: what changed, and by how much (new time less old time)."""

    def __init__(self, clock_change: ClockChange, delta: Duration) -> None:
        if not isinstance(clock_change, ClockChange):
            raise TypeError("clock_change must be an instance of rclpy.clock.ClockChange")
        self._clock_change = clock_change
        self._delta = delta

    @property
    def clock_change(self) -> ClockChange:
        return self._clock_change

    @property
    def delta(self) -> Duration:
        return self._delta


class JumpHandle:
    """A registered jump callback; `unregister` it, or use it in a `with` statement."""

    def __init__(
        self,
        *,
        clock: Clock,
        threshold: JumpThreshold,
        pre_callback: Callable[[], Any] | None,
        post_callback: Callable[[TimeJump], Any] | None,
    ) -> None:
        if pre_callback is None and post_callback is None:
            raise ValueError("One of pre_callback or post_callback must be callable")
        if pre_callback is not None and not callable(pre_callback):
            raise ValueError("pre_callback must be callable if given")
        if post_callback is not None and not callable(post_callback):
            raise ValueError("post_callback must be callable if given")
        self._clock: Clock | None = clock
        self._threshold = threshold
        self._pre_callback = pre_callback
        self._post_callback = post_callback
        clock._add_jump_handle(self)

    def unregister(self) -> None:
        """The callbacks are not called again."""
        if self._clock is not None:
            self._clock._remove_jump_handle(self)
            self._clock = None

    def __enter__(self) -> JumpHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.unregister()


class Clock:
    """`Clock(clock_type=...)`; for ROS time it is a `ROSClock`."""

    _clock_type: ClockType

    def __new__(cls, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> Clock:
        if not isinstance(clock_type, ClockType):
            raise TypeError("Clock type must be a ClockType enum")
        if clock_type is ClockType.UNINITIALIZED:
            raise ValueError("a clock needs a type other than UNINITIALIZED")
        self = super().__new__(ROSClock if clock_type is ClockType.ROS_TIME else cls)
        self._clock_type = clock_type
        self._jump_handles = ()
        self._jump_lock = threading.RLock()
        return self

    _jump_handles: tuple[JumpHandle, ...]
    _jump_lock: Any

    @property
    def clock_type(self) -> ClockType:
        return self._clock_type

    def __repr__(self) -> str:
        return f"Clock(clock_type={self._clock_type.name})"

    def now(self) -> Time:
        """The current time of this clock."""
        return Time(nanoseconds=self._now_ns(), clock_type=self._clock_type)

    def create_jump_callback(
        self,
        threshold: JumpThreshold,
        *,
        pre_callback: Callable[[], Any] | None = None,
        post_callback: Callable[[TimeJump], Any] | None = None,
    ) -> JumpHandle:
        """Calls back around jumps past the threshold: `pre_callback()` before the new time counts,
        `post_callback(TimeJump)` after. They run in the thread that sets the time, and must not block."""
        return JumpHandle(
            clock=self, threshold=threshold, pre_callback=pre_callback, post_callback=post_callback
        )

    def sleep_until(self, until: Time, context: Context | None = None) -> bool:
        """Sleeps until this clock shows `until`.

        :return: False if something else ended the sleep: a shutdown, or ROS time that started or stopped to
        follow `/clock`, which takes the meaning out of `until`.
        :raises ValueError: when `until` is a time of another kind of clock.
        :raises NotInitializedException: when the context is not running.
        """
        context = context or get_default_context()
        if not context.ok():
            raise NotInitializedException()
        if until.clock_type != self._clock_type:
            raise ValueError("until's clock type does not match this clock's type")
        wakeup = Wakeup()
        source_changed = False

        def on_jump(jump: TimeJump) -> None:
            nonlocal source_changed
            if jump.clock_change in (ClockChange.ROS_TIME_ACTIVATED, ClockChange.ROS_TIME_DEACTIVATED):
                source_changed = True
            wakeup.set()

        threshold = JumpThreshold(
            min_forward=Duration(nanoseconds=1), min_backward=None, on_clock_change=True
        )
        context._add_waker(wakeup.set)
        try:
            with self.create_jump_callback(threshold, post_callback=on_jump):
                while context.ok() and not source_changed:
                    remaining_ns = until.nanoseconds - self._now_ns()
                    if remaining_ns <= 0:
                        return True
                    wakeup.wait(None if self._is_driven() else remaining_ns / S_TO_NS)
        finally:
            context._remove_waker(wakeup.set)
        return False

    def sleep_for(self, rel_time: Duration, context: Context | None = None) -> bool:
        """`sleep_until(now() + rel_time)`."""
        return self.sleep_until(self.now() + rel_time, context)

    def _now_ns(self) -> int:
        if self._clock_type is ClockType.STEADY_TIME:
            return _time.monotonic_ns()
        return _time.time_ns()

    def _is_driven(self) -> bool:
        """True if time moves only when somebody sets it."""
        return False

    def _add_jump_handle(self, handle: JumpHandle) -> None:
        with self._jump_lock:
            self._jump_handles = (*self._jump_handles, handle)

    def _remove_jump_handle(self, handle: JumpHandle) -> None:
        with self._jump_lock:
            self._jump_handles = tuple(other for other in self._jump_handles if other is not handle)


class ROSClock(Clock):
    """Follows `/clock` where a time source says so, else the system's clock."""

    _override_ns: int
    _active: bool

    def __new__(cls) -> ROSClock:
        self = super().__new__(Clock, clock_type=ClockType.ROS_TIME)
        assert isinstance(self, ROSClock)
        self._override_ns = 0
        self._active = False
        return self

    _override_ns = 0
    _active = False

    @property
    def ros_time_is_active(self) -> bool:
        """True while the clock follows `/clock`."""
        return self._active

    def set_ros_time_override(self, time: Time) -> None:
        """The time that the clock shows while ROS time is active."""
        if not isinstance(time, Time):
            raise TypeError(f"Time must be specified as rclpy.time.Time. Received type: {type(time)}")
        with self._jump_lock:
            delta = Duration(nanoseconds=time.nanoseconds - self._override_ns)

            def change() -> None:
                self._override_ns = time.nanoseconds

            if self._active and delta.nanoseconds:
                self._jump(TimeJump(ClockChange.ROS_TIME_NO_CHANGE, delta), change)
            else:
                change()

    def _set_ros_time_is_active(self, enabled: bool) -> None:
        with self._jump_lock:
            if enabled == self._active:
                return
            system_ns = _time.time_ns()
            before, after = (system_ns, self._override_ns) if enabled else (self._override_ns, system_ns)
            kind = ClockChange.ROS_TIME_ACTIVATED if enabled else ClockChange.ROS_TIME_DEACTIVATED

            def change() -> None:
                self._active = enabled

            self._jump(TimeJump(kind, Duration(nanoseconds=after - before)), change)

    def _jump(self, jump: TimeJump, change: Callable[[], None]) -> None:
        handles = [handle for handle in self._jump_handles if handle._threshold._exceeded_by(jump)]
        for handle in handles:
            if handle._pre_callback is not None:
                handle._pre_callback()
        change()
        for handle in handles:
            if handle._post_callback is not None:
                handle._post_callback(jump)

    def _now_ns(self) -> int:
        return self._override_ns if self._active else _time.time_ns()

    def _is_driven(self) -> bool:
        return self._active
