"""One sleeper, many wakers."""

from __future__ import annotations

import threading


class Wakeup:
    """A binary semaphore. `set` takes no lock, so a signal handler may call it whatever the main thread
    holds.

    `threading.Event` and `Condition` guard their state by a lock; a handler that interrupts the main thread
    while that thread holds the lock would wait for itself. Releasing a bare lock has no such window, and is
    also the cheapest way to wake a thread from Python.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wakes the sleeper, or lets its next `wait` return at once."""
        try:
            self._lock.release()
        except RuntimeError:
            # Already set; a second waker changes nothing.
            return

    def wait(self, timeout_s: float | None = None) -> bool:
        """Sleeps until `set` was called (True, and forgotten) or the time is over (False). One sleeper at a
        time."""
        if timeout_s is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(timeout_s, 0.0), threading.TIMEOUT_MAX))
