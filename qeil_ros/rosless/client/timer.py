"""Callbacks at a fixed period, and sleeping at a fixed rate."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

from ._entity import Entity
from ._rclpy_pybind11 import InvalidHandle
from ._wakeup import Wakeup
from .callback_groups import CallbackGroup
from .clock import Clock, ClockChange, JumpThreshold, TimeJump
from .clock_type import ClockType
from .context import Context
from .duration import Duration
from .exceptions import ROSInterruptException
from .time import Time


class TimerInfo:
    """When a timer's callback was due, and when it was called."""

    def __init__(
        self,
        *,
        expected_call_time: int = 0,
        actual_call_time: int = 0,
        clock_type: ClockType = ClockType.SYSTEM_TIME,
    ) -> None:
        """Both times in ns of the timer's clock."""
        self._expected = Time(nanoseconds=expected_call_time, clock_type=clock_type)
        self._actual = Time(nanoseconds=actual_call_time, clock_type=clock_type)

    @property
    def expected_call_time(self) -> Time:
        return self._expected

    @property
    def actual_call_time(self) -> Time:
        return self._actual


class Timer(Entity):
    """Made by `Node.create_timer`. Calls that were missed are skipped, never made up for."""

    def __init__(
        self,
        callback: Callable[..., Any] | None,
        callback_group: CallbackGroup | None,
        timer_period_ns: int,
        clock: Clock,
        wake: Callable[[], None],
        *,
        autostart: bool = True,
    ) -> None:
        super().__init__(callback_group, wake)
        if timer_period_ns < 0:
            raise ValueError(f"a timer's period must not be negative, got {timer_period_ns} ns")
        self._clock = clock
        self._period_ns = int(timer_period_ns)
        self._wants_info = False
        self.callback = callback
        self._lock = threading.Lock()
        self._canceled = not autostart
        self._last_call_ns = clock._now_ns()
        self._next_call_ns = self._last_call_ns + self._period_ns
        self._jump_handle = None
        if clock.clock_type is ClockType.ROS_TIME:
            threshold = JumpThreshold(
                min_forward=Duration(nanoseconds=1),
                min_backward=Duration(nanoseconds=-1),
                on_clock_change=True,
            )
            self._jump_handle = clock.create_jump_callback(threshold, post_callback=self._on_jump)

    @property
    def callback(self) -> Callable[..., Any] | None:
        return self._callback

    @callback.setter
    def callback(self, value: Callable[..., Any] | None) -> None:
        self._callback = value
        self._wants_info = value is not None and _takes_an_argument(value)

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def timer_period_ns(self) -> int:
        """The period. A new one counts from the next call on."""
        return self._period_ns

    @timer_period_ns.setter
    def timer_period_ns(self, value: int) -> None:
        if int(value) < 0:
            raise ValueError(f"a timer's period must not be negative, got {value} ns")
        self._period_ns = int(value)
        self._wake()

    def is_ready(self) -> bool:
        """True if the callback is due."""
        self._check_usable()
        return self._ns_until_ready() == 0

    def is_canceled(self) -> bool:
        self._check_usable()
        return self._canceled

    def cancel(self) -> None:
        """Stops the timer until `reset`."""
        self._check_usable()
        self._canceled = True

    def reset(self) -> None:
        """Starts the period anew, and a cancelled timer again."""
        self._check_usable()
        with self._lock:
            self._next_call_ns = self._clock._now_ns() + self._period_ns
            self._canceled = False
        self._wake()

    def time_since_last_call(self) -> int:
        """ns since the last call, or since the timer was made."""
        self._check_usable()
        return self._clock._now_ns() - self._last_call_ns

    def time_until_next_call(self) -> int | None:
        """ns until the callback is due, negative if it is overdue; None for a cancelled timer."""
        self._check_usable()
        return None if self._canceled else self._next_call_ns - self._clock._now_ns()

    def _ns_until_ready(self) -> int | None:
        if self._canceled or self._destroyed:
            return None
        remaining_ns = self._next_call_ns - self._clock._now_ns()
        if remaining_ns <= 0:
            return 0
        return None if self._clock._is_driven() else remaining_ns

    def _take(self) -> Callable[[], Any] | None:
        with self._lock:
            now_ns = self._clock._now_ns()
            if self._canceled or now_ns < self._next_call_ns:
                return None
            expected_ns = self._next_call_ns
            self._last_call_ns = now_ns
            self._next_call_ns += self._period_ns
            if self._next_call_ns < now_ns:
                missed = -(-(now_ns - self._next_call_ns) // self._period_ns) if self._period_ns else 0
                self._next_call_ns = self._next_call_ns + missed * self._period_ns if missed else now_ns
        callback = self._callback
        if callback is None or not self._wants_info:
            return callback
        info = TimerInfo(
            expected_call_time=max(expected_ns, 0), actual_call_time=now_ns, clock_type=self._clock.clock_type
        )
        return lambda: callback(info)

    def _on_jump(self, jump: TimeJump) -> None:
        with self._lock:
            now_ns = self._clock._now_ns()
            changed = jump.clock_change in (ClockChange.ROS_TIME_ACTIVATED, ClockChange.ROS_TIME_DEACTIVATED)
            if changed or now_ns < self._last_call_ns:
                # The old times mean nothing on the new time line: a full period counts from here.
                self._last_call_ns = now_ns
                self._next_call_ns = now_ns + self._period_ns
        self._wake()

    def _on_destroy(self) -> None:
        if self._jump_handle is not None:
            self._jump_handle.unregister()
        self._wake()


class Rate:
    """Made by `Node.create_rate`: sleeps at a fixed rate. Another thread must spin the node meanwhile."""

    def __init__(self, timer: Timer, *, context: Context) -> None:
        self._timer = timer
        self._context = context
        self._destroyed = False
        self._lock = threading.Lock()
        self._sleepers: list[Wakeup] = []
        timer.callback = self._release_all
        context._add_waker(self._release_all)

    def _release_all(self) -> None:
        # No lock here: a signal handler may call it. Sleepers add themselves before they check and sleep.
        for wakeup in tuple(self._sleepers):
            wakeup.set()

    def destroy(self) -> None:
        """Wakes sleepers; the rate cannot be used again."""
        self._destroyed = True
        self._context._remove_waker(self._release_all)
        self._release_all()

    def sleep(self) -> None:
        """Blocks until the timer fires.

        :raises ROSInterruptException: when a shutdown ended the sleep.
        :raises RuntimeError: when the rate has been destroyed before.
        """
        if not self._context.ok():
            raise ROSInterruptException()
        if self._destroyed:
            raise RuntimeError("Rate cannot sleep because it has been destroyed")
        if self._timer._destroyed:
            raise InvalidHandle("Rate cannot sleep because the timer has been destroyed")
        wakeup = Wakeup()
        with self._lock:
            self._sleepers.append(wakeup)
        try:
            if self._context.ok() and not self._destroyed:
                wakeup.wait()
        finally:
            with self._lock:
                self._sleepers.remove(wakeup)
        if not self._context.ok():
            raise ROSInterruptException()


def _takes_an_argument(callback: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return False
    return any(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in signature.parameters.values()
    )
