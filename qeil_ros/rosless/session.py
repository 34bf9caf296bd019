"""A connection to the ROS graph over Zenoh, speaking rmw_zenoh's protocol. Bytes in, bytes out.

Whatever is called back runs on one of Zenoh's network threads: it may append to a queue and wake somebody, no
more. A session is closed by `close()`, and at the latest when the interpreter shuts down, before it waits for
threads, so that no process hangs at exit.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import zenoh

from . import config
from .endpoints import Client, Handle, Publisher, Request, Sample, Service, Subscriber
from .graph import Graph
from .qos import QoSProfile
from .types import TypeInfo
from .wire import EntityKind, NodeEntity, endpoint_token, graph_key, node_token

__all__ = [
    "Client",
    "NodeHandle",
    "Publisher",
    "Request",
    "Sample",
    "Service",
    "Session",
    "SessionError",
    "Subscriber",
]

_log = logging.getLogger(__name__)
_ROUTER_POLL_S = 0.02
_ROUTER_GRACE_S = 1.0
_GRAPH_QUERY_TIMEOUT_S = 5.0
_E = TypeVar("_E", Publisher, Subscriber, Service, Client)


class SessionError(RuntimeError):
    """A session that could not be opened, or was used after it was closed."""


class NodeHandle(Handle):
    """A node that was announced to the graph. Undeclaring it undeclares its endpoints."""

    def __init__(self, session: Session, entity: NodeEntity, token: str) -> None:
        super().__init__(session, token)
        self.entity = entity
        self.name = entity.name
        self.namespace = entity.namespace
        self._endpoints: set[Handle] = set()

    def undeclare(self) -> None:
        for endpoint in list(self._endpoints):
            endpoint.undeclare()
        super().undeclare()


class Session:
    """One Zenoh session; a process usually has one for all of its nodes. Open with `Session.open`."""

    def __init__(self, zenoh_session: zenoh.Session, domain_id: int) -> None:
        self._zenoh: Any = zenoh_session
        self.domain_id = domain_id
        self.zid = str(zenoh_session.zid())
        self.graph = Graph()
        self._ids = itertools.count()
        self._nodes: set[NodeHandle] = set()
        self._closed = False
        self._lock = threading.Lock()
        _live.add(self)
        self._watch_graph()

    @classmethod
    def open(cls, domain_id: int | None = None, environ: Mapping[str, str] = os.environ) -> Session:
        """Connects as the environment says (see `config`).

        Raises:
            config.ConfigError: a variable or file cannot be used.
            SessionError: no connection, or no router within the attempts asked for.
        """
        domain = config.domain_id(environ) if domain_id is None else domain_id
        attempts = config.router_check_attempts(environ)
        settings = config.session_config(environ)
        zenoh.init_log_from_env_or("error")
        try:
            opened: Any = zenoh.open(settings)
        except zenoh.ZError as error:
            raise SessionError(f"cannot open a Zenoh session: {error}") from error
        try:
            _await_router(opened, attempts)
            return cls(opened, domain)
        except BaseException:
            opened.close()
            raise

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Undeclares everything and disconnects. Does nothing the second time."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        _live.discard(self)
        self._zenoh.close()

    # Declarations

    def declare_node(self, name: str, namespace: str = "/", enclave: str = "/") -> NodeHandle:
        """Announces a node. Names are taken as they are; the caller has validated them."""
        entity = NodeEntity(self.zid, name, namespace or "/", enclave or "/", next(self._ids))
        token = node_token(self.domain_id, entity)
        node = NodeHandle(self, entity, token)
        node._attach(self._open_zenoh().liveliness().declare_token(token))
        self.graph.add(token)
        self._nodes.add(node)
        return node

    def create_publisher(self, node: NodeHandle, topic: str, info: TypeInfo, qos: QoSProfile) -> Publisher:
        """Declares a publisher of the fully qualified `topic`."""
        token = self._token(node, EntityKind.PUBLISHER, topic, info, qos)
        return self._declare(node, Publisher(self, node, token, topic, info, qos))

    def create_subscriber(
        self,
        node: NodeHandle,
        topic: str,
        info: TypeInfo,
        qos: QoSProfile,
        on_sample: Callable[[Sample], None],
    ) -> Subscriber:
        """Declares a subscription of the fully qualified `topic`."""
        token = self._token(node, EntityKind.SUBSCRIPTION, topic, info, qos)
        return self._declare(node, Subscriber(self, node, token, topic, info, qos, on_sample))

    def create_service(
        self,
        node: NodeHandle,
        name: str,
        info: TypeInfo,
        qos: QoSProfile,
        on_request: Callable[[Request], None],
    ) -> Service:
        """Offers the service of the fully qualified `name`. A request has to be replied to or dropped."""
        token = self._token(node, EntityKind.SERVICE, name, info, qos)
        return self._declare(node, Service(self, node, token, name, info, qos, on_request))

    def create_client(
        self,
        node: NodeHandle,
        name: str,
        info: TypeInfo,
        qos: QoSProfile,
        on_reply: Callable[[int, bytes | None, str | None], None],
    ) -> Client:
        """Declares a client of the service of the fully qualified `name`.

        `on_reply(sequence, payload, error)` is called exactly once for every call: with the first answer's
        payload, or with None and the reason why there is none.
        """
        token = self._token(node, EntityKind.CLIENT, name, info, qos)
        return self._declare(node, Client(self, node, token, name, info, qos, on_reply))

    def _token(self, node: NodeHandle, kind: EntityKind, name: str, info: TypeInfo, qos: QoSProfile) -> str:
        return endpoint_token(self.domain_id, node.entity, next(self._ids), kind, name, info, qos)

    def _declare(self, node: NodeHandle, endpoint: _E) -> _E:
        endpoint._open(self._open_zenoh())
        # The token comes last: whoever sees it may count on the endpoint.
        endpoint._attach(self._zenoh.liveliness().declare_token(endpoint.token))
        self.graph.add(endpoint.token)
        node._endpoints.add(endpoint)
        return endpoint

    def _open_zenoh(self) -> Any:
        if self._closed:
            raise SessionError("the session is closed")
        return self._zenoh

    def _forget(self, handle: Handle) -> None:
        self.graph.remove(handle.token)
        if isinstance(handle, NodeHandle):
            self._nodes.discard(handle)

    # Graph

    def _watch_graph(self) -> None:
        graph, key = self.graph, graph_key(self.domain_id)

        def on_token(sample: zenoh.Sample) -> None:
            token = str(sample.key_expr)
            if sample.kind == zenoh.SampleKind.PUT:
                graph.add(token)
            else:
                graph.remove(token)

        liveliness = self._zenoh.liveliness()
        handler = zenoh.handlers.Callback(on_token, indirect=False)
        self._graph_subscriber = liveliness.declare_subscriber(key, handler, history=True)
        # This query ends when its answer is complete: the first questions see what is there already.
        for reply in liveliness.get(key, timeout=_GRAPH_QUERY_TIMEOUT_S):
            if reply.ok is not None:
                graph.add(str(reply.ok.key_expr))


def _await_router(session: zenoh.Session, attempts: int | None) -> None:
    if attempts is not None and attempts < 0:
        return
    grace_s = _ROUTER_GRACE_S if attempts is None else float(attempts)
    start = time.monotonic()
    warned = False
    while not session.info.routers_zid():
        waited_s = time.monotonic() - start
        if waited_s > (grace_s or _ROUTER_GRACE_S) and not warned:
            warned = True
            _log.warning("no Zenoh router found yet; start one with `qeil router`")
        if grace_s and waited_s > grace_s:
            if attempts is None:
                return
            raise SessionError(
                f"no Zenoh router after {attempts} attempts; start one with `qeil router`,"
                " or set ZENOH_ROUTER_CHECK_ATTEMPTS=-1 to go without"
            )
        time.sleep(_ROUTER_POLL_S)


_live: weakref.WeakSet[Session] = weakref.WeakSet()


def _close_all() -> None:
    for session in list(_live):
        _close_quietly(session)


def _close_quietly(session: Session) -> None:
    try:
        session.close()
    except Exception:
        _log.exception("closing a session failed")


# Zenoh's threads are no daemons: the interpreter waits for them before it runs atexit functions.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
