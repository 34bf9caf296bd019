"""Message classes: constructors, fields, and their CDR against rosbags' own."""

from __future__ import annotations

import array
import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from qeil_ros.rosless.types import (
    DeserializationError,
    FieldError,
    FieldType,
    Message,
    SerializationError,
    TypeStore,
    default_store,
    deserialize,
    get_message,
    get_service,
    serialize,
    type_info,
)
from qeil_ros.rosless.types.definition import integer_range, is_integer

ORACLE = get_typestore(Stores.ROS2_JAZZY)
STORE = TypeStore("jazzy")
NAMES = sorted(ORACLE.fielddefs)

# Construction and fields


def test_defaults_are_those_of_the_definition() -> None:
    pose = STORE.get_message("geometry_msgs/msg/Pose")()
    assert (pose.orientation.x, pose.orientation.w) == (0.0, 1.0)
    assert (
        STORE.get_service("type_description_interfaces/srv/GetTypeDescription").Request().include_type_sources
        is True
    )
    info = STORE.get_message("sensor_msgs/msg/CameraInfo")()
    assert info.k.dtype == np.float64
    assert info.k.shape == (9,)
    assert isinstance(info.d, array.array)


def test_mutable_defaults_are_not_shared() -> None:
    cls = STORE.get_message("sensor_msgs/msg/JointState")
    first = cls()
    first.name.append("a")
    first.position.append(1.0)
    first.header.stamp.sec = 3
    assert cls() == cls()
    assert cls() != first


def test_constants_are_class_attributes() -> None:
    status = STORE.get_message("diagnostic_msgs/msg/DiagnosticStatus")
    assert (status.OK, status.STALE) == (b"\x00", b"\x03")
    assert status(level=status.WARN).level == b"\x01"
    assert STORE.get_message("sensor_msgs/msg/NavSatStatus").STATUS_NO_FIX == -1


def test_unknown_fields_are_refused() -> None:
    image = STORE.get_message("sensor_msgs/msg/Image")
    with pytest.raises(FieldError, match=r"sensor_msgs/msg/Image has no field heigth; it has header, height"):
        image(heigth=3)
    with pytest.raises(AttributeError):
        image().heigth = 3


@pytest.mark.parametrize(
    ("name", "field", "value", "complaint"),
    [
        ("std_msgs/msg/UInt8", "data", 256, r"int in \[0, 255\], not 256"),
        ("std_msgs/msg/UInt8", "data", -1, "int in"),
        ("std_msgs/msg/Int64", "data", 2**63, "int in"),
        ("std_msgs/msg/Int32", "data", 1.0, "int in"),
        ("std_msgs/msg/Float64", "data", 1, r"must be float, not 1 \(int\)"),
        ("std_msgs/msg/Float32", "data", 1e39, "float in"),
        ("std_msgs/msg/String", "data", b"x", "must be str"),
        ("std_msgs/msg/Bool", "data", 1, "must be bool"),
        ("std_msgs/msg/Byte", "data", b"ab", "bytes of length 1"),
        ("std_msgs/msg/Byte", "data", 1, "bytes of length 1"),
        ("std_msgs/msg/Header", "stamp", None, "builtin_interfaces/msg/Time"),
        ("sensor_msgs/msg/Image", "data", "text", "array.array"),
        ("sensor_msgs/msg/Image", "data", [1, 300], "unsigned byte"),
        ("sensor_msgs/msg/Image", "data", [1.5], "sequence of int"),
        ("sensor_msgs/msg/Image", "data", np.zeros(3, np.float32), "array.array"),
        ("sensor_msgs/msg/Image", "data", np.zeros((2, 2), np.uint8), "array.array"),
        ("sensor_msgs/msg/JointState", "position", [1], "sequence of float"),
        ("sensor_msgs/msg/JointState", "name", "joint", "sequence of str"),
        ("sensor_msgs/msg/JointState", "name", ["a", 3], "every item of"),
        ("sensor_msgs/msg/CameraInfo", "k", [1.0], "9 values"),
        ("unique_identifier_msgs/msg/UUID", "uuid", bytes(15), "16 values"),
        ("rcl_interfaces/msg/ParameterDescriptor", "integer_range", None, "sequence of rcl_interfaces"),
    ],
)
def test_wrong_values_are_refused(name: str, field: str, value: Any, complaint: str) -> None:
    message = STORE.get_message(name)()
    before = copy.deepcopy(message)
    with pytest.raises(AssertionError, match=complaint) as error:
        setattr(message, field, value)
    assert isinstance(error.value, TypeError)
    assert f"{name}.{field}" in str(error.value)
    assert message == before


def test_bounded_sequences_are_bounded() -> None:
    descriptor = STORE.get_message("rcl_interfaces/msg/ParameterDescriptor")()
    bounds = STORE.get_message("rcl_interfaces/msg/IntegerRange")
    descriptor.integer_range = [bounds()]
    with pytest.raises(FieldError, match="at most 1"):
        descriptor.integer_range = [bounds(), bounds()]


@pytest.mark.parametrize(
    "value",
    [
        b"\x01\x02\x03",
        bytearray(b"\x01\x02\x03"),
        memoryview(b"\x01\x02\x03"),
        [1, 2, 3],
        (1, 2, 3),
        array.array("B", [1, 2, 3]),
        np.array([1, 2, 3], np.uint8),
        np.array([1, 0, 2, 0, 3, 0], np.uint8)[::2],
    ],
)
def test_byte_sequences_take_any_buffer(value: Any) -> None:
    image = STORE.get_message("sensor_msgs/msg/Image")(data=value)
    assert isinstance(image.data, array.array)
    assert image.data.tolist() == [1, 2, 3]


def test_arrays_of_the_right_kind_are_not_copied() -> None:
    data = array.array("B", bytes(100))
    image = STORE.get_message("sensor_msgs/msg/Image")(data=data)
    assert image.data is data
    numbers = np.arange(9.0)
    assert STORE.get_message("sensor_msgs/msg/CameraInfo")(k=numbers).k is numbers


def test_byte_and_bool_sequences_are_lists() -> None:
    value = STORE.get_message("rcl_interfaces/msg/ParameterValue")(
        byte_array_value=[b"\x01", b"\xff"], bool_array_value=[True, False]
    )
    back = deserialize(serialize(value), type(value))
    assert back.byte_array_value == [b"\x01", b"\xff"]
    assert back.bool_array_value == [True, False]


def test_field_types_are_spelled_as_in_rclpy() -> None:
    assert STORE.get_message("sensor_msgs/msg/Imu").get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "orientation": "geometry_msgs/Quaternion",
        "orientation_covariance": "double[9]",
        "angular_velocity": "geometry_msgs/Vector3",
        "angular_velocity_covariance": "double[9]",
        "linear_acceleration": "geometry_msgs/Vector3",
        "linear_acceleration_covariance": "double[9]",
    }
    fields = STORE.get_message("rcl_interfaces/msg/ParameterDescriptor").get_fields_and_field_types()
    assert fields["integer_range"] == "sequence<rcl_interfaces/IntegerRange, 1>"
    value = STORE.get_message("rcl_interfaces/msg/ParameterValue").get_fields_and_field_types()
    assert (value["byte_array_value"], value["bool_value"]) == ("sequence<octet>", "boolean")
    assert STORE.get_message("std_msgs/msg/Empty").get_fields_and_field_types() == {}


def test_representation_and_equality() -> None:
    header = STORE.get_message("std_msgs/msg/Header")
    assert repr(header(frame_id="a")) == (
        "std_msgs.msg.Header(stamp=builtin_interfaces.msg.Time(sec=0, nanosec=0), frame_id='a')"
    )
    assert header(frame_id="a") == header(frame_id="a") != header(frame_id="b")
    assert header() != 3
    image = STORE.get_message("sensor_msgs/msg/Image")(data=bytes(1000))
    assert repr(image).endswith("0, 0, ... 900 more])")
    assert repr(STORE.get_service("std_srvs/srv/Trigger").Request()) == "std_srvs.srv.Trigger_Request()"
    with pytest.raises(TypeError, match="unhashable"):
        hash(header())


def test_messages_can_be_copied_and_pickled() -> None:
    image = get_message("sensor_msgs/msg/Image")(width=3, data=b"abc")
    for twin in (copy.copy(image), copy.deepcopy(image), pickle.loads(pickle.dumps(image))):
        assert twin == image
    deep = copy.deepcopy(image)
    deep.header.frame_id = "x"
    assert image.header.frame_id == ""


def test_type_info_is_for_interfaces_only() -> None:
    assert type_info(get_message("std_msgs/msg/String")).name == "std_msgs/msg/String"
    assert type_info(get_service("std_srvs/srv/Empty")).name == "std_srvs/srv/Empty"
    assert type_info(get_service("std_srvs/srv/Empty").Request).name == "std_srvs/srv/Empty_Request"
    with pytest.raises(TypeError, match="no message or service class"):
        type_info(int)


def test_our_own_messages() -> None:
    names = default_store().names("qeil_ros", "msg")
    assert {"FeatureFrame", "InferenceResult", "OperatingPoint", "OffboardStatus"} <= set(names)
    frame = get_message("qeil_ros/msg/FeatureFrame")(sequence=7, data=b"\x01\x02", split="vision")
    assert deserialize(serialize(frame), type(frame)) == frame


# CDR


def test_known_bytes() -> None:
    header = STORE.get_message("std_msgs/msg/Header")(frame_id="map")
    header.stamp.sec = -1
    assert serialize(header).hex(" ") == "00 01 00 00 ff ff ff ff 00 00 00 00 04 00 00 00 6d 61 70 00"
    assert serialize(STORE.get_message("std_msgs/msg/Empty")()) == b"\x00\x01\x00\x00\x00"
    empty = STORE.get_message("sensor_msgs/msg/JointState")()
    # No alignment for the missing doubles: four counts of zero follow each other.
    assert serialize(empty)[4:].hex() == "00" * 8 + "01000000" + "00000000" + "00000000" * 4


def test_big_endian_messages_are_read() -> None:
    cls = STORE.get_message("sensor_msgs/msg/Imu")
    source = ORACLE.deserialize_cdr(serialize(_example(cls, 5)), "sensor_msgs/msg/Imu")
    assert deserialize(
        ORACLE.serialize_cdr(source, "sensor_msgs/msg/Imu", little_endian=False), cls
    ) == _example(cls, 5)
    joints = STORE.get_message("sensor_msgs/msg/JointState")(name=["a", "bc"], position=[1.5, -2.0])
    source = ORACLE.deserialize_cdr(serialize(joints), "sensor_msgs/msg/JointState")
    swapped = ORACLE.serialize_cdr(source, "sensor_msgs/msg/JointState", little_endian=False)
    assert deserialize(swapped, type(joints)) == joints


def _example(cls: type, number: int) -> Any:
    message = cls()
    message.orientation.x = float(number)
    message.orientation_covariance[3] = number / 3
    message.header.frame_id = "é" * number
    return message


@pytest.mark.parametrize("name", NAMES)
def test_defaults_of_every_standard_type_agree_with_rosbags(name: str) -> None:
    cls = STORE.get_message(name)
    data = serialize(cls())
    theirs = ORACLE.deserialize_cdr(memoryview(data), name)
    assert bytes(ORACLE.serialize_cdr(theirs, name, little_endian=True)) == data
    assert deserialize(data, cls) == cls()


def _values(kind: FieldType) -> st.SearchStrategy[Any]:
    if kind.is_nested:
        item = _messages(kind.base)
    elif kind.base == "string":
        item = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
    elif kind.base == "bool":
        item = st.booleans()
    elif kind.base == "byte":
        item = st.binary(min_size=1, max_size=1)
    elif is_integer(kind.base):
        item = st.integers(*integer_range(kind.base))
    else:
        item = st.floats(width=32 if kind.base == "float32" else 64, allow_nan=False)
    if kind.kind == "scalar":
        return item
    if kind.kind == "array":
        return st.lists(item, min_size=kind.size, max_size=kind.size)
    return st.lists(item, max_size=min(kind.size or 4, 4))


def _messages(name: str) -> st.SearchStrategy[Message]:
    cls = STORE.get_message(name)
    fields = {field.name: _values(field.type) for field in cls.__definition__.fields}
    return st.builds(cls, **fields)


# Every kind of field, and every way in which alignment depends on what came before.
CHOSEN = [
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/JointState",
    "sensor_msgs/msg/PointCloud2",
    "sensor_msgs/msg/MultiDOFJointState",
    "sensor_msgs/msg/BatteryState",
    "sensor_msgs/msg/CameraInfo",
    "rcl_interfaces/msg/ParameterEvent",
    "rcl_interfaces/msg/ParameterDescriptor",
    "diagnostic_msgs/msg/DiagnosticArray",
    "nav_msgs/msg/Path",
    "shape_msgs/msg/Mesh",
    "service_msgs/msg/ServiceEventInfo",
    "statistics_msgs/msg/MetricsMessage",
    "std_msgs/msg/Float64MultiArray",
    "trajectory_msgs/msg/JointTrajectory",
    "type_description_interfaces/msg/TypeDescription",
    "visualization_msgs/msg/InteractiveMarker",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_round_trip_agrees_with_rosbags(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(CHOSEN))
    message = data.draw(_messages(name))
    raw = serialize(message)
    assert deserialize(raw, type(message)) == message
    theirs = ORACLE.deserialize_cdr(memoryview(raw), name)
    assert bytes(ORACLE.serialize_cdr(theirs, name, little_endian=True)) == raw
    big = ORACLE.serialize_cdr(theirs, name, little_endian=False)
    assert deserialize(big, type(message)) == message


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_bytes_raise_nothing_else(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(CHOSEN))
    message = data.draw(_messages(name))
    raw = bytearray(serialize(message))
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut]), bytes(raw) + data.draw(st.binary(max_size=9))):
        try:
            result = deserialize(damaged, type(message))
        except DeserializationError:
            continue
        deserialize(serialize(result), type(message))  # whatever was accepted is a message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(name: str, data: bytes) -> None:
    try:
        deserialize(b"\x00\x01\x00\x00" + data, STORE.get_message(name))
    except DeserializationError as error:
        assert name in str(error)


def test_impossible_counts_allocate_nothing() -> None:
    import tracemalloc

    huge = b"\xff\xff\xff\xff"
    header = b"\x00" * 8 + b"\x01\x00\x00\x00\x00" + b"\x00" * 3
    payloads = {
        "diagnostic_msgs/msg/DiagnosticArray": header + huge,
        "sensor_msgs/msg/JointState": header + huge,
        "std_msgs/msg/ByteMultiArray": huge,
        "shape_msgs/msg/Mesh": huge,
    }
    for name, payload in payloads.items():
        cls = STORE.get_message(name)
        with pytest.raises(DeserializationError):  # makes the code
            deserialize(b"\x00\x01\x00\x00", cls)
        tracemalloc.start()
        with pytest.raises(DeserializationError, match="truncated"):
            deserialize(b"\x00\x01\x00\x00" + payload, cls)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 100_000


def test_padding_is_tolerated_and_more_is_not() -> None:
    cls = STORE.get_message("std_msgs/msg/Bool")
    raw = serialize(cls(data=True))
    assert deserialize(raw + bytes(3), cls).data is True
    with pytest.raises(DeserializationError, match="4 bytes after the message"):
        deserialize(raw + bytes(4), cls)
    assert deserialize(raw + bytes(40), cls, allow_trailing=True).data is True


@pytest.mark.parametrize("head", [b"", b"\x00", b"\x00\x07\x00\x00", b"\x01\x01\x00\x00"])
def test_unknown_encapsulations_are_refused(head: bytes) -> None:
    with pytest.raises(DeserializationError, match="encapsulation"):
        deserialize(head, STORE.get_message("std_msgs/msg/Empty"))


def test_strings_of_careless_writers() -> None:
    cls = STORE.get_message("std_msgs/msg/String")
    head = b"\x00\x01\x00\x00"
    assert deserialize(head + b"\x00\x00\x00\x00", cls).data == ""
    assert deserialize(head + b"\x02\x00\x00\x00ab", cls).data == "ab"
    assert deserialize(head + b"\x03\x00\x00\x00\xff\xfe\x00", cls).data == "\ufffd\ufffd"


def test_any_buffer_is_read_and_none_is_kept() -> None:
    cls = STORE.get_message("sensor_msgs/msg/Image")
    message = cls(data=b"abc")
    raw = bytearray(serialize(message))
    results = [deserialize(kind(raw), cls) for kind in (bytes, bytearray, memoryview, np.array)]
    result = deserialize(raw, cls)
    raw[:] = bytes(len(raw))
    assert result == message
    assert results == [message] * 4


def test_wrong_items_in_a_list_are_found() -> None:
    path = STORE.get_message("nav_msgs/msg/Path")()
    path.poses.append(STORE.get_message("geometry_msgs/msg/Pose")())
    with pytest.raises(SerializationError, match=r"nav_msgs/msg/Path.*PoseStamped holds"):
        serialize(path)
    joints = STORE.get_message("sensor_msgs/msg/JointState")()
    joints.name.append(3)
    with pytest.raises(SerializationError, match="sensor_msgs/msg/JointState"):
        serialize(joints)


def test_special_floats_travel() -> None:
    cls = STORE.get_message("std_msgs/msg/Float32")
    assert math.isnan(deserialize(serialize(cls(data=math.nan)), cls).data)
    assert deserialize(serialize(cls(data=-math.inf)), cls).data == -math.inf
