"""The four kinds of endpoint of a session: publisher, subscriber, service, client."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import zenoh
from zenoh import ext

from .qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, resolved
from .types import TypeInfo
from .wire import Attachment, EntityKind, WireError, data_key, gid_of, pack_attachment, unpack_attachment

if TYPE_CHECKING:
    from .session import NodeHandle, Session

_log = logging.getLogger(__name__)
_HEARTBEAT_S = 0.5


class Sample(NamedTuple):
    """A message as it came from the network."""

    payload: bytes
    sequence: int
    source_time_ns: int
    received_time_ns: int
    gid: bytes


class Handle:
    """Something declared in a session, until `undeclare()`."""

    def __init__(self, session: Session, token: str) -> None:
        self.session = session
        self.token = token
        self.gid = gid_of(token)
        self._liveliness: Any = None
        self._undeclared = False

    def _attach(self, liveliness: zenoh.LivelinessToken) -> None:
        self._liveliness = liveliness

    def undeclare(self) -> None:
        """Takes it out of the graph. Does nothing the second time, or when the session is closed."""
        if self._undeclared:
            return
        self._undeclared = True
        self.session._forget(self)
        try:
            if self._liveliness is not None and not self.session.is_closed:
                self._liveliness.undeclare()
                self._withdraw()
        except zenoh.ZError:
            if not self.session.is_closed:  # else it was closed in the meantime, which undeclares everything
                raise

    def _withdraw(self) -> None:
        """Undeclares what stands behind the token."""


class _Endpoint(Handle):
    def __init__(
        self, session: Session, node: NodeHandle, token: str, name: str, info: TypeInfo, qos: QoSProfile
    ) -> None:
        super().__init__(session, token)
        self.node = node
        self.name = name
        self.info = info
        self.qos = resolved(qos)
        self.key = data_key(session.domain_id, name, info)
        self._entity: Any = None

    @property
    def _is_latched(self) -> bool:
        return bool(self.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL)

    @property
    def _is_reliable(self) -> bool:
        return bool(self.qos.reliability == ReliabilityPolicy.RELIABLE)

    def _withdraw(self) -> None:
        self.node._endpoints.discard(self)
        self._entity.undeclare()


class Publisher(_Endpoint):
    def _open(self, session: zenoh.Session) -> None:
        self._sequence = itertools.count(1)
        self._order = threading.Lock()
        block = self._is_reliable and self.qos.history == HistoryPolicy.KEEP_ALL
        options: dict[str, Any] = {
            "congestion_control": zenoh.CongestionControl.BLOCK if block else zenoh.CongestionControl.DROP,
            "reliability": zenoh.Reliability.RELIABLE if self._is_reliable else zenoh.Reliability.BEST_EFFORT,
        }
        if self._is_latched:
            options["cache"] = ext.CacheConfig(self.qos.depth)
            options["publisher_detection"] = True
            if self._is_reliable:
                options["sample_miss_detection"] = ext.MissDetectionConfig(
                    heartbeat=None, sporadic_heartbeat=_HEARTBEAT_S
                )
        self._entity = ext.declare_advanced_publisher(session, self.key, **options)

    def put(self, payload: bytes, source_time_ns: int | None = None) -> int:
        """Publishes a serialized message and returns its sequence number, which counts from 1.

        Drops the message rather than blocks where the network is slower (keep-all and reliable: blocks).

        Raises:
            RuntimeError: the publisher or its session is gone.
        """
        if self._undeclared:
            raise RuntimeError(f"the publisher of {self.name} was destroyed")
        when_ns = time.time_ns() if source_time_ns is None else source_time_ns
        with self._order:
            sequence = next(self._sequence)
            try:
                self._entity.put(payload, attachment=pack_attachment(sequence, when_ns, self.gid))
            except zenoh.ZError as error:
                raise RuntimeError(f"cannot publish on {self.name}: {error}") from error
        return sequence

    def _withdraw(self) -> None:
        with self._order:  # Zenoh's object does not bear being ended during a put on another thread
            super()._withdraw()


class Subscriber(_Endpoint):
    def __init__(
        self,
        session: Session,
        node: NodeHandle,
        token: str,
        name: str,
        info: TypeInfo,
        qos: QoSProfile,
        on_sample: Callable[[Sample], None],
    ) -> None:
        super().__init__(session, node, token, name, info, qos)
        self._on_sample = on_sample
        self.rejected = 0
        """Samples dropped because they came without a valid attachment."""

    def _open(self, session: zenoh.Session) -> None:
        options: dict[str, Any] = {}
        if self._is_latched:
            options["subscriber_detection"] = True
            options["history"] = ext.HistoryConfig(detect_late_publishers=True, max_samples=self.qos.depth)
            if self._is_reliable:
                options["recovery"] = ext.RecoveryConfig(periodic_queries=None, heartbeat=True)
        handler = zenoh.handlers.Callback(self._receive, indirect=False)
        self._entity = ext.declare_advanced_subscriber(session, self.key, handler, **options)

    def _receive(self, sample: zenoh.Sample) -> None:
        received_ns = time.time_ns()
        try:
            attachment = _attachment_of(sample.attachment)
        except WireError as error:
            self.rejected += 1
            _log.debug("dropped a sample of %s: %s", self.name, error)
            return
        if self._undeclared or sample.kind != zenoh.SampleKind.PUT:
            return
        try:
            self._on_sample(Sample(sample.payload.to_bytes(), *_fields(attachment, received_ns)))
        except Exception:
            _log.exception("receiving a sample of %s failed", self.name)


class Request:
    """A service request. Answer it once with `reply`, or let it go with `drop`; neither ever fails."""

    def __init__(self, query: zenoh.Query, key: str, payload: bytes, attachment: Attachment) -> None:
        self._query: Any = query
        self._key = key
        self._lock = threading.Lock()
        self.payload = payload
        self.sequence = attachment.sequence
        self.source_time_ns = attachment.source_time_ns
        self.gid = attachment.gid

    def reply(self, payload: bytes) -> bool:
        """Sends the answer. False where it was answered or dropped before, or cannot be sent any more."""
        query = self._take()
        if query is None:
            return False
        try:
            query.reply(
                self._key, payload, attachment=pack_attachment(self.sequence, time.time_ns(), self.gid)
            )
            return True
        except zenoh.ZError as error:
            _log.debug("a reply on %s was not sent: %s", self._key, error)
            return False
        finally:
            query.drop()

    def drop(self) -> None:
        """Tells the client that no answer will come."""
        query = self._take()
        if query is not None:
            query.drop()

    def _take(self) -> Any:
        with self._lock:
            query, self._query = self._query, None
            return query


class Service(_Endpoint):
    def __init__(
        self,
        session: Session,
        node: NodeHandle,
        token: str,
        name: str,
        info: TypeInfo,
        qos: QoSProfile,
        on_request: Callable[[Request], None],
    ) -> None:
        super().__init__(session, node, token, name, info, qos)
        self._on_request = on_request
        self.rejected = 0
        """Requests dropped because they came without a payload or a valid attachment."""

    def _open(self, session: zenoh.Session) -> None:
        handler = zenoh.handlers.Callback(self._receive, indirect=False)
        self._entity = session.declare_queryable(self.key, handler, complete=True)

    def _receive(self, query: Any) -> None:
        try:
            attachment = _attachment_of(query.attachment)
            if query.payload is None:
                raise WireError("no payload")
        except WireError as error:
            self.rejected += 1
            _log.debug("dropped a request of %s: %s", self.name, error)
            query.drop()
            return
        request = Request(query, self.key, query.payload.to_bytes(), attachment)
        try:
            if self._undeclared:
                request.drop()
            else:
                self._on_request(request)
        except Exception:
            _log.exception("receiving a request of %s failed", self.name)
            request.drop()


@dataclass
class _Call:
    """A request under way; becomes answered once."""

    client: Client
    sequence: int
    answered: bool = False

    def on_reply(self, reply: zenoh.Reply) -> None:
        sample = reply.ok
        if sample is not None:
            self._answer(sample.payload.to_bytes(), None)
        elif reply.err is not None:
            self._answer(None, f"the service refused: {reply.err.payload.to_bytes()[:200]!r}")

    def on_end(self) -> None:
        self._answer(None, "no answer: the service is not there, or went away")

    def _answer(self, payload: bytes | None, error: str | None) -> None:
        with self.client._lock:
            if self.answered:
                return
            self.answered = True
        try:
            self.client._on_reply(self.sequence, payload, error)
        except Exception:
            _log.exception("receiving a reply of %s failed", self.client.name)


class Client(_Endpoint):
    def __init__(
        self,
        session: Session,
        node: NodeHandle,
        token: str,
        name: str,
        info: TypeInfo,
        qos: QoSProfile,
        on_reply: Callable[[int, bytes | None, str | None], None],
    ) -> None:
        super().__init__(session, node, token, name, info, qos)
        self._on_reply = on_reply
        self._sequence = itertools.count(1)
        self._lock = threading.Lock()

    def _open(self, session: zenoh.Session) -> None:
        self._entity = session.declare_querier(
            self.key,
            target=zenoh.QueryTarget.ALL_COMPLETE,
            consolidation=zenoh.ConsolidationMode.NONE,
        )

    def call(self, payload: bytes) -> int:
        """Sends a request and returns its sequence number, which counts from 1.

        The answer may come before this returns. Raises RuntimeError where the client or its session is gone.
        """
        if self._undeclared:
            raise RuntimeError(f"the client of {self.name} was destroyed")
        sequence = next(self._sequence)
        call = _Call(self, sequence)
        try:
            self._entity.get(
                zenoh.handlers.Callback(call.on_reply, call.on_end, indirect=False),
                payload=payload,
                attachment=pack_attachment(sequence, time.time_ns(), self.gid),
            )
        except zenoh.ZError as error:
            raise RuntimeError(f"cannot call {self.name}: {error}") from error
        return sequence

    def is_ready(self) -> bool:
        """Whether the graph has a service of this name and type."""
        return any(
            item.type_name == self.info.name and item.type_hash == self.info.hash
            for item in self.session.graph.endpoints(EntityKind.SERVICE, topic=self.name)
        )


def _attachment_of(attachment: zenoh.ZBytes | None) -> Attachment:
    if attachment is None:
        raise WireError("no attachment")
    return unpack_attachment(attachment.to_bytes())


def _fields(attachment: Attachment, received_ns: int) -> tuple[int, int, int, bytes]:
    return attachment.sequence, attachment.source_time_ns, received_ns, attachment.gid
