"""Parameters of other nodes."""

from __future__ import annotations

import pytest
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.parameter_event_handler import ParameterEventHandler


@pytest.fixture
def remote(make_node):
    node = make_node("remote", namespace="/ns")
    limits = [IntegerRange(from_value=0, to_value=10)]
    node.declare_parameter("count", 1, ParameterDescriptor(description="how many", integer_range=limits))
    node.declare_parameter("camera.name", "front")
    node.declare_parameter("weights", [0.5, 1.5])
    node.declare_parameter("free", 1, ParameterDescriptor(dynamic_typing=True))
    return node


@pytest.fixture
def ask(make_node, remote, spin_until):
    """`ask(lambda client: client.get_parameters(...))` gives the response."""
    node = make_node("asker")
    client = AsyncParameterClient(node, "/ns/remote")
    spin_until(client.services_are_ready, node, remote)

    def ask_(question):
        future = question(client)
        spin_until(future.done, node, remote)
        return future.result()

    return ask_


def test_getting(ask):
    response = ask(lambda client: client.get_parameters(["count", "camera.name", "weights"]))
    assert [parameter_value_to_python(value) for value in response.values] == [1, "front", [0.5, 1.5]]
    assert len(ask(lambda client: client.get_parameters(["count", "nothing"])).values) == 0


def test_setting(ask, remote):
    parameters = [Parameter("count", value=5), Parameter("count", value=50), Parameter("nothing", value=1)]
    results = ask(lambda client: client.set_parameters(parameters)).results
    assert [result.successful for result in results] == [True, False, False]
    assert "range" in results[1].reason
    assert results[2].reason
    assert remote.get_parameter("count").value == 5


def test_setting_atomically(ask, remote):
    both = [Parameter("count", value=7), Parameter("camera.name", value=3)]
    assert not ask(lambda client: client.set_parameters_atomically(both)).result.successful
    assert remote.get_parameter("count").value == 1
    both = [Parameter("count", value=7), Parameter("camera.name", value="rear")]
    assert ask(lambda client: client.set_parameters_atomically(both)).result.successful
    assert remote.get_parameter("camera.name").value == "rear"


def test_listing(ask):
    result = ask(lambda client: client.list_parameters()).result
    assert {"count", "camera.name", "weights", "use_sim_time"} <= set(result.names)
    assert "camera" in result.prefixes
    assert list(ask(lambda client: client.list_parameters(["camera"], 10)).result.names) == ["camera.name"]


def test_describing(ask):
    [descriptor] = ask(lambda client: client.describe_parameters(["count"])).descriptors
    assert descriptor.name == "count"
    assert descriptor.description == "how many"
    assert descriptor.type == Parameter.Type.INTEGER.value
    assert descriptor.integer_range[0].to_value == 10


def test_types(ask):
    response = ask(lambda client: client.get_parameter_types(["count", "weights"]))
    assert list(response.types) == [Parameter.Type.INTEGER.value, Parameter.Type.DOUBLE_ARRAY.value]


def test_deleting(ask, remote):
    results = ask(lambda client: client.delete_parameters(["free", "count"])).results
    assert [result.successful for result in results] == [True, False]
    assert not remote.has_parameter("free")


def test_loading_a_file(ask, remote, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text("/ns/remote:\n  ros__parameters:\n    count: 9\n    camera: {name: left}\n")
    results = ask(lambda client: client.load_parameter_file(str(file))).results
    assert all(result.successful for result in results)
    assert remote.get_parameter("count").value == 9
    assert remote.get_parameter("camera.name").value == "left"


def test_a_node_without_the_services(make_node):
    make_node("quiet", start_parameter_services=False)
    client = AsyncParameterClient(make_node("asker"), "quiet")
    assert not client.wait_for_services(timeout_sec=0.3)


def test_watching_a_parameter(make_node, remote, spin_until):
    node = make_node("watcher", namespace="/ns")
    handler = ParameterEventHandler(node)
    changes, events = [], []
    handle = handler.add_parameter_callback(
        "count", "remote", lambda parameter: changes.append(parameter_value_to_python(parameter.value))
    )
    handler.add_parameter_event_callback(events.append)
    spin_until(lambda: node.count_subscribers("/parameter_events") >= 1, node)
    remote.set_parameters([Parameter("camera.name", value="x"), Parameter("count", value=4)])
    spin_until(lambda: changes, node)
    assert changes == [4]
    assert len(events) >= 2
    handler.remove_parameter_callback(handle)
    with pytest.raises(RuntimeError):
        handler.remove_parameter_callback(handle)
    handler.destroy()
