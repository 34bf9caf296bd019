"""When a message reached this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.subscription import Subscription

__all__ = ["arrival_s", "informed"]

_LONGEST_WAIT_S = 1.0


def arrival_s(info: Any, now_s: float | None = None) -> float:
    """The arrival of a message on the monotonic clock [s], given the message info of its callback.

    The middleware stamps its reception with the wall clock. Only the age, normally a few milliseconds, is
    taken from there: the time that a message waited for the callback before it counts against its deadline.
    An age that cannot be (a wall clock that was set meanwhile) is left out.
    """
    now_s = time.monotonic() if now_s is None else now_s
    received_ns = info.get("received_timestamp") if isinstance(info, dict) else None
    if not isinstance(received_ns, int) or received_ns <= 0:
        return now_s
    age_s = (time.time_ns() - received_ns) * 1e-9
    return now_s - age_s if 0 < age_s < _LONGEST_WAIT_S else now_s


def informed(callback: Callable[[Any, Any], None]) -> Callable[..., None]:
    """A callback that takes a message and its info, for a subscription; Humble's give no info: None."""
    if hasattr(Subscription, "CallbackType"):
        return callback
    return lambda message: callback(message, None)
