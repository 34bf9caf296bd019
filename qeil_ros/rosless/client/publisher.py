"""Sending messages to a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..types import serialize
from ._rclpy_pybind11 import InvalidHandle, RCLError
from .callback_groups import CallbackGroup
from .duration import Duration
from .event_handler import MatchedEvent, PublisherEventCallbacks
from .qos import QoSProfile

if TYPE_CHECKING:
    from .node import Node

MsgType = TypeVar("MsgType")


class Publisher(Generic[MsgType]):
    """Made by `Node.create_publisher`. Any thread may publish."""

    def __init__(
        self,
        node: Node,
        handle: Any,
        msg_type: type[MsgType],
        topic: str,
        full_topic: str,
        qos_profile: QoSProfile,
        event_callbacks: PublisherEventCallbacks,
        callback_group: CallbackGroup,
    ) -> None:
        self.msg_type = msg_type
        self.topic = topic
        self.qos_profile = qos_profile
        self._topic_name = full_topic
        self._handle = handle
        self._context = node.context
        self._graph = node._graph
        self._logger = node.get_logger()
        self._destroyed = False
        self.event_handlers: list[MatchedEvent] = []
        if event_callbacks.matched is not None:
            self.event_handlers.append(
                MatchedEvent(
                    event_callbacks.matched,
                    callback_group,
                    node._wake_executor,
                    self._graph,
                    self.get_subscription_count,
                )
            )

    def publish(self, msg: MsgType | bytes) -> None:
        """Sends a message, or the bytes of one with their CDR header.

        :raises TypeError: when it is a message of another type.
        :raises RCLError: when the context was shut down.
        :raises InvalidHandle: when the publisher was destroyed.
        """
        if isinstance(msg, self.msg_type):
            payload = serialize(msg)
        elif isinstance(msg, bytes):
            payload = msg
        else:
            raise TypeError(f"Expected {self.msg_type}, got {type(msg)}")
        self._check_usable()
        try:
            self._handle.put(payload)
        except Exception as error:
            # A shutdown in another thread may have come between the check and the call.
            self._check_usable()
            raise RCLError(f"Failed to publish on '{self._topic_name}': {error}") from error

    def get_subscription_count(self) -> int:
        """How many subscriptions the graph has on this topic with this type."""
        return self._graph.count_subscribers(self._topic_name)

    @property
    def topic_name(self) -> str:
        """The fully qualified name, after remapping."""
        return self._topic_name

    @property
    def logger_name(self) -> str:
        return self._logger.name

    def assert_liveliness(self) -> None:
        """Nothing to do: on this transport a publisher is alive as long as its process is connected."""
        self._check_usable()

    def wait_for_all_acked(self, timeout: Duration | None = None) -> bool:
        """True at once: the transport hands messages on without telling the publisher who has them."""
        self._check_usable()
        return True

    def destroy(self) -> None:
        """Ends the publisher. Programs call `Node.destroy_publisher`."""
        if self._destroyed:
            return
        self._destroyed = True
        for handler in self.event_handlers:
            handler.destroy()
        self._handle.undeclare()

    def _check_usable(self) -> None:
        if self._destroyed:
            raise InvalidHandle(f"the publisher on '{self._topic_name}' was destroyed")
        if not self._context.ok():
            raise RCLError(f"Failed to publish on '{self._topic_name}': publisher's context is invalid")

    def __enter__(self) -> Publisher[MsgType]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.destroy()
