"""Calling services."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..types import deserialize, serialize
from ._entity import Entity
from ._rclpy_pybind11 import RCLError
from ._wakeup import Wakeup
from .callback_groups import CallbackGroup
from .exceptions import ROSInterruptException
from .qos import QoSProfile
from .task import Future

if TYPE_CHECKING:
    from .context import Context
    from .node import Node

# (sequence number, payload, error)
_Reply = tuple[int, bytes | None, Any]


class Client(Entity):
    """Made by `Node.create_client`."""

    _inline = True

    def __init__(
        self,
        node: Node,
        declare: Callable[[Callable[[int, bytes | None, Any], None]], Any],
        srv_type: Any,
        srv_name: str,
        full_name: str,
        callback_group: CallbackGroup,
        qos_profile: QoSProfile,
    ) -> None:
        """:param declare: given a function that takes replies, joins the graph and returns a handle to call
        with."""
        super().__init__(callback_group, node._wake_executor)
        self.srv_type = srv_type
        self.srv_name = srv_name
        self.qos_profile = qos_profile
        self._service_name = full_name
        self._logger = node.get_logger()
        self._node = node
        self._lock = threading.Lock()
        self._pending_requests: dict[int, Future[Any]] = {}
        self._queue: deque[_Reply] = deque()
        self._handle = declare(self._on_reply)

    @property
    def context(self) -> Context:
        return self._node.context

    @property
    def service_name(self) -> str:
        """The fully qualified name, after remapping."""
        return self._service_name

    @property
    def logger_name(self) -> str:
        return self._logger.name

    def call(self, request: Any, timeout_sec: float | None = None) -> Any:
        """Calls the service and blocks until it has answered, while another thread spins the node.

        In a callback this waits for itself, unless the client is in another callback group than the
        callback, or in a reentrant one, and the executor has a further thread.

        :return: the response, or None when there was none in time.
        :raises TypeError: when the request is of another type.
        :raises ROSInterruptException: when a shutdown ended the wait.
        """
        future = self.call_async(request)
        wakeup = Wakeup()
        self.context._add_waker(wakeup.set)
        future._add_waiter(wakeup.set)
        try:
            end = None if timeout_sec is None else time.monotonic() + timeout_sec
            while not future.done() and self.context.ok():
                if not wakeup.wait(None if end is None else max(0.0, end - time.monotonic())):
                    break
        finally:
            self.context._remove_waker(wakeup.set)
        if future.done():
            return future.result()
        self.remove_pending_request(future)
        if not self.context.ok():
            raise ROSInterruptException()
        return None

    def call_async(self, request: Any) -> Future[Any]:
        """Calls the service.

        :return: a future for the response; it fails with a RuntimeError when the transport says that none
        will come.
        :raises TypeError: when the request is of another type.
        """
        if not isinstance(request, self.srv_type.Request):
            raise TypeError(f"Expected {self.srv_type.Request}, got {type(request)}")
        self._check_usable()
        if not self.context.ok():
            raise RCLError(f"Failed to call '{self._service_name}': the context was shut down")
        future: Future[Any] = Future()
        payload = serialize(request)
        with self._lock:
            # The reply may arrive before the call returns its number; it finds the future when the lock is
            # free.
            sequence = self._handle.call(payload)
            self._pending_requests[sequence] = future
        return future

    def get_pending_request(self, sequence_number: int) -> Future[Any]:
        """:raises KeyError: when no such request is pending."""
        with self._lock:
            return self._pending_requests[sequence_number]

    def remove_pending_request(self, future: Future[Any]) -> None:
        """Forgets a request; its future is never settled."""
        with self._lock:
            for sequence, pending in self._pending_requests.items():
                if pending is future:
                    del self._pending_requests[sequence]
                    return

    def service_is_ready(self) -> bool:
        """True if the graph has the service."""
        self._check_usable()
        return bool(self._handle.is_ready())

    def wait_for_service(self, timeout_sec: float | None = None) -> bool:
        """Blocks until the graph has the service.

        :return: False if the time was over, or the context shut down, before.
        """
        self._check_usable()
        return self._node._wait_for_graph(self._handle.is_ready, timeout_sec)

    def _on_reply(self, sequence: int, payload: bytes | None, error: Any) -> None:
        """Called by the transport's thread: nothing but noting and waking."""
        self._queue.append((sequence, payload, error))
        self._wake()

    def _ns_until_ready(self) -> int | None:
        return 0 if self._queue and not self._destroyed else None

    def _take(self) -> Callable[[], Any] | None:
        try:
            reply = self._queue.popleft()
        except IndexError:
            return None
        return lambda: self._handle_reply(*reply)

    def _handle_reply(self, sequence: int, payload: bytes | None, error: Any) -> None:
        with self._lock:
            future = self._pending_requests.pop(sequence, None)
        if future is None:
            # Forgotten by the caller, or a second answer.
            return
        future._set_executor(self._node.executor)
        if payload is None:
            future.set_exception(RuntimeError(f"service '{self._service_name}' did not answer: {error}"))
            return
        try:
            response = deserialize(payload, self.srv_type.Response)
        except ValueError as malformed:
            future.set_exception(
                RuntimeError(f"service '{self._service_name}' answered what is no response: {malformed}")
            )
            return
        future.set_result(response)

    def _on_destroy(self) -> None:
        self._handle.undeclare()
        self._queue.clear()
