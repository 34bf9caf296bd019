"""Receiving the messages of a topic."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..types import deserialize
from ._entity import Entity
from .callback_groups import CallbackGroup
from .event_handler import EventHandler, MatchedEvent, MessageLostEvent, SubscriptionEventCallbacks
from .qos import HistoryPolicy, QoSProfile

if TYPE_CHECKING:
    from ..session import Sample
    from .node import Node

MsgType = TypeVar("MsgType")

# What a depth of 0 means to rmw_zenoh.
_DEFAULT_DEPTH = 42


class Subscription(Entity, Generic[MsgType]):
    """Made by `Node.create_subscription`. Holds the newest `depth` messages until an executor takes them."""

    class CallbackType(Enum):
        """Whether the callback takes the message alone, or also what is known about its journey."""

        MessageOnly = 0
        WithMessageInfo = 1

    def __init__(
        self,
        node: Node,
        declare: Callable[[Callable[[Sample], None]], Any],
        msg_type: type[MsgType],
        topic: str,
        full_topic: str,
        callback: Callable[..., Any],
        callback_group: CallbackGroup,
        qos_profile: QoSProfile,
        raw: bool,
        event_callbacks: SubscriptionEventCallbacks,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """:param declare: given a function that takes samples, joins the graph and returns a handle to
        leave it."""
        super().__init__(callback_group, wake or node._wake_executor)
        self.msg_type = msg_type
        self.topic = topic
        self.qos_profile = qos_profile
        self.raw = raw
        self.callback = callback
        self.malformed_count = 0
        self._topic_name = full_topic
        self._graph = node._graph
        self._logger = node.get_logger()
        keep_all = qos_profile.history is HistoryPolicy.KEEP_ALL
        self._queue: deque[Sample] = deque(maxlen=None if keep_all else qos_profile.depth or _DEFAULT_DEPTH)
        self.event_handlers: list[EventHandler] = []
        self._lost: MessageLostEvent | None = None
        if event_callbacks.message_lost is not None:
            self._lost = MessageLostEvent(event_callbacks.message_lost, callback_group, self._wake)
            self.event_handlers.append(self._lost)
        if event_callbacks.matched is not None:
            self.event_handlers.append(
                MatchedEvent(
                    event_callbacks.matched, callback_group, self._wake, self._graph, self.get_publisher_count
                )
            )
        # Last, because samples may arrive before this returns.
        self._handle = declare(self._on_sample)

    @property
    def callback(self) -> Callable[..., Any]:
        return self._callback

    @callback.setter
    def callback(self, value: Callable[..., Any]) -> None:
        self._callback_type = _callback_type(value)
        self._callback = value

    @property
    def topic_name(self) -> str:
        """The fully qualified name, after remapping."""
        return self._topic_name

    @property
    def logger_name(self) -> str:
        return self._logger.name

    def get_publisher_count(self) -> int:
        """How many publishers the graph has on this topic."""
        return self._graph.count_publishers(self._topic_name)

    def _on_sample(self, sample: Sample) -> None:
        """Called by the transport's thread, which serves every topic: nothing but noting and waking."""
        self._queue.append(sample)
        if self._lost is not None:
            self._lost.note(sample.gid, sample.sequence)
        self._wake()

    def _ns_until_ready(self) -> int | None:
        return 0 if self._queue and not self._destroyed else None

    def _take(self) -> Callable[[], Any] | None:
        sample = self._pop()
        return None if sample is None else lambda: self._handle_sample(sample)

    def _pop(self) -> Sample | None:
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    def _handle_sample(self, sample: Sample) -> Any:
        found, message = self._read(sample)
        if not found:
            return None
        if self._callback_type is Subscription.CallbackType.MessageOnly:
            return self._callback(message)
        info = {
            "source_timestamp": sample.source_time_ns,
            "received_timestamp": sample.received_time_ns,
            "publication_sequence_number": sample.sequence,
            "reception_sequence_number": None,
        }
        return self._callback(message, info)

    def _read(self, sample: Sample) -> tuple[bool, Any]:
        """The message, unless its bytes are none: those are counted and dropped, whoever sent them."""
        if self.raw:
            return True, bytes(sample.payload)
        try:
            return True, deserialize(sample.payload, self.msg_type)
        except ValueError as error:
            self.malformed_count += 1
            self._logger.warning(
                f"dropped a message on '{self._topic_name}' ({self.malformed_count} so far): {error}",
                throttle_duration_sec=10.0,
            )
            return False, None

    def _on_destroy(self) -> None:
        for handler in self.event_handlers:
            handler.destroy()
        self._handle.undeclare()
        self._queue.clear()


def _callback_type(callback: Callable[..., Any]) -> Subscription.CallbackType:
    try:
        signature = inspect.signature(callback)
    except ValueError:
        # Some built-in functions do not tell; they take a message.
        return Subscription.CallbackType.MessageOnly
    for arguments, kind in (
        (1, Subscription.CallbackType.MessageOnly),
        (2, Subscription.CallbackType.WithMessageInfo),
    ):
        try:
            signature.bind(*[object()] * arguments)
        except TypeError:
            continue
        return kind
    raise RuntimeError(
        "Subscription.__init__(): callback should be either be callable with one argument"
        "(to get only the message) or two (to get message and message info)"
    )
