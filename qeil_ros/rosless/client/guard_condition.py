"""A callback that the program itself sets off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._entity import Entity
from .callback_groups import CallbackGroup


class GuardCondition(Entity):
    """Made by `Node.create_guard_condition`. `trigger` may be called from any thread."""

    def __init__(
        self,
        callback: Callable[[], Any] | None,
        callback_group: CallbackGroup | None,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(callback_group, wake)
        self.callback = callback
        self._triggered = False

    def trigger(self) -> None:
        """Makes an executor run the callback. Triggers before it runs count as one."""
        self._check_usable()
        self._triggered = True
        self._wake()

    def _ns_until_ready(self) -> int | None:
        return 0 if self._triggered and not self._destroyed else None

    def _take(self) -> Callable[[], Any] | None:
        if not self._triggered:
            return None
        self._triggered = False
        return self.callback
