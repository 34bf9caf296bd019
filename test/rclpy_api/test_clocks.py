"""Times, durations, clocks and simulated time."""

from __future__ import annotations

import threading
import time as wall

import pytest
import rclpy
from builtin_interfaces.msg import Duration as DurationMsg
from builtin_interfaces.msg import Time as TimeMsg
from rclpy.clock import Clock, ClockChange, JumpThreshold, ROSClock
from rclpy.clock_type import ClockType
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.exceptions import NotInitializedException
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMsg
from support import wait_until

SIM_TIME = [Parameter("use_sim_time", value=True)]


def test_time_arithmetic():
    start = Time(seconds=10, nanoseconds=5, clock_type=ClockType.STEADY_TIME)
    assert start.nanoseconds == 10_000_000_005
    assert start.seconds_nanoseconds() == (10, 5)
    assert start + Duration(seconds=1.5) == Time(nanoseconds=11_500_000_005, clock_type=ClockType.STEADY_TIME)
    assert (start - Duration(seconds=1)).nanoseconds == 9_000_000_005
    assert start - (start + Duration(seconds=2)) == Duration(seconds=-2)
    assert start < start + Duration(nanoseconds=1)
    assert start >= start
    assert start != start + Duration(nanoseconds=1)


def test_times_of_different_clocks_do_not_mix():
    system, steady = Time(seconds=1), Time(seconds=1, clock_type=ClockType.STEADY_TIME)
    with pytest.raises(TypeError):
        assert system == steady
    with pytest.raises(TypeError):
        assert system < steady
    with pytest.raises(TypeError):
        system - steady


def test_times_are_not_negative_and_not_too_large():
    with pytest.raises(ValueError):
        Time(seconds=-1)
    with pytest.raises(ValueError):
        Time(nanoseconds=-1)
    with pytest.raises(ValueError):
        Time(seconds=1) - Duration(seconds=2)
    with pytest.raises(OverflowError):
        Time(nanoseconds=2**63)
    with pytest.raises(OverflowError):
        Duration(nanoseconds=2**63)


def test_durations():
    assert Duration(seconds=1, nanoseconds=500).nanoseconds == 1_000_000_500
    assert Duration(seconds=-1) < Duration() < Duration(nanoseconds=1)
    assert Duration(seconds=1) == Duration(nanoseconds=10**9)


def test_messages():
    time = Time(seconds=3, nanoseconds=4, clock_type=ClockType.ROS_TIME)
    assert time.to_msg() == TimeMsg(sec=3, nanosec=4)
    assert Time.from_msg(TimeMsg(sec=3, nanosec=4)) == time
    assert Duration(seconds=-0.5).to_msg() == DurationMsg(sec=-1, nanosec=500_000_000)
    assert Duration.from_msg(DurationMsg(sec=2, nanosec=1)).nanoseconds == 2_000_000_001
    with pytest.raises(TypeError):
        Time.from_msg(DurationMsg())
    with pytest.raises(TypeError):
        Duration.from_msg(TimeMsg())


def test_clocks_show_the_time():
    system = Clock()
    assert system.clock_type == ClockType.SYSTEM_TIME
    assert abs(system.now().nanoseconds - wall.time_ns()) < 10 * 10**9
    steady = Clock(clock_type=ClockType.STEADY_TIME)
    first = steady.now()
    assert steady.now() >= first
    assert isinstance(Clock(clock_type=ClockType.ROS_TIME), ROSClock)
    with pytest.raises(TypeError):
        Clock(clock_type="steady")


def test_sleeping(ros):
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    start = wall.monotonic()
    assert clock.sleep_for(Duration(seconds=0.1))
    assert wall.monotonic() - start >= 0.1
    assert clock.sleep_until(clock.now() - Duration(nanoseconds=1))
    with pytest.raises(ValueError):
        clock.sleep_until(Time(seconds=1))


def test_sleeping_needs_a_context():
    with pytest.raises(NotInitializedException):
        Clock().sleep_for(Duration(seconds=1))


def test_a_shutdown_ends_a_sleep(ros_graph):
    context = Context()
    rclpy.init(args=[], context=context)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(Clock().sleep_for(Duration(seconds=1000), context=context))
    )
    thread.start()
    wall.sleep(0.2)
    rclpy.shutdown(context=context)
    thread.join(20)
    assert results == [False]


def test_thresholds_are_checked():
    with pytest.raises(ValueError):
        JumpThreshold(min_forward=Duration(seconds=-1), min_backward=None)
    with pytest.raises(ValueError):
        JumpThreshold(min_forward=None, min_backward=Duration(seconds=1))
    with pytest.raises(ValueError):
        JumpThreshold(min_forward=None, min_backward=None, on_clock_change=False)


@pytest.fixture
def simulated(make_node, spin_until):
    """A node on simulated time, and a function that sets it."""
    node, simulator = make_node("simulated", parameter_overrides=SIM_TIME), make_node("simulator")
    publisher = simulator.create_publisher(ClockMsg, "/clock", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1, node, simulator)

    def set_time(seconds: float) -> None:
        stamp = Time(seconds=seconds)
        publisher.publish(ClockMsg(clock=stamp.to_msg()))
        spin_until(lambda: node.get_clock().now().nanoseconds == stamp.nanoseconds, node)

    return node, set_time


def test_a_node_follows_the_clock_topic(simulated):
    node, set_time = simulated
    assert node.get_clock().ros_time_is_active
    assert node.get_clock().now().nanoseconds == 0
    set_time(100.5)
    set_time(101.25)
    set_time(3.0)


def test_simulated_time_can_be_switched(node, spin_until):
    assert not node.get_clock().ros_time_is_active
    assert node.get_clock().now().nanoseconds > 10**18
    assert node.set_parameters([Parameter("use_sim_time", value=True)])[0].successful
    assert node.get_clock().ros_time_is_active
    assert node.get_clock().now().nanoseconds == 0
    assert node.set_parameters([Parameter("use_sim_time", value=False)])[0].successful
    assert node.get_clock().now().nanoseconds > 10**18
    assert not node.set_parameters([Parameter("use_sim_time", value="yes")])[0].successful


def test_timers_follow_simulated_time(simulated, spin_until):
    node, set_time = simulated
    set_time(100.0)
    calls, ticks = [], []
    node.create_timer(10.0, lambda: calls.append(node.get_clock().now().nanoseconds))
    node.create_timer(0.02, lambda: ticks.append(1), clock=Clock(clock_type=ClockType.STEADY_TIME))
    set_time(109.0)
    spin_until(lambda: len(ticks) >= 5, node)
    assert calls == []
    set_time(110.5)
    spin_until(lambda: len(calls) == 1, node)
    set_time(121.0)
    spin_until(lambda: len(calls) == 2, node)
    # The recording starts again: a full period counts from here.
    set_time(50.0)
    set_time(59.0)
    del ticks[:]
    spin_until(lambda: len(ticks) >= 5, node)
    assert len(calls) == 2
    set_time(60.5)
    spin_until(lambda: len(calls) == 3, node)


def test_jumps_are_told(simulated):
    node, set_time = simulated
    set_time(100.0)
    before, jumps = [], []
    threshold = JumpThreshold(min_forward=Duration(seconds=5), min_backward=Duration(seconds=-1))
    handle = node.get_clock().create_jump_callback(
        threshold, pre_callback=lambda: before.append(1), post_callback=jumps.append
    )
    set_time(101.0)
    assert jumps == []
    set_time(110.0)
    set_time(50.0)
    assert [jump.delta.nanoseconds for jump in jumps] == [9 * 10**9, -60 * 10**9]
    assert len(before) == 2
    node.set_parameters([Parameter("use_sim_time", value=False)])
    assert jumps[-1].clock_change == ClockChange.ROS_TIME_DEACTIVATED
    handle.unregister()
    node.set_parameters([Parameter("use_sim_time", value=True)])
    assert len(jumps) == 3


def test_sleeping_in_simulated_time(simulated):
    node, set_time = simulated
    set_time(100.0)
    results = []
    thread = threading.Thread(target=lambda: results.append(node.get_clock().sleep_for(Duration(seconds=10))))
    thread.start()
    wall.sleep(0.2)
    set_time(105.0)
    assert results == []
    set_time(111.0)
    thread.join(20)
    assert results == [True]


def test_a_change_of_clock_ends_a_sleep(simulated):
    node, set_time = simulated
    set_time(100.0)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(node.get_clock().sleep_for(Duration(seconds=1000)))
    )
    thread.start()
    wall.sleep(0.2)
    node.set_parameters([Parameter("use_sim_time", value=False)])
    thread.join(20)
    wait_until(lambda: results)
    assert results == [False]
