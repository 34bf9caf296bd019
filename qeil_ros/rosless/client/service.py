"""Answering requests."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..types import deserialize, serialize
from ._entity import Entity
from .callback_groups import CallbackGroup
from .qos import HistoryPolicy, QoSProfile

if TYPE_CHECKING:
    from ..session import Request
    from .node import Node


class Service(Entity):
    """Made by `Node.create_service`. The callback takes the request and an empty response, and returns a
    response."""

    def __init__(
        self,
        node: Node,
        declare: Callable[[Callable[[Request], None]], Any],
        srv_type: Any,
        srv_name: str,
        full_name: str,
        callback: Callable[[Any, Any], Any],
        callback_group: CallbackGroup,
        qos_profile: QoSProfile,
    ) -> None:
        """:param declare: given a function that takes requests, joins the graph and returns a handle to
        leave it."""
        super().__init__(callback_group, node._wake_executor)
        self.srv_type = srv_type
        self.srv_name = srv_name
        self.callback = callback
        self.qos_profile = qos_profile
        self.malformed_count = 0
        self._service_name = full_name
        self._logger = node.get_logger()
        keep_all = qos_profile.history is HistoryPolicy.KEEP_ALL
        self._queue: deque[Request] = deque(maxlen=None if keep_all else qos_profile.depth or None)
        self._handle = declare(self._on_request)

    @property
    def service_name(self) -> str:
        """The fully qualified name, after remapping."""
        return self._service_name

    @property
    def logger_name(self) -> str:
        return self._logger.name

    def send_response(self, response: Any, header: Request) -> None:
        """Answers a request.

        :raises TypeError: when the response is of another type.
        """
        if not isinstance(response, self.srv_type.Response):
            raise TypeError(
                f"the callback of service '{self._service_name}' must return a {self.srv_type.Response}, "
                f"got {type(response)}"
            )
        header.reply(serialize(response))

    def _on_request(self, request: Request) -> None:
        """Called by the transport's thread: nothing but noting and waking."""
        self._queue.append(request)
        self._wake()

    def _ns_until_ready(self) -> int | None:
        return 0 if self._queue and not self._destroyed else None

    def _take(self) -> Callable[[], Any] | None:
        try:
            request = self._queue.popleft()
        except IndexError:
            return None
        return lambda: self._handle_request(request)

    def _handle_request(self, request: Request) -> Any:
        try:
            message = deserialize(request.payload, self.srv_type.Request)
        except ValueError as error:
            self.malformed_count += 1
            self._logger.warning(
                f"dropped a request to '{self._service_name}' ({self.malformed_count} so far): {error}",
                throttle_duration_sec=10.0,
            )
            request.drop()
            return None
        try:
            response = self.callback(message, self.srv_type.Response())
            if inspect.iscoroutine(response):
                return self._finish(response, request)
            self.send_response(response, request)
        except BaseException:
            # The caller learns that no response will come, instead of waiting for it.
            request.drop()
            raise
        return None

    async def _finish(self, coroutine: Any, request: Request) -> None:
        try:
            self.send_response(await coroutine, request)
        finally:
            # Changes nothing once the response is sent; a coroutine that failed or was given up sends none.
            request.drop()

    def _on_destroy(self) -> None:
        self._handle.undeclare()
        while self._queue:
            self._queue.popleft().drop()
