"""What comes from the network and is not what it should be is counted and dropped; the node goes on."""

from __future__ import annotations

import pytest

from qeil_ros.rosless.finder import installed

if not installed():
    pytest.skip("a real rclpy is installed; this is about ours", allow_module_level=True)

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool
from support import wait_until


@pytest.fixture
def node(ros_graph):
    rclpy.init(args=[])
    made = Node("node")
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture
def executor(node):
    with SingleThreadedExecutor() as made:
        made.add_node(node)
        yield made


MALFORMED = [b"", b"\x00", b"\x00\x01\x00\x00", b"\x00\x01\x00\x00\xff\xff\xff\x7fabc", b"\xff" * 64]


@pytest.mark.parametrize("payload", MALFORMED)
def test_malformed_messages(node, executor, payload, capfd):
    received = []
    subscription = node.create_subscription(String, "chatter", received.append, 10)
    publisher = node.create_publisher(String, "chatter", 10)
    wait_until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(payload)
    publisher.publish(String(data="good"))
    while not received:
        executor.spin_once(timeout_sec=5.0)
    assert [message.data for message in received] == ["good"]
    assert subscription.malformed_count == 1
    assert "dropped a message on '/chatter'" in capfd.readouterr().err


@pytest.mark.parametrize("payload", MALFORMED)
def test_malformed_requests(node, executor, payload):
    requests = []

    def callback(request, response):
        requests.append(request)
        return response

    service = node.create_service(SetBool, "set", callback)
    client = node.create_client(SetBool, "set")
    assert client.wait_for_service(timeout_sec=20.0)
    client._handle.call(payload)
    future = client.call_async(SetBool.Request(data=True))
    executor.spin_until_future_complete(future, timeout_sec=20.0)
    assert future.done()
    assert len(requests) == 1
    assert service.malformed_count == 1


def test_a_malformed_response_fails_the_call(node, executor):
    client = node.create_client(SetBool, "set")
    service = node.create_service(SetBool, "set", lambda request, response: response)
    service._handle_request = lambda request: request.reply(b"\x00\x01\x00\x00")
    assert client.wait_for_service(timeout_sec=20.0)
    future = client.call_async(SetBool.Request())
    executor.spin_until_future_complete(future, timeout_sec=20.0)
    with pytest.raises(RuntimeError, match="is no response"):
        future.result()


def test_a_call_that_nobody_answers_fails(node, executor):
    client = node.create_client(SetBool, "nowhere")
    future = client.call_async(SetBool.Request())
    executor.spin_until_future_complete(future, timeout_sec=20.0)
    with pytest.raises(RuntimeError, match="did not answer"):
        future.result()


def test_a_callback_that_raises_fails_the_call(node, executor):
    def callback(request, response):
        raise ValueError("broken")

    node.create_service(SetBool, "set", callback)
    client = node.create_client(SetBool, "set")
    assert client.wait_for_service(timeout_sec=20.0)
    future = client.call_async(SetBool.Request())
    with pytest.raises(ValueError, match="broken"):
        executor.spin_until_future_complete(future, timeout_sec=20.0)
    executor.spin_until_future_complete(future, timeout_sec=20.0)
    assert isinstance(future.exception(), RuntimeError)


def test_parameters_of_an_unknown_type_are_refused(node, executor):
    from rcl_interfaces.msg import Parameter
    from rcl_interfaces.srv import SetParameters

    client = node.create_client(SetParameters, "/node/set_parameters")
    assert client.wait_for_service(timeout_sec=20.0)
    parameter = Parameter(name="use_sim_time")
    parameter.value.type = 200
    future = client.call_async(SetParameters.Request(parameters=[parameter]))
    executor.spin_until_future_complete(future, timeout_sec=20.0)
    [result] = future.result().results
    assert not result.successful
    assert "200" in result.reason
