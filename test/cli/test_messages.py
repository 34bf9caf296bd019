"""Messages to plain values and back, and parameter values, without a graph."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qeil_ros.cli import messages
from qeil_ros.cli.bag.storage import type_hash
from qeil_ros.cli.errors import CliError
from qeil_ros.cli.param_values import from_python, from_yaml, nested, pairs_for, to_python
from qeil_ros.cli.ros import absolute, hidden, load_interface
from qeil_ros.nodes.message_text import definition_text


@pytest.mark.parametrize(
    "name",
    [
        "std_msgs/msg/String",
        "sensor_msgs/msg/Imu",
        "sensor_msgs/msg/PointCloud2",
        "diagnostic_msgs/msg/DiagnosticArray",
    ],
)
def test_plain_values_round_trip(name: str) -> None:
    cls = load_interface(name)
    message = cls()
    again = messages.fill(cls(), messages.to_plain(message))
    assert again == message


def test_fill_nested_and_arrays() -> None:
    array = load_interface("diagnostic_msgs/msg/DiagnosticArray")()
    status = {"level": 2, "name": "camera", "values": [{"key": "k", "value": "v"}]}
    messages.fill(array, {"header": {"stamp": {"sec": 3}, "frame_id": "f"}, "status": [status]})
    assert array.header.stamp.sec == 3
    assert array.status[0].level == b"\x02"
    assert array.status[0].values[0].value == "v"
    assert messages.to_plain(array)["status"][0]["level"] == 2


def test_numbers_are_made_to_fit() -> None:
    imu = messages.fill(
        load_interface("sensor_msgs/msg/Imu")(),
        {"linear_acceleration": {"x": 1}, "orientation_covariance": list(range(9))},
    )
    assert imu.linear_acceleration.x == 1.0
    assert list(imu.orientation_covariance) == [float(i) for i in range(9)]


def test_now_and_auto() -> None:
    now = load_interface("builtin_interfaces/msg/Time")(sec=5, nanosec=6)
    joint = messages.fill(load_interface("sensor_msgs/msg/JointState")(), {"header": "auto"}, now)
    assert (joint.header.stamp.sec, joint.header.stamp.nanosec) == (5, 6)
    header = messages.fill(load_interface("std_msgs/msg/Header")(), {"stamp": "now"}, now)
    assert header.stamp == now


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("std_msgs/msg/String", {"dta": 1}, "no field 'dta' in std_msgs/msg/String, which has: data"),
        ("std_msgs/msg/String", {"data": 1}, "field 'data' of std_msgs/msg/String cannot be 1"),
        ("std_msgs/msg/UInt8", {"data": 300}, "cannot be 300"),
        ("std_msgs/msg/Header", {"stamp": 3}, "a mapping is needed"),
        ("diagnostic_msgs/msg/DiagnosticArray", {"status": {"a": 1}}, "a list is needed"),
    ],
)
def test_values_that_do_not_fit(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(CliError, match=message):
        messages.fill(load_interface(name)(), values)


def test_cutting_and_hiding() -> None:
    image = load_interface("sensor_msgs/msg/Image")(encoding="rgb8", data=bytes(range(200)))
    plain = messages.to_plain(image, max_length=3)
    assert plain["data"] == [0, 1, 2, "..."]
    assert plain["encoding"] == "rgb..."
    hidden_parts = messages.to_plain(image, no_arrays=True, no_strings=True)
    assert hidden_parts["data"] == "<array type: uint8[200]>"
    assert hidden_parts["encoding"] == "<string length: <4>>"
    assert messages.to_plain(image)["data"] == list(range(200))


def test_select() -> None:
    joint = load_interface("sensor_msgs/msg/JointState")(name=["a", "b"], position=[1.0, math.pi])
    joint.header.frame_id = "base"
    assert messages.select(joint, "header.frame_id")[0] == "base"
    assert messages.select(joint, "position[1]")[0] == math.pi
    for path in ("header.nope", "position[5]", "nope", "header.frame_id.x"):
        with pytest.raises(CliError):
            messages.select(joint, path)


@pytest.mark.parametrize("text", ["[1]", "3", "{a: ", "text"])
def test_values_must_be_a_mapping(text: str) -> None:
    with pytest.raises(CliError):
        messages.parse_values(text)


@pytest.mark.parametrize(
    "name", ["nope", "a/b/c/d", "std_msgs/msg/Nope", "nope_msgs/msg/X", "std_msgs/action/X"]
)
def test_unknown_interfaces(name: str) -> None:
    with pytest.raises(CliError):
        load_interface(name)


def test_names() -> None:
    assert absolute("a/b") == "/a/b"
    assert absolute("/a") == "/a"
    assert hidden("/a/_b") and not hidden("/a/b_")
    with pytest.raises(CliError):
        absolute("a b")


@pytest.mark.parametrize(
    "name",
    [
        "std_msgs/msg/Header",
        "sensor_msgs/msg/Image",
        "sensor_msgs/msg/CameraInfo",
        "diagnostic_msgs/msg/DiagnosticArray",
        "std_msgs/msg/Char",
        "rcl_interfaces/msg/ParameterEvent",
        "qeil_ros/msg/InferenceResult",
    ],
)
def test_recorded_definitions_have_the_hash_of_the_type(name: str) -> None:
    """The text that goes into a recording is enough for a reader to find the type's own hash again."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    cls = load_interface(name)
    text = definition_text(cls)
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(text, name))
    assert store.hash_rihs01(name) == type_hash(cls, text)


@pytest.mark.parametrize("value", [True, 3, 2.5, "text", [True, False], [1, 2], [1.5], ["a"]])
def test_parameter_values_round_trip(value: Any) -> None:
    again = to_python(from_python(value))
    assert again == value and type(again) is type(value)


def test_parameter_values_from_the_command_line() -> None:
    assert to_python(from_yaml("4")) == 4
    assert to_python(from_yaml("'4'")) == "4"
    assert to_python(from_yaml("hello: x: y")) == "hello: x: y"
    assert to_python(from_yaml("[1, 2.5]")) == [1.0, 2.5]
    assert to_python(from_yaml("")) == ""
    with pytest.raises(CliError):
        from_yaml("[1, a]")


def test_parameter_files() -> None:
    document = {
        "/**": {"ros__parameters": {"a": 1, "deep": {"er": 2}}},
        "/robot/encoder": {"ros__parameters": {"a": 3}},
        "/robot/*": {"ros__parameters": {"b": "x"}},
        "/other": {"ros__parameters": {"a": 9}},
    }
    found = pairs_for(document, "/robot/encoder", wildcards=True, file="f")
    assert {name: to_python(value) for name, value in found.items()} == {"a": 3, "deep.er": 2, "b": "x"}
    assert list(pairs_for(document, "/robot/encoder", wildcards=False, file="f")) == ["a"]
    assert nested({"deep.er": 2, "a": 1}) == {"a": 1, "deep": {"er": 2}}
    for broken in (3, {"/a": 1}, {"/a": {"x": 1}}):
        with pytest.raises(CliError, match="not a parameter file"):
            pairs_for(broken, "/a", wildcards=True, file="f")
