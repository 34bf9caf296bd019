"""Services and clients."""

from __future__ import annotations

import threading
import time

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger


def answer(text: str):
    def callback(request, response):
        response.success = True
        response.message = text
        return response

    return callback


@pytest.fixture
def spinning(ros):
    """Starts executors in threads, and stops them."""
    running = []

    def start(executor, *nodes):
        for node in nodes:
            executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        running.append((executor, thread))
        return executor

    yield start
    for executor, thread in running:
        executor.shutdown()
        thread.join(20)
        assert not thread.is_alive()


def test_an_answer_comes_back(make_node, spin_until):
    server, caller = make_node("server"), make_node("caller")
    requests = []

    def callback(request, response):
        requests.append(request.data)
        response.success = request.data
        response.message = f"set to {request.data}"
        return response

    server.create_service(SetBool, "set", callback)
    client = caller.create_client(SetBool, "set")
    assert client.wait_for_service(timeout_sec=20.0)
    futures = [client.call_async(SetBool.Request(data=value)) for value in (True, False, True)]
    spin_until(lambda: all(future.done() for future in futures), server, caller)
    assert requests == [True, False, True]
    assert [future.result().message for future in futures] == ["set to True", "set to False", "set to True"]


def test_spin_until_future_complete(node):
    node.create_service(Trigger, "go", answer("gone"))
    client = node.create_client(Trigger, "go")
    assert client.wait_for_service(timeout_sec=20.0)
    future = client.call_async(Trigger.Request())
    rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)
    assert future.result().message == "gone"


def test_waiting_for_a_service_that_is_not_there(node):
    client = node.create_client(Trigger, "nowhere")
    assert not client.service_is_ready()
    assert not client.wait_for_service(timeout_sec=0.2)


def test_a_service_that_goes_is_not_ready(make_node, spin_until):
    server, caller = make_node("server"), make_node("caller")
    service = server.create_service(Trigger, "go", answer(""))
    client = caller.create_client(Trigger, "go")
    assert client.wait_for_service(timeout_sec=20.0)
    server.destroy_service(service)
    spin_until(lambda: not client.service_is_ready(), server, caller)


def test_blocking_calls_from_another_thread(make_node, spinning):
    server, caller = make_node("server"), make_node("caller")
    server.create_service(Trigger, "go", answer("gone"))
    client = caller.create_client(Trigger, "go")
    spinning(SingleThreadedExecutor(), server, caller)
    assert client.wait_for_service(timeout_sec=20.0)
    for _ in range(20):
        assert client.call(Trigger.Request(), timeout_sec=20.0).message == "gone"


def test_wrong_requests_and_responses_are_refused(make_node):
    node = make_node()
    client = node.create_client(Trigger, "go")
    with pytest.raises(TypeError):
        client.call_async(SetBool.Request())
    node.create_service(Trigger, "bad", lambda request, response: "text")
    bad = node.create_client(Trigger, "bad")
    assert bad.wait_for_service(timeout_sec=20.0)
    future = bad.call_async(Trigger.Request())
    with pytest.raises(TypeError):
        rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)


def test_a_service_callback_may_be_a_coroutine(node):
    ready = Future()

    async def callback(request, response):
        response.message = await ready
        return response

    node.create_service(Trigger, "later", callback)
    client = node.create_client(Trigger, "later")
    assert client.wait_for_service(timeout_sec=20.0)
    future = client.call_async(Trigger.Request())
    timer = node.create_timer(
        0.1, lambda: ready.set_result("now"), callback_group=MutuallyExclusiveCallbackGroup()
    )
    rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)
    timer.cancel()
    assert future.result().message == "now"


def test_a_coroutine_callback_awaits_another_service(make_node):
    node = make_node()
    group = ReentrantCallbackGroup()
    node.create_service(Trigger, "inner", answer("inner"), callback_group=group)
    inner = node.create_client(Trigger, "inner", callback_group=group)

    async def outer(request, response):
        result = await inner.call_async(Trigger.Request())
        response.message = f"outer of {result.message}"
        return response

    node.create_service(Trigger, "outer", outer, callback_group=group)
    client = node.create_client(Trigger, "outer", callback_group=group)
    assert client.wait_for_service(timeout_sec=20.0)
    assert inner.wait_for_service(timeout_sec=20.0)
    future = client.call_async(Trigger.Request())
    rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)
    assert future.result().message == "outer of inner"


def test_a_callback_calls_a_service_and_blocks(make_node, spinning):
    """The client is in a group of its own, so that the answer can be taken while the callback waits."""
    server, caller = make_node("server"), make_node("caller")
    server.create_service(Trigger, "inner", answer("inner"))
    inner = caller.create_client(Trigger, "inner", callback_group=MutuallyExclusiveCallbackGroup())

    def outer(request, response):
        response.message = f"outer of {inner.call(Trigger.Request(), timeout_sec=20.0).message}"
        return response

    caller.create_service(Trigger, "outer", outer)
    client = server.create_client(Trigger, "outer", callback_group=ReentrantCallbackGroup())
    spinning(MultiThreadedExecutor(num_threads=4), server, caller)
    assert client.wait_for_service(timeout_sec=20.0)
    assert inner.wait_for_service(timeout_sec=20.0)
    assert client.call(Trigger.Request(), timeout_sec=20.0).message == "outer of inner"


def test_a_call_without_an_answer_times_out(make_node, spinning):
    server, caller = make_node("server"), make_node("caller")
    never = Future()

    async def callback(request, response):
        await never
        return response

    server.create_service(Trigger, "never", callback)
    client = caller.create_client(Trigger, "never")
    spinning(SingleThreadedExecutor(), server, caller)
    assert client.wait_for_service(timeout_sec=20.0)
    assert client.call(Trigger.Request(), timeout_sec=0.2) is None
    assert client.call(Trigger.Request(), timeout_sec=0.0) is None


def test_two_servers_of_different_types_do_not_mix(make_node, spin_until):
    node = make_node()
    node.create_service(Trigger, "go", answer("trigger"))
    other = node.create_client(SetBool, "go")
    right = node.create_client(Trigger, "go")
    assert right.wait_for_service(timeout_sec=20.0)
    assert not other.service_is_ready()


def test_done_callbacks_of_a_call_run_in_the_executor(node):
    node.create_service(Trigger, "go", answer("gone"))
    client = node.create_client(Trigger, "go")
    assert client.wait_for_service(timeout_sec=20.0)
    seen = []
    future = client.call_async(Trigger.Request())
    future.add_done_callback(lambda done: seen.append((done.result().message, threading.get_ident())))
    rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)
    deadline = time.monotonic() + 20.0
    while not seen and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    assert seen == [("gone", threading.get_ident())]


def test_names_are_remapped(make_node):
    node = make_node(namespace="/ns", cli_args=["--ros-args", "-r", "go:=/elsewhere"])
    assert node.create_service(Trigger, "go", answer("")).service_name == "/elsewhere"
    client = node.create_client(Trigger, "go")
    assert client.service_name == "/elsewhere"
    assert client.srv_name == "go"
