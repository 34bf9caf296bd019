"""The byte and key formats of rmw_zenoh: keys, liveliness tokens, attachments, gids. Pure functions.

Follows rmw_zenoh's design document (https://github.com/ros2/rmw_zenoh/blob/rolling/docs/design.md) and its
sources `liveliness_utils.cpp`, `attachment_helpers.cpp` and `qos.cpp`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

import xxhash

from .qos import (
    DEFAULT_DEPTH,
    INFINITE_NS,
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
    resolved,
)
from .types import TypeInfo

ADMIN_SPACE = "@ros2_lv"
GID_BYTES = 16
_ATTACHMENT = struct.Struct("<qqB16s")
#: sequence number, source time, length of the gid, gid
ATTACHMENT_BYTES = _ATTACHMENT.size
_S_TO_NS = 10**9


class WireError(ValueError):
    """Bytes or a key from the network that are not what rmw_zenoh writes."""


class EntityKind(str, Enum):
    """What a token stands for."""

    NODE = "NN"
    PUBLISHER = "MP"
    SUBSCRIPTION = "MS"
    SERVICE = "SS"
    CLIENT = "SC"


@dataclass(frozen=True)
class NodeEntity:
    """A node in the graph. `namespace` and `enclave` begin with "/"."""

    zid: str
    name: str
    namespace: str
    enclave: str = "/"
    node_id: int = 0

    @property
    def fully_qualified_name(self) -> str:
        return f"{self.namespace.rstrip('/')}/{self.name}"


@dataclass(frozen=True)
class Endpoint:
    """A publisher, subscription, service or client in the graph."""

    kind: EntityKind
    zid: str
    node_name: str
    namespace: str
    topic: str
    """Fully qualified name of the topic or service."""
    type_name: str
    """As "pkg/msg/Name" or "pkg/srv/Name"."""
    type_hash: str
    qos: QoSProfile
    gid: bytes
    node_id: int = 0
    entity_id: int = 0


@dataclass(frozen=True)
class Attachment:
    """What travels beside every payload."""

    sequence: int
    source_time_ns: int
    gid: bytes


# Keys


def data_key(domain_id: int, name: str, info: TypeInfo) -> str:
    """Key of a topic or service. `name` is fully qualified."""
    return f"{domain_id}/{name.strip('/')}/{info.dds_name}/{info.hash}"


def graph_key(domain_id: int) -> str:
    """Key expression of all tokens of a domain."""
    return f"{ADMIN_SPACE}/{domain_id}/**"


def node_token(domain_id: int, node: NodeEntity) -> str:
    return "/".join(
        [
            *_token_head(domain_id, node, node.node_id, EntityKind.NODE),
            _mangle(node.enclave),
            _mangle(node.namespace),
            node.name,
        ]
    )


def endpoint_token(
    domain_id: int,
    node: NodeEntity,
    entity_id: int,
    kind: EntityKind,
    name: str,
    info: TypeInfo,
    qos: QoSProfile,
) -> str:
    return "/".join(
        [
            *_token_head(domain_id, node, entity_id, kind),
            _mangle(node.enclave),
            _mangle(node.namespace),
            node.name,
            _mangle(name),
            info.dds_name,
            info.hash,
            encode_qos(qos),
        ]
    )


def parse_token(token: str) -> NodeEntity | Endpoint:
    """The entity that a liveliness token stands for.

    Chunks after the known ones are ignored: newer versions append some.

    Raises:
        WireError: the key is no token.
    """
    parts = token.split("/")
    if len(parts) < 9 or parts[0] != ADMIN_SPACE:
        raise WireError(f"no liveliness token: {token!r}")
    try:
        kind = EntityKind(parts[5])
        node_id, entity_id = int(parts[3]), int(parts[4])
        node = NodeEntity(parts[2], parts[8], _demangle(parts[7]), _demangle(parts[6]), node_id)
        if not node.name:
            raise ValueError("no node name")
        if kind is EntityKind.NODE:
            return node
        if len(parts) < 13:
            raise ValueError("too few parts")
        return Endpoint(
            kind,
            node.zid,
            node.name,
            node.namespace,
            _demangle(parts[9]),
            _ros_type(parts[10]),
            parts[11],
            decode_qos(parts[12]),
            gid_of(token),
            node_id,
            entity_id,
        )
    except ValueError as error:
        raise WireError(f"bad liveliness token {token!r}: {error}") from None


def _token_head(domain_id: int, node: NodeEntity, entity_id: int, kind: EntityKind) -> list[str]:
    return [ADMIN_SPACE, str(domain_id), node.zid, str(node.node_id), str(entity_id), kind.value]


def _mangle(name: str) -> str:
    return name.replace("/", "%") if name not in ("", "/") else "%"


def _demangle(chunk: str) -> str:
    return chunk.replace("%", "/") if chunk else "/"


def _ros_type(dds_name: str) -> str:
    """From "sensor_msgs::msg::dds_::Image_" to "sensor_msgs/msg/Image"."""
    parts = dds_name.split("::")
    if len(parts) != 4 or parts[2] != "dds_" or not parts[3].endswith("_"):
        raise ValueError(f"{dds_name!r} is no type name")
    return f"{parts[0]}/{parts[1]}/{parts[3][:-1]}"


# Quality of service


def encode_qos(qos: QoSProfile) -> str:
    """The chunk "reliability:durability:history,depth:deadline:lifespan:liveliness"; defaults are empty."""
    qos = resolved(qos)
    return ":".join(
        [
            _unless(qos.reliability, ReliabilityPolicy.RELIABLE),
            _unless(qos.durability, DurabilityPolicy.VOLATILE),
            f"{_unless(qos.history, HistoryPolicy.KEEP_LAST)},{_unless(qos.depth, DEFAULT_DEPTH)}",
            _encode_duration(qos._deadline_ns),
            _encode_duration(qos._lifespan_ns),
            f"{_unless(qos.liveliness, LivelinessPolicy.AUTOMATIC)},"
            + _encode_duration(qos._liveliness_lease_duration_ns),
        ]
    )


def decode_qos(chunk: str) -> QoSProfile:
    """Raises WireError where the chunk is not what `encode_qos` gives."""
    try:
        reliability, durability, history, deadline, lifespan, liveliness = chunk.split(":")
        history_kind, depth = history.split(",")
        liveliness_kind, _, lease = liveliness.partition(",")
        qos = QoSProfile(
            reliability=int(reliability or ReliabilityPolicy.RELIABLE),
            durability=int(durability or DurabilityPolicy.VOLATILE),
            history=int(history_kind or HistoryPolicy.KEEP_LAST),
            depth=min(int(depth or DEFAULT_DEPTH), INFINITE_NS) or DEFAULT_DEPTH,
            liveliness=int(liveliness_kind or LivelinessPolicy.AUTOMATIC),
        )
        qos._deadline_ns = _decode_duration(deadline)
        qos._lifespan_ns = _decode_duration(lifespan)
        qos._liveliness_lease_duration_ns = _decode_duration(lease)
    except (ValueError, AssertionError) as error:
        raise WireError(f"bad quality of service {chunk!r}: {error}") from None
    return qos


def _unless(value: int, default: int) -> str:
    return "" if value == default else str(int(value))


def _encode_duration(ns: int) -> str:
    if ns >= INFINITE_NS:
        return ","
    seconds, rest = divmod(ns, _S_TO_NS)
    return f"{seconds},{rest}"


def _decode_duration(text: str) -> int:
    seconds, rest = text.split(",")
    if not seconds and not rest:
        return INFINITE_NS
    return min(int(seconds or 0) * _S_TO_NS + int(rest or 0), INFINITE_NS)


# Gids and attachments


def gid_of(token: str) -> bytes:
    """The 16 bytes that identify an endpoint: XXH3-128 of its token, low half first, little-endian."""
    return xxhash.xxh3_128_intdigest(token.encode()).to_bytes(GID_BYTES, "little")


def pack_attachment(sequence: int, source_time_ns: int, gid: bytes) -> bytes:
    return _ATTACHMENT.pack(sequence, source_time_ns, GID_BYTES, gid)


def unpack_attachment(data: bytes) -> Attachment:
    """Raises WireError where the bytes are no attachment."""
    if len(data) < ATTACHMENT_BYTES or data[16] != GID_BYTES:
        raise WireError(f"no attachment of {ATTACHMENT_BYTES} bytes: {data[:ATTACHMENT_BYTES].hex()}")
    sequence, source_time_ns, _, gid = _ATTACHMENT.unpack_from(data)
    return Attachment(sequence, source_time_ns, gid)
