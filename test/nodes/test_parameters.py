from __future__ import annotations

from dataclasses import dataclass

import pytest
import rclpy
from rclpy.parameter import Parameter

from qeil_ros.nodes.parameters import NodeParameters, ParameterError, declare, parameter


@dataclass
class Example(NodeParameters):
    rate_hz: float = parameter(10.0, "a rate", low=0.0, high=100.0)
    bits: int = parameter(4, "some bits", low=1, high=8)
    mode: str = parameter("auto", "a choice", choices=("auto", "raw"))
    names: list[str] = parameter(["a"], "some names")  # noqa: RUF009 makes a field with a factory
    fixed: int = parameter(1, "cannot change", read_only="the reason")
    low: int = parameter(0, "below high")
    high: int = parameter(10, "above low", low=0)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


@pytest.fixture
def make_node(ros_graph):
    rclpy.init(args=[])
    nodes = []

    def make(**overrides):
        node = rclpy.create_node(
            "example", parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()]
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()


def set_one(node, name, value):
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result


def test_values_come_from_defaults_and_from_outside(make_node):
    params = declare(make_node(rate_hz=2.5, names=["x", "y"]), Example)
    assert params == Example(rate_hz=2.5, names=["x", "y"])
    assert params.autostart is True


def test_descriptions_and_ranges_are_declared(make_node):
    node = make_node()
    declare(node, Example)
    rate, bits, mode, fixed = node.describe_parameters(["rate_hz", "bits", "mode", "fixed"])
    assert rate.description == "a rate"
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (0.0, 100.0)
    assert (bits.integer_range[0].from_value, bits.integer_range[0].to_value) == (1, 8)
    assert mode.additional_constraints == "one of 'auto', 'raw'"
    assert fixed.read_only and "the reason" in fixed.additional_constraints


def test_a_change_is_seen_at_once(make_node):
    node = make_node()
    changes = []
    params = declare(node, Example, on_change=changes.append)
    assert set_one(node, "rate_hz", 3.0).successful
    assert set_one(node, "names", ["p", "q"]).successful
    assert (params.rate_hz, params.names) == (3.0, ["p", "q"])
    assert set_one(node, "rate_hz", 3.0).successful
    assert changes == [{"rate_hz"}, {"names"}], "nothing changed the third time"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rate_hz", 101.0, ""),
        ("rate_hz", -0.1, ""),
        ("bits", 9, ""),
        ("fixed", 2, ""),
        ("mode", "other", "mode: 'other' is none of 'auto', 'raw'"),
        ("high", -1, ""),
        ("low", 11, "low 11 is above high 10"),
        ("rate_hz", float("nan"), ""),
    ],
)
def test_a_bad_value_is_refused_with_a_reason_and_changes_nothing(make_node, name, value, reason):
    node = make_node()
    params = declare(node, Example)
    result = set_one(node, name, value)
    assert not result.successful
    assert reason in result.reason and result.reason
    assert params == Example()
    assert node.get_parameter(name).value == getattr(Example(), name)


def test_values_that_go_together_are_changed_together(make_node):
    node = make_node()
    params = declare(node, Example)
    both = [Parameter("low", value=50), Parameter("high", value=60)]
    assert node.set_parameters_atomically(both).successful
    assert (params.low, params.high) == (50, 60)
    refused = node.set_parameters_atomically([Parameter("low", value=70), Parameter("rate_hz", value=1.0)])
    assert not refused.successful
    assert (params.low, params.rate_hz) == (50, 10.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"rate_hz": 1000.0}, "parameter rate_hz"),
        ({"rate_hz": "fast"}, "parameter rate_hz"),
        ({"mode": "other"}, "parameter mode: 'other' is none of"),
        ({"low": 11}, "low 11 is above high 10"),
    ],
)
def test_a_node_cannot_start_with_a_bad_value(make_node, override, message):
    with pytest.raises(ParameterError, match=message):
        declare(make_node(**override), Example)


def test_other_peoples_parameters_are_left_alone(make_node):
    node = make_node()
    declare(node, Example)
    node.declare_parameter("other", 1)
    assert set_one(node, "other", 2).successful
