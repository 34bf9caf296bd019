"""Executors, callback groups, tasks and futures."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.task import Future
from std_msgs.msg import Int32
from support import rosless_only, wait_until


class Overlap:
    """Counts how many threads are inside at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.calls = 0

    def __enter__(self) -> None:
        with self._lock:
            self.calls += 1
            self._inside += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._inside -= 1


@pytest.fixture(params=["single", "multi"])
def executor(request, ros):
    made = SingleThreadedExecutor() if request.param == "single" else MultiThreadedExecutor(num_threads=3)
    yield made
    made.shutdown()


def test_tasks_run_with_their_arguments(executor):
    task = executor.create_task(lambda a, b: a + b, 2, b=3)
    executor.spin_until_future_complete(task, timeout_sec=20.0)
    assert task.result() == 5


def test_coroutines_run_to_their_end(executor):
    async def double(value):
        return 2 * value

    async def main():
        return await executor.create_task(double, 4) + await executor.create_task(double(5))

    task = executor.create_task(main)
    executor.spin_until_future_complete(task, timeout_sec=20.0)
    assert task.result() == 18


@rosless_only("rclpy does not wake for a future that another thread has set")
def test_a_coroutine_sleeps_until_its_future_is_set_by_another_thread(executor):
    future = Future()

    async def main():
        return await future

    task = executor.create_task(main)
    timer = threading.Timer(0.2, future.set_result, ["set"])
    timer.start()
    executor.spin_until_future_complete(task, timeout_sec=20.0)
    timer.join()
    assert task.result() == "set"


def test_awaited_exceptions_are_raised_in_the_coroutine(executor):
    future = Future()

    async def main():
        try:
            await future
        except ValueError as error:
            return str(error)

    task = executor.create_task(main)
    executor.create_task(lambda: future.set_exception(ValueError("no")))
    executor.spin_until_future_complete(task, timeout_sec=20.0)
    assert task.result() == "no"


def test_done_callbacks(executor):
    seen = []
    task = executor.create_task(lambda: 7)
    task.add_done_callback(lambda done: seen.append(done.result()))
    while not seen:
        executor.spin_once(timeout_sec=5.0)
    task.add_done_callback(lambda done: seen.append(done.result() + 1))
    while len(seen) < 2:
        executor.spin_once(timeout_sec=5.0)
    assert seen == [7, 8]


def test_a_future_without_executor_calls_back_at_once():
    seen = []
    future = Future()
    future.add_done_callback(lambda done: seen.append(done.result()))
    assert not future.done()
    future.set_result(1)
    future.add_done_callback(lambda done: seen.append(done.result()))
    assert seen == [1, 1]
    assert future.done()
    assert not future.cancelled()


def test_a_cancelled_future():
    future = Future()
    future.cancel()
    assert future.cancelled()
    assert future.result() is None


def test_spin_until_future_complete_gives_up_in_time(executor):
    start = time.monotonic()
    executor.spin_until_future_complete(Future(), timeout_sec=0.2)
    assert 0.2 <= time.monotonic() - start < 10.0


def test_spin_once_without_work_returns(executor):
    executor.spin_once(timeout_sec=0)
    start = time.monotonic()
    executor.spin_once(timeout_sec=0.1)
    assert time.monotonic() - start >= 0.09


def test_exceptions_come_out_of_spin(executor, node):
    def fail():
        raise ValueError("broken callback")

    node.create_timer(0.01, fail)
    executor.add_node(node)
    with pytest.raises(ValueError, match="broken callback"):
        executor.spin()


def test_exceptions_of_coroutines_come_out_of_spin(executor, node):
    async def fail():
        raise ValueError("broken coroutine")

    node.create_timer(0.01, fail)
    executor.add_node(node)
    with pytest.raises(ValueError, match="broken coroutine"):
        executor.spin()


def test_spinning_goes_on_after_an_exception(executor, node):
    calls = []

    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("once")

    node.create_timer(0.01, fail_once)
    executor.add_node(node)
    with pytest.raises(ValueError, match="once"):
        executor.spin()
    deadline = time.monotonic() + 20.0
    while len(calls) < 3 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert len(calls) >= 3


@rosless_only("a multi-threaded executor of rclpy may use the guard condition that its shutdown has removed")
def test_shutdown_from_a_callback_ends_spin(executor, node):
    guard = node.create_guard_condition(lambda: executor.shutdown(0))
    executor.add_node(node)
    guard.trigger()
    executor.spin()


def test_shutdown_from_another_thread_ends_spin(executor, node):
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    time.sleep(0.1)
    executor.shutdown()
    thread.join(20)
    assert not thread.is_alive()


def test_shutdown_of_the_context_wakes_a_single_threaded_executor(ros_graph):
    context = Context()
    rclpy.init(args=[], context=context)
    executor = SingleThreadedExecutor(context=context)
    ended = []

    def spin():
        # Whoever waits is told by an exception; whoever comes later just returns.
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()
        ended.append(True)

    thread = threading.Thread(target=spin)
    thread.start()
    time.sleep(0.1)
    rclpy.shutdown(context=context)
    thread.join(20)
    assert not thread.is_alive()
    assert ended == [True]


def test_shutdown_of_the_context_ends_a_multi_threaded_executor(ros_graph):
    context = Context()
    rclpy.init(args=[], context=context)
    executor = MultiThreadedExecutor(num_threads=2, context=context)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    time.sleep(0.1)
    rclpy.shutdown(context=context)
    thread.join(20)
    assert not thread.is_alive()
    executor.shutdown()


def test_an_idle_executor_uses_no_processor_time(ros, make_node):
    """A coroutine that awaits, a cancelled timer and a timer far away must not keep the loop turning."""
    node = make_node()
    used = []
    executor = SingleThreadedExecutor()
    node.create_timer(1000.0, lambda: None)
    node.create_timer(0.001, lambda: None).cancel()
    executor.add_node(node)

    def spin():
        start = time.thread_time()
        executor.spin_once(timeout_sec=1.0)
        used.append(time.thread_time() - start)

    thread = threading.Thread(target=spin)
    thread.start()
    thread.join(20)
    executor.shutdown()
    assert used[0] < 0.2


def test_nodes_belong_to_one_executor(ros, node):
    first, second = SingleThreadedExecutor(), SingleThreadedExecutor()
    assert first.add_node(node)
    assert not first.add_node(node)
    assert node.executor is first
    assert second.add_node(node)
    assert node.executor is second
    assert first.get_nodes() == []
    second.remove_node(node)
    assert second.get_nodes() == []
    first.shutdown()
    second.shutdown()


def test_entities_made_while_spinning_are_served(executor, node):
    done = Future()

    def create():
        timer.cancel()
        node.create_timer(0.01, lambda: None if done.done() else done.set_result(True))

    timer = node.create_timer(0.01, create)
    executor.add_node(node)
    executor.spin_until_future_complete(done, timeout_sec=20.0)
    assert done.done()


def test_a_busy_timer_starves_nobody(ros, node):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    calls = []
    node.create_timer(0.0, lambda: calls.append("timer"))
    guard = node.create_guard_condition(lambda: calls.append("guard"))
    guard.trigger()
    for _ in range(10):
        executor.spin_once(timeout_sec=1.0)
    executor.shutdown()
    assert "guard" in calls
    assert "timer" in calls


def test_mutually_exclusive_callbacks_never_overlap(ros, node):
    overlap = Overlap()

    def work():
        with overlap:
            time.sleep(0.01)

    group = MutuallyExclusiveCallbackGroup()
    for _ in range(4):
        node.create_timer(0.001, work, callback_group=group)
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    deadline = time.monotonic() + 20.0
    while overlap.calls < 20 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert overlap.calls >= 20
    assert overlap.most == 1


def test_callbacks_of_different_groups_overlap(ros, node):
    barrier, passed = threading.Barrier(3), []

    def meet():
        # Passes only when three callbacks wait at the same time.
        barrier.wait(20)
        passed.append(1)

    executor = MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    for _ in range(3):
        node.create_guard_condition(meet, callback_group=MutuallyExclusiveCallbackGroup()).trigger()
    deadline = time.monotonic() + 20.0
    while len(passed) < 3 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert passed == [1, 1, 1]


def test_reentrant_callbacks_overlap_with_themselves(ros, make_node, spin_until):
    node, talker = make_node(), make_node("talker")
    barrier = threading.Barrier(2)
    passed = []

    def meet(message):
        barrier.wait(20)
        passed.append(message.data)

    node.create_subscription(Int32, "count", meet, 10, callback_group=ReentrantCallbackGroup())
    publisher = talker.create_publisher(Int32, "count", 10)
    wait_until(lambda: publisher.get_subscription_count() == 1)
    executor = MultiThreadedExecutor(num_threads=2)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    publisher.publish(Int32(data=1))
    publisher.publish(Int32(data=2))
    wait_until(lambda: len(passed) == 2)
    executor.shutdown()
    thread.join(20)
    assert sorted(passed) == [1, 2]


def test_a_suspended_coroutine_holds_its_group(ros, node):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    future, order = Future(), []
    group = MutuallyExclusiveCallbackGroup()

    async def first():
        order.append("begin")
        await future
        order.append("end")

    async def second():
        order.append("second")

    begin = node.create_guard_condition(first, callback_group=group)
    other = node.create_guard_condition(second, callback_group=group)
    begin.trigger()
    executor.spin_once(timeout_sec=5.0)
    other.trigger()
    executor.spin_once(timeout_sec=0.2)
    assert order == ["begin"]
    future.set_result(None)
    deadline = time.monotonic() + 20.0
    while len(order) < 3 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert order == ["begin", "end", "second"]


@rosless_only("the shutdown of rclpy's executors returns before the callbacks that run have ended")
def test_shutdown_waits_for_running_callbacks(ros, node):
    executor = MultiThreadedExecutor(num_threads=2)
    executor.add_node(node)
    entered, finished = threading.Event(), []

    def work():
        entered.set()
        time.sleep(0.3)
        finished.append(True)

    guard = node.create_guard_condition(work)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    guard.trigger()
    assert entered.wait(20)
    assert executor.shutdown()
    thread.join(20)
    assert finished == [True]


def test_spin_once_of_a_node_leaves_it_free(node):
    calls = []
    node.create_timer(0.01, lambda: calls.append(1))
    deadline = time.monotonic() + 20.0
    while len(calls) < 3 and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    assert len(calls) >= 3


def test_executors_are_context_managers(ros, node):
    with SingleThreadedExecutor() as executor:
        executor.add_node(node)
        executor.spin_once(timeout_sec=0)
    assert executor.get_nodes() == []
