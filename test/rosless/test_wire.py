"""Keys, tokens, attachments and gids, pinned to what rmw_zenoh writes."""

from __future__ import annotations

import pytest
import zenoh
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.rosless.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_rosout_default,
    qos_profile_sensor_data,
    qos_profile_services_default,
    qos_profile_system_default,
    resolved,
)
from qeil_ros.rosless.types import TypeStore, type_info
from qeil_ros.rosless.wire import (
    Endpoint,
    EntityKind,
    NodeEntity,
    WireError,
    data_key,
    decode_qos,
    encode_qos,
    endpoint_token,
    gid_of,
    graph_key,
    node_token,
    pack_attachment,
    parse_token,
    unpack_attachment,
)

STORE = TypeStore("jazzy")
STRING = STORE.message_info("std_msgs/msg/String")
ADD = type_info(STORE.get_service("example_interfaces/srv/AddTwoInts"))
ZID = "aac3178e146ba6f1fc6e6a4085e77f21"
STRING_HASH = "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"
ADD_HASH = "RIHS01_e118de6bf5eeb66a2491b5bda11202e7b68f198d6f67922cf30364858239c81a"


def test_keys_of_the_design_document() -> None:
    assert data_key(0, "/chatter", STRING) == f"0/chatter/std_msgs::msg::dds_::String_/{STRING_HASH}"
    assert (
        data_key(0, "/robot1/chatter", STRING)
        == f"0/robot1/chatter/std_msgs::msg::dds_::String_/{STRING_HASH}"
    )
    assert (
        data_key(2, "/add_two_ints", ADD)
        == f"2/add_two_ints/example_interfaces::srv::dds_::AddTwoInts_/{ADD_HASH}"
    )
    assert graph_key(7) == "@ros2_lv/7/**"


def test_tokens_of_the_design_document() -> None:
    listener = NodeEntity(ZID, "listener", "/", node_id=0)
    assert node_token(2, listener) == f"@ros2_lv/2/{ZID}/0/0/NN/%/%/listener"
    talker = NodeEntity(ZID, "talker", "/", node_id=0)
    chatter = endpoint_token(2, talker, 10, EntityKind.PUBLISHER, "/chatter", STRING, QoSProfile(depth=7))
    assert chatter == (
        f"@ros2_lv/2/{ZID}/0/10/MP/%/%/talker/%chatter/std_msgs::msg::dds_::String_/{STRING_HASH}/::,7:,:,:,,"
    )
    server = NodeEntity("f9980ee0495eaafb3e38f0d19e2eae12", "add_two_ints_server", "/")
    assert endpoint_token(
        2, server, 10, EntityKind.SERVICE, "/add_two_ints", ADD, qos_profile_services_default
    ) == (
        "@ros2_lv/2/f9980ee0495eaafb3e38f0d19e2eae12/0/10/SS/%/%/add_two_ints_server/%add_two_ints/"
        f"example_interfaces::srv::dds_::AddTwoInts_/{ADD_HASH}/::,10:,:,:,,"
    )


def test_a_token_seen_on_a_robot() -> None:
    """`/rosout` of a node of ROS 2 Jazzy."""
    token = (
        "@ros2_lv/0/943f9ebc32acd3e072bfda12ce8c7ed2/0/1/MP/%/%/_ros2cli_31/%rosout/rcl_interfaces::msg::dds_::Log_/"
        "RIHS01_e28ce254ca8abc06abf92773b74602cdbf116ed34fbaf294fb9f81da9f318eac/:1:,1000:,:10,0:,,"
    )
    entity = parse_token(token)
    assert isinstance(entity, Endpoint)
    assert (entity.kind, entity.node_name, entity.namespace) == (EntityKind.PUBLISHER, "_ros2cli_31", "/")
    assert (entity.topic, entity.type_name) == ("/rosout", "rcl_interfaces/msg/Log")
    assert (entity.node_id, entity.entity_id) == (0, 1)
    assert entity.qos == resolved(qos_profile_rosout_default)
    node = NodeEntity(entity.zid, entity.node_name, entity.namespace)
    log = STORE.message_info("rcl_interfaces/msg/Log")
    assert endpoint_token(0, node, 1, entity.kind, entity.topic, log, qos_profile_rosout_default) == token


def test_namespaces_and_enclaves() -> None:
    node = NodeEntity(ZID, "cam", "/robot/front", "/secure/one", 4)
    token = node_token(0, node)
    assert token == f"@ros2_lv/0/{ZID}/4/4/NN/%secure%one/%robot%front/cam"
    assert parse_token(token) == node
    assert node.fully_qualified_name == "/robot/front/cam"
    assert NodeEntity(ZID, "cam", "/").fully_qualified_name == "/cam"


def test_more_chunks_are_ignored() -> None:
    token = endpoint_token(
        0, NodeEntity(ZID, "n", "/"), 3, EntityKind.SUBSCRIPTION, "/image", STRING, QoSProfile(depth=1)
    )
    plain, extended = parse_token(token), parse_token(token + "/_buf_cpu/anything")
    assert isinstance(plain, Endpoint)
    assert isinstance(extended, Endpoint)
    assert (extended.topic, extended.type_name, extended.qos) == (plain.topic, plain.type_name, plain.qos)
    assert extended.gid != plain.gid, "the gid is the hash of the whole token"


@pytest.mark.parametrize(
    ("qos", "chunk"),
    [
        (QoSProfile(depth=10), "::,10:,:,:,,"),
        (QoSProfile(depth=42), "::,:,:,:,,"),
        (qos_profile_system_default, "::,:,:,:,,"),
        (qos_profile_sensor_data, "2::,5:,:,:,,"),
        (QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL), ":1:,1:,:,:,,"),
        (QoSProfile(history=HistoryPolicy.KEEP_ALL), "::2,10:,:,:,,"),
        (QoSProfile(depth=3, liveliness=LivelinessPolicy.MANUAL_BY_TOPIC), "::,3:,:,:3,,"),
    ],
)
def test_quality_of_service(qos: QoSProfile, chunk: str) -> None:
    assert encode_qos(qos) == chunk
    assert decode_qos(chunk) == resolved(qos)


@given(
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    st.integers(1, 2**31),
    st.sampled_from([1, 3]),
    st.lists(st.integers(1, 2**63 - 1), min_size=3, max_size=3),
)
def test_quality_of_service_round_trip(
    reliability: int, durability: int, history: int, depth: int, liveliness: int, times_ns: list[int]
) -> None:
    qos = QoSProfile(
        reliability=reliability, durability=durability, history=history, depth=depth, liveliness=liveliness
    )
    qos._deadline_ns, qos._lifespan_ns, qos._liveliness_lease_duration_ns = times_ns
    assert decode_qos(encode_qos(qos)) == resolved(qos)


def test_gid_is_xxh3_of_the_token() -> None:
    # The published test vector of XXH3-128 for no input: 99aa06d3014798d8 6001c324468d497f, high half first.
    assert gid_of("") == bytes.fromhex("6001c324468d497f")[::-1] + bytes.fromhex("99aa06d3014798d8")[::-1]
    assert len({gid_of(f"token {number}") for number in range(100)}) == 100


def test_attachment_is_what_zenoh_itself_serializes() -> None:
    gid = bytes(range(16))
    packed = pack_attachment(3, -5, gid)
    assert len(packed) == 33
    expected = b"".join(
        zenoh.ext.z_serialize(item).to_bytes() for item in (zenoh.ext.Int64(3), zenoh.ext.Int64(-5), gid)
    )
    assert packed == expected
    back = unpack_attachment(packed)
    assert (back.sequence, back.source_time_ns, back.gid) == (3, -5, gid)


@pytest.mark.parametrize("data", [b"", bytes(32), bytes(33), bytes(16) + b"\x11" + bytes(17)])
def test_bad_attachments_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="no attachment"):
        unpack_attachment(data)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "@ros2_lv",
        "@ros2_lv/0/z/0/0/NN/%/%",
        "@ros2_lv/0/z/0/0/NN/%/%/",
        "other/0/z/0/0/NN/%/%/name",
        "@ros2_lv/0/z/x/0/NN/%/%/name",
        "@ros2_lv/0/z/0/0/XX/%/%/name",
        "@ros2_lv/0/z/0/1/MP/%/%/name/%topic/std_msgs::msg::dds_::String_/hash",
        "@ros2_lv/0/z/0/1/MP/%/%/name/%topic/String/hash/::,10:,:,:,,",
        "@ros2_lv/0/z/0/1/MP/%/%/name/%topic/std_msgs::msg::dds_::String_/hash/::",
        "@ros2_lv/0/z/0/1/MP/%/%/name/%topic/std_msgs::msg::dds_::String_/hash/9::,10:,:,:,,",
        "@ros2_lv/0/z/0/1/MP/%/%/name/%topic/std_msgs::msg::dds_::String_/hash/::,-1:,:,:,,",
    ],
)
def test_bad_tokens_are_refused(token: str) -> None:
    with pytest.raises(WireError):
        parse_token(token)


@given(st.text(st.sampled_from("@ros2_lv/MPSCN%:,0123456789abc_"), max_size=120))
def test_random_tokens_raise_nothing_else(text: str) -> None:
    for token in (text, "@ros2_lv/0/z/0/1/MP/%/%/n/%t/a::msg::dds_::B_/h/" + text):
        try:
            entity = parse_token(token)
        except WireError:
            continue
        assert isinstance(entity, (NodeEntity, Endpoint))


def test_reliability_is_visible() -> None:
    assert decode_qos("2::,5:,:,:,,").reliability == ReliabilityPolicy.BEST_EFFORT
