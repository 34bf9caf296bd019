"""Callbacks about what happens to a publisher or subscription besides messages.

This transport can tell when endpoints match (`matched`) and when messages were lost (`message_lost`). It
has no deadlines and no liveliness to miss, and any pair of quality-of-service profiles and only equal types
match, so that the callbacks for those are accepted and never called; `rclpy.qos.qos_check_compatible` says
what DDS would make of a pair. Where rclpy raises `UnsupportedEventTypeError`, this does not: the same
program runs on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._entity import Entity
from ._rclpy_pybind11 import UnsupportedEventTypeError as UnsupportedEventTypeError
from .callback_groups import CallbackGroup
from .qos import QoSPolicyKind

if TYPE_CHECKING:
    from ..graph import Graph


@dataclass
class QoSRequestedDeadlineMissedInfo:
    """A publisher did not keep its period."""

    total_count: int = 0
    total_count_change: int = 0


@dataclass
class QoSLivelinessChangedInfo:
    """Publishers came to life or died."""

    alive_count: int = 0
    alive_count_change: int = 0
    not_alive_count: int = 0
    not_alive_count_change: int = 0


@dataclass
class QoSMessageLostInfo:
    """Messages between the last one received and this one never arrived."""

    total_count: int = 0
    total_count_change: int = 0


@dataclass
class QoSRequestedIncompatibleQoSInfo:
    """An endpoint was found that cannot match."""

    total_count: int = 0
    total_count_change: int = 0
    last_policy_kind: QoSPolicyKind = QoSPolicyKind.INVALID


@dataclass
class IncompatibleTypeInfo:
    """An endpoint of another type was found."""

    total_count: int = 0
    total_count_change: int = 0


@dataclass
class QoSSubscriptionMatchedInfo:
    """The number of endpoints on the other side has changed."""

    total_count: int = 0
    total_count_change: int = 0
    current_count: int = 0
    current_count_change: int = 0


QoSPublisherMatchedInfo = QoSSubscriptionMatchedInfo
QoSOfferedDeadlineMissedInfo = QoSRequestedDeadlineMissedInfo
QoSLivelinessLostInfo = QoSRequestedDeadlineMissedInfo
QoSOfferedIncompatibleQoSInfo = QoSRequestedIncompatibleQoSInfo

_Callback = Callable[[Any], Any] | None


class SubscriptionEventCallbacks:
    """What a subscription's events call."""

    def __init__(
        self,
        *,
        deadline: _Callback = None,
        incompatible_qos: _Callback = None,
        liveliness: _Callback = None,
        message_lost: _Callback = None,
        incompatible_type: _Callback = None,
        matched: _Callback = None,
        use_default_callbacks: bool = True,
    ) -> None:
        self.deadline = deadline
        self.incompatible_qos = incompatible_qos
        self.liveliness = liveliness
        self.message_lost = message_lost
        self.incompatible_type = incompatible_type
        self.matched = matched
        self.use_default_callbacks = use_default_callbacks


class PublisherEventCallbacks:
    """What a publisher's events call."""

    def __init__(
        self,
        *,
        deadline: _Callback = None,
        liveliness: _Callback = None,
        incompatible_qos: _Callback = None,
        incompatible_type: _Callback = None,
        matched: _Callback = None,
        use_default_callbacks: bool = True,
    ) -> None:
        self.deadline = deadline
        self.liveliness = liveliness
        self.incompatible_qos = incompatible_qos
        self.incompatible_type = incompatible_type
        self.matched = matched
        self.use_default_callbacks = use_default_callbacks


class EventHandler(Entity):
    """An event of a publisher or subscription, as an executor sees it."""

    def __init__(
        self, callback: Callable[[Any], Any], callback_group: CallbackGroup, wake: Callable[[], None]
    ) -> None:
        super().__init__(callback_group, wake)
        self.callback = callback

    def _info(self) -> Any:
        """What happened since the last call, or None."""
        raise NotImplementedError

    def _take(self) -> Callable[[], Any] | None:
        info = self._info()
        return None if info is None else lambda: self.callback(info)


class MatchedEvent(EventHandler):
    """Counts the endpoints on the other side, whenever the graph has changed."""

    def __init__(
        self,
        callback: Callable[[Any], Any],
        callback_group: CallbackGroup,
        wake: Callable[[], None],
        graph: Graph,
        count: Callable[[], int],
    ) -> None:
        super().__init__(callback, callback_group, wake)
        self._count = count
        self._current = 0
        self._total = 0
        self._graph_changed = True
        self._listener = graph.on_change(self._on_graph_change)
        wake()

    def _on_graph_change(self) -> None:
        self._graph_changed = True
        self._wake()

    def _ns_until_ready(self) -> int | None:
        return 0 if self._graph_changed and not self._destroyed else None

    def _info(self) -> Any:
        self._graph_changed = False
        count = self._count()
        change, self._current = count - self._current, count
        if change == 0:
            return None
        joined = max(change, 0)
        self._total += joined
        return QoSSubscriptionMatchedInfo(
            total_count=self._total,
            total_count_change=joined,
            current_count=count,
            current_count_change=change,
        )

    def _on_destroy(self) -> None:
        self._listener.undeclare()


class MessageLostEvent(EventHandler):
    """Watches the sequence numbers of each publisher for gaps."""

    # Publishers come and go; only so many are remembered.
    MAX_PUBLISHERS = 1000

    def __init__(
        self, callback: Callable[[Any], Any], callback_group: CallbackGroup, wake: Callable[[], None]
    ) -> None:
        super().__init__(callback, callback_group, wake)
        self._last: dict[bytes, int] = {}
        self._total = 0
        self._reported = 0

    def note(self, gid: bytes, sequence: int) -> None:
        """Called for every sample, in the order of arrival."""
        last = self._last.pop(gid, None)
        self._last[gid] = sequence
        if len(self._last) > self.MAX_PUBLISHERS:
            del self._last[next(iter(self._last))]
        if last is not None and sequence > last + 1:
            self._total += sequence - last - 1
            self._wake()

    def _ns_until_ready(self) -> int | None:
        return 0 if self._total != self._reported and not self._destroyed else None

    def _info(self) -> Any:
        total = self._total
        change, self._reported = total - self._reported, total
        return QoSMessageLostInfo(total_count=total, total_count_change=change) if change else None
