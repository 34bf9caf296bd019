"""A node's parameters."""

from __future__ import annotations

import array

import pytest
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterEvent,
    ParameterType,
    SetParametersResult,
)
from rclpy.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy.parameter import Parameter, parameter_dict_from_yaml_file, parameter_value_to_python

VALUES = [
    (True, Parameter.Type.BOOL),
    (7, Parameter.Type.INTEGER),
    (0.5, Parameter.Type.DOUBLE),
    ("text", Parameter.Type.STRING),
    ([b"\x01", b"\xff"], Parameter.Type.BYTE_ARRAY),
    ([True, False], Parameter.Type.BOOL_ARRAY),
    ([1, -2], Parameter.Type.INTEGER_ARRAY),
    ([0.5, 2.0], Parameter.Type.DOUBLE_ARRAY),
    (["a", ""], Parameter.Type.STRING_ARRAY),
]


@pytest.mark.parametrize("value, kind", VALUES)
def test_every_type(node, value, kind):
    parameter = node.declare_parameter("p", value)
    assert parameter.type_ is kind
    assert parameter.value == value
    assert node.get_parameter("p").value == value
    assert node.get_parameter_type("p") == kind.value
    assert node.describe_parameter("p").type == kind.value


@pytest.mark.parametrize("value, kind", [*VALUES, (None, Parameter.Type.NOT_SET)])
def test_parameters_travel_as_messages(value, kind):
    message = Parameter("p", value=value).to_parameter_msg()
    assert message.value.type == kind.value
    back = Parameter.from_parameter_msg(message)
    assert back.type_ is kind
    assert (list(back.value) if isinstance(value, list) else back.value) == value
    python = parameter_value_to_python(message.value)
    assert python == value


def test_types_and_values_must_agree():
    assert Parameter("p", value=array.array("q", [1, 2])).type_ is Parameter.Type.INTEGER_ARRAY
    with pytest.raises(ValueError):
        Parameter("p", Parameter.Type.INTEGER, "seven")
    with pytest.raises(ValueError):
        Parameter("p", Parameter.Type.NOT_SET, 1)
    with pytest.raises(TypeError):
        Parameter("p", value={"a": 1})
    with pytest.raises(TypeError):
        Parameter("p", value=[1, "a"])
    with pytest.raises(TypeError):
        Parameter("p", "integer", 1)


def test_declaring_twice_and_without_a_name(node):
    node.declare_parameter("p", 1)
    with pytest.raises(ParameterAlreadyDeclaredException):
        node.declare_parameter("p", 1)
    with pytest.raises(InvalidParameterException):
        node.declare_parameter("", 1)


def test_declaring_many(node):
    declared = node.declare_parameters(
        "camera", [("rate", 30.0), ("name", "front", ParameterDescriptor(description="where it looks"))]
    )
    assert [(parameter.name, parameter.value) for parameter in declared] == [
        ("camera.rate", 30.0),
        ("camera.name", "front"),
    ]
    assert node.describe_parameter("camera.name").description == "where it looks"
    with pytest.raises(TypeError):
        node.declare_parameters("", [(1, 2)])
    with pytest.raises(TypeError):
        node.declare_parameters("", [("p", 2, "descriptor")])


def test_a_type_without_a_value(node):
    node.declare_parameter("p", Parameter.Type.INTEGER)
    with pytest.raises(ParameterUninitializedException):
        node.get_parameter("p")
    assert node.get_parameter_or("p", Parameter("p", value=5)).value == 5
    assert not node.set_parameters([Parameter("p", value="text")])[0].successful
    assert node.set_parameters([Parameter("p", value=3)])[0].successful
    assert node.get_parameter("p").value == 3


def test_undeclared_parameters_are_errors(node):
    with pytest.raises(ParameterNotDeclaredException):
        node.get_parameter("p")
    with pytest.raises(ParameterNotDeclaredException):
        node.set_parameters([Parameter("p", value=1)])
    with pytest.raises(ParameterNotDeclaredException):
        node.describe_parameter("p")
    with pytest.raises(ParameterNotDeclaredException):
        node.undeclare_parameter("p")
    assert not node.has_parameter("p")
    assert node.get_parameter_or("p").type_ is Parameter.Type.NOT_SET


def test_undeclared_parameters_may_be_allowed(make_node):
    node = make_node(allow_undeclared_parameters=True)
    assert node.get_parameter("p").type_ is Parameter.Type.NOT_SET
    assert node.set_parameters([Parameter("p", value=1)])[0].successful
    assert node.get_parameter("p").value == 1
    # Of dynamic type, since nobody declared one.
    assert node.set_parameters([Parameter("p", value="text")])[0].successful
    assert node.set_parameters([Parameter("p")])[0].successful
    assert not node.has_parameter("p")


def test_undeclaring(node):
    node.declare_parameter("p", 1)
    node.undeclare_parameter("p")
    assert not node.has_parameter("p")
    node.declare_parameter("fixed", 1, ParameterDescriptor(read_only=True))
    with pytest.raises(ParameterImmutableException):
        node.undeclare_parameter("fixed")


def test_the_type_is_fixed_unless_dynamic(node):
    node.declare_parameter("fixed", 1)
    result = node.set_parameters([Parameter("fixed", value=1.0)])[0]
    assert not result.successful
    assert "type" in result.reason
    assert not node.set_parameters([Parameter("fixed")])[0].successful
    node.declare_parameter("free", 1, ParameterDescriptor(dynamic_typing=True))
    assert node.set_parameters([Parameter("free", value="text")])[0].successful
    assert node.get_parameter("free").value == "text"


def test_read_only(node):
    node.declare_parameter("p", 1, ParameterDescriptor(read_only=True))
    result = node.set_parameters([Parameter("p", value=2)])[0]
    assert not result.successful
    assert "read-only" in result.reason
    assert node.get_parameter("p").value == 1


@pytest.mark.parametrize(
    "value, good", [(0, True), (10, True), (9, True), (3, True), (4, False), (-1, False), (11, False)]
)
def test_integer_ranges(node, value, good):
    limits = IntegerRange(from_value=0, to_value=10, step=3)
    node.declare_parameter("p", 6, ParameterDescriptor(integer_range=[limits]))
    assert node.set_parameters([Parameter("p", value=value)])[0].successful is good
    assert node.get_parameter("p").value == (value if good else 6)


@pytest.mark.parametrize(
    "value, good", [(0.0, True), (1.0, True), (0.3, True), (0.35, False), (-0.1, False), (1.1, False)]
)
def test_floating_point_ranges(node, value, good):
    limits = FloatingPointRange(from_value=0.0, to_value=1.0, step=0.1)
    node.declare_parameter("p", 0.5, ParameterDescriptor(floating_point_range=[limits]))
    assert node.set_parameters([Parameter("p", value=value)])[0].successful is good


def test_ranges_without_a_step(node):
    limits = FloatingPointRange(from_value=0.0, to_value=1.0)
    node.declare_parameter("p", 0.5, ParameterDescriptor(floating_point_range=[limits]))
    assert node.set_parameters([Parameter("p", value=0.123456)])[0].successful
    with pytest.raises(InvalidParameterValueException):
        node.declare_parameter("q", 2.0, ParameterDescriptor(floating_point_range=[limits]))
    assert not node.has_parameter("q")


def test_overrides(make_node):
    overrides = [Parameter("p", value=5), Parameter("wrong", value="text"), Parameter("extra", value=1)]
    node = make_node(parameter_overrides=overrides)
    assert node.declare_parameter("p", 1).value == 5
    assert node.declare_parameter("other", 1).value == 1
    assert not node.has_parameter("extra")
    with pytest.raises(InvalidParameterTypeException):
        node.declare_parameter("wrong", 1)
    assert node.declare_parameter("wrong", 1, ignore_override=True).value == 1


def test_overrides_may_declare(make_node):
    node = make_node(
        parameter_overrides=[Parameter("a.b", value=[1, 2])],
        automatically_declare_parameters_from_overrides=True,
    )
    assert node.get_parameter("a.b").value == [1, 2]


def test_overrides_from_arguments(make_node, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(
        """
        /**:
          ros__parameters:
            everywhere: 1
        /far/other:
          ros__parameters:
            here: true
            camera: {rate: 30.0, names: [left, right]}
        /far/*:
          ros__parameters:
            near: 2.5
        /elsewhere:
          ros__parameters:
            never: 1
        """
    )
    args = ["--ros-args", "-r", "__node:=other", "-r", "__ns:=/far", "--params-file", str(file)]
    args += ["-p", "text:=hello world", "-p", "number:=1e3", "-p", "quoted:='12'", "-p", "third:two:=2"]
    node = make_node(cli_args=args, automatically_declare_parameters_from_overrides=True)
    values = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    del values["use_sim_time"]
    values.pop("start_type_description_service", None)
    assert values == {
        "everywhere": 1,
        "here": True,
        "camera.rate": 30.0,
        "camera.names": ["left", "right"],
        "near": 2.5,
        "text": "hello world",
        "number": 1000.0,
        "quoted": "12",
    }


def test_overrides_for_one_node(make_node):
    args = ["--ros-args", "-p", "first:p:=1", "-p", "second:p:=2"]
    assert make_node("first", cli_args=args).declare_parameter("p", 0).value == 1
    assert make_node("second", cli_args=args).declare_parameter("p", 0).value == 2
    assert make_node("third", cli_args=args).declare_parameter("p", 0).value == 0


def test_setting_atomically(node):
    node.declare_parameter("a", 1)
    node.declare_parameter("b", 1, ParameterDescriptor(read_only=True))
    result = node.set_parameters_atomically([Parameter("a", value=2), Parameter("b", value=2)])
    assert not result.successful
    assert node.get_parameter("a").value == 1
    first, second = node.set_parameters([Parameter("a", value=2), Parameter("b", value=2)])
    assert first.successful
    assert not second.successful
    assert node.get_parameter("a").value == 2


def test_on_set_callbacks_may_refuse(node):
    node.declare_parameter("p", 1)

    def even_only(parameters):
        odd = [parameter.name for parameter in parameters if parameter.name == "p" and parameter.value % 2]
        return SetParametersResult(successful=not odd, reason="odd" if odd else "")

    node.add_on_set_parameters_callback(even_only)
    assert node.set_parameters([Parameter("p", value=3)])[0].reason == "odd"
    assert node.set_parameters([Parameter("p", value=4)])[0].successful
    node.remove_on_set_parameters_callback(even_only)
    assert node.set_parameters([Parameter("p", value=5)])[0].successful
    with pytest.raises(ValueError):
        node.remove_on_set_parameters_callback(even_only)


def test_on_set_callbacks_see_declarations(node):
    refuse = SetParametersResult(successful=False, reason="never")
    node.add_on_set_parameters_callback(lambda parameters: refuse)
    with pytest.raises(InvalidParameterValueException, match="never"):
        node.declare_parameter("p", 1)
    assert not node.has_parameter("p")


def test_the_order_of_callbacks(node):
    node.declare_parameter("p", 1)
    calls = []

    def pre(parameters):
        calls.append(("pre", parameters[0].value))
        return [Parameter("p", value=parameters[0].value * 10)]

    def on_set(parameters):
        calls.append(("on", parameters[0].value, node.get_parameter("p").value))
        return SetParametersResult(successful=True)

    def post(parameters):
        calls.append(("post", parameters[0].value, node.get_parameter("p").value))

    node.add_pre_set_parameters_callback(pre)
    node.add_on_set_parameters_callback(on_set)
    node.add_post_set_parameters_callback(post)
    assert node.set_parameters([Parameter("p", value=2)])[0].successful
    assert calls == [("pre", 2), ("on", 20, 1), ("post", 20, 20)]


def test_a_pre_set_callback_that_leaves_nothing(node):
    node.declare_parameter("p", 1)
    node.add_pre_set_parameters_callback(lambda parameters: [])
    result = node.set_parameters([Parameter("p", value=2)])[0]
    assert not result.successful
    assert "empty" in result.reason


def test_listing(node):
    for name in ("top", "a.x", "a.y", "a.b.z"):
        node.declare_parameter(name, 1)
    everything = node.list_parameters([], 0)
    assert {"top", "a.x", "a.y", "a.b.z"} <= set(everything.names)
    assert set(everything.prefixes) >= {"a", "a.b"}
    assert set(node.list_parameters(["a"], 0).names) == {"a.x", "a.y", "a.b.z"}
    assert set(node.list_parameters(["a"], 1).names) == {"a.x", "a.y"}
    assert list(node.list_parameters(["top"], 1).names) == ["top"]
    assert "a.x" not in node.list_parameters([], 1).names
    with pytest.raises(TypeError):
        node.list_parameters("a", 0)
    with pytest.raises(ValueError):
        node.list_parameters([], -1)
    assert set(node.get_parameters_by_prefix("a")) == {"x", "y", "b.z"}


def test_a_new_descriptor(node):
    node.declare_parameter("p", 5)
    limits = ParameterDescriptor(type=ParameterType.PARAMETER_INTEGER)
    limits.integer_range = [IntegerRange(from_value=0, to_value=3)]
    with pytest.raises(InvalidParameterValueException):
        node.set_descriptor("p", limits)
    assert node.get_parameter("p").value == 5
    alternative = Parameter("p", value=2).get_parameter_value()
    assert node.set_descriptor("p", limits, alternative).integer_value == 2
    assert node.get_parameter("p").value == 2
    assert not node.set_parameters([Parameter("p", value=4)])[0].successful


def test_events(make_node, spin_until):
    watcher, node = make_node("watcher"), make_node("owner", namespace="/ns")
    events = []
    watcher.create_subscription(ParameterEvent, "/parameter_events", events.append, 100)
    spin_until(lambda: watcher.count_subscribers("/parameter_events") >= 1, watcher)
    node.declare_parameter("p", 1, ParameterDescriptor(dynamic_typing=True))
    node.set_parameters([Parameter("p", value=2)])
    node.set_parameters([Parameter("p")])

    def mine() -> list:
        return [event for event in events if event.node == "/ns/owner"]

    spin_until(lambda: len(mine()) >= 3, watcher)
    new, changed, deleted = mine()[-3:]
    assert [(item.name, item.value.integer_value) for item in new.new_parameters] == [("p", 1)]
    assert [(item.name, item.value.integer_value) for item in changed.changed_parameters] == [("p", 2)]
    assert [item.name for item in deleted.deleted_parameters] == ["p"]


def test_reading_a_parameter_file(tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(
        "/**:\n  ros__parameters: {a: 1, b: 1}\n/node:\n  ros__parameters: {b: 2, c: {d: [x, y]}}\n"
    )
    parameters = parameter_dict_from_yaml_file(str(file), use_wildcard=True, target_nodes=["/node"])
    values = {name: parameter_value_to_python(parameter.value) for name, parameter in parameters.items()}
    assert values == {"a": 1, "b": 2, "c.d": ["x", "y"]}
    with pytest.raises(RuntimeError):
        parameter_dict_from_yaml_file(str(file), target_nodes=["/other"])
