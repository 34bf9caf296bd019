"""Timers, rates and guard conditions."""

from __future__ import annotations

import threading
import time

import pytest
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import SingleThreadedExecutor


def test_a_timer_fires_again_and_again(node, spin_until):
    calls = []
    start = time.monotonic()
    node.create_timer(0.02, lambda: calls.append(time.monotonic() - start))
    spin_until(lambda: len(calls) >= 5, node)
    # Never early: the nth call is due after n periods.
    for index, elapsed_s in enumerate(calls, start=1):
        assert elapsed_s >= index * 0.02 - 0.005


def test_missed_calls_are_skipped(node, spin_until):
    calls = []

    def slow():
        calls.append(time.monotonic())
        if len(calls) == 1:
            time.sleep(0.5)

    node.create_timer(0.1, slow)
    spin_until(lambda: len(calls) >= 4, node)
    # Five periods passed in the first call. Were they made up for, these would follow one another at once.
    assert calls[3] - calls[1] > 0.1


def test_cancel_and_reset(node, spin_until):
    calls, ticks = [], []
    timer = node.create_timer(0.02, lambda: calls.append(1))
    node.create_timer(0.02, lambda: ticks.append(1))
    spin_until(lambda: calls, node)
    timer.cancel()
    assert timer.is_canceled()
    assert timer.time_until_next_call() is None
    before = len(calls)
    del ticks[:]
    spin_until(lambda: len(ticks) >= 5, node)
    assert len(calls) == before
    timer.reset()
    assert not timer.is_canceled()
    spin_until(lambda: len(calls) > before, node)


def test_a_timer_may_cancel_itself(node, spin_until):
    calls, ticks = [], []

    def once():
        calls.append(1)
        timer.cancel()

    timer = node.create_timer(0.01, once)
    node.create_timer(0.02, lambda: ticks.append(1))
    spin_until(lambda: len(ticks) >= 5, node)
    assert calls == [1]


def test_what_a_timer_tells(node, spin_until):
    timer = node.create_timer(100.0, lambda: None)
    assert timer.timer_period_ns == 100 * 10**9
    assert 0 < timer.time_until_next_call() <= 100 * 10**9
    assert 0 <= timer.time_since_last_call() < 100 * 10**9
    assert not timer.is_ready()
    timer.timer_period_ns = 10**7
    assert timer.timer_period_ns == 10**7


def test_a_reset_wakes_a_waiting_executor(ros, node):
    calls = []
    timer = node.create_timer(0.05, lambda: calls.append(1))
    timer.cancel()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    starter = threading.Timer(0.2, timer.reset)
    starter.start()
    start = time.monotonic()
    while not calls and time.monotonic() - start < 20.0:
        executor.spin_once(timeout_sec=20.0)
    starter.join()
    executor.shutdown()
    assert calls


@pytest.mark.parametrize("clock_type", [ClockType.STEADY_TIME, ClockType.SYSTEM_TIME, ClockType.ROS_TIME])
def test_timers_of_every_clock(node, spin_until, clock_type):
    calls = []
    timer = node.create_timer(0.01, lambda: calls.append(1), clock=Clock(clock_type=clock_type))
    assert timer.clock.clock_type == clock_type
    spin_until(lambda: len(calls) >= 2, node)


def test_a_destroyed_timer_is_silent(node, spin_until):
    calls, ticks = [], []
    timer = node.create_timer(0.01, lambda: calls.append(1))
    spin_until(lambda: calls, node)
    node.destroy_timer(timer)
    before = len(calls)
    node.create_timer(0.02, lambda: ticks.append(1))
    spin_until(lambda: len(ticks) >= 4, node)
    assert len(calls) == before


def test_guard_conditions(node, spin_until):
    calls = []
    guard = node.create_guard_condition(lambda: calls.append(threading.get_ident()))
    guard.trigger()
    guard.trigger()
    spin_until(lambda: calls, node)
    assert calls == [threading.get_ident()]
    thread = threading.Thread(target=guard.trigger)
    thread.start()
    spin_until(lambda: len(calls) == 2, node)
    thread.join()
    assert node.destroy_guard_condition(guard)


def test_a_rate_sleeps(ros, node):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    rate = node.create_rate(20.0)
    start = time.monotonic()
    for _ in range(4):
        rate.sleep()
    elapsed_s = time.monotonic() - start
    assert node.destroy_rate(rate)
    executor.shutdown()
    thread.join(20)
    assert elapsed_s >= 0.14


def test_rates_need_a_frequency(node):
    with pytest.raises(ValueError):
        node.create_rate(0.0)
