"""What an executor waits for: subscriptions, services, clients, timers, guard conditions and events."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ._rclpy_pybind11 import InvalidHandle
from .callback_groups import CallbackGroup


class Entity:
    """Something whose callback an executor runs when it is ready."""

    # Cheap and never blocking: a multi-threaded executor runs it in the thread that waits, so that a reply
    # reaches a caller even when every worker is blocked in a call.
    _inline = False

    def __init__(self, callback_group: CallbackGroup | None, wake: Callable[[], None]) -> None:
        """:param wake: tells whoever waits for this entity to look again; it must not block."""
        self.callback_group = callback_group
        self._wake = wake
        self._destroyed = False
        self._destroy_lock = threading.Lock()
        if callback_group is not None:
            callback_group.add_entity(self)

    def _ns_until_ready(self) -> int | None:
        """0 if the callback is due, the ns until it is, or None if only a wakeup can make it due."""
        raise NotImplementedError

    def _take(self) -> Callable[[], Any] | None:
        """Consumes what made the entity ready, and returns the work to do with it. None if there was
        nothing."""
        raise NotImplementedError

    def _check_usable(self) -> None:
        if self._destroyed:
            raise InvalidHandle(f"{type(self).__name__} was used after it had been destroyed")

    def destroy(self) -> None:
        """Ends the entity. Programs call the node's `destroy_...` method, which also takes it out of the
        node."""
        with self._destroy_lock:
            if self._destroyed:
                return
            self._destroyed = True
        self._on_destroy()

    def _on_destroy(self) -> None:
        return

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.destroy()
