"""What an operator may ask of the supervisor, and that it is on record."""

from __future__ import annotations

import pytest
from node_testing import values_of
from qeil_ros.msg import OperatingPoint, SupervisorStatus
from qeil_ros.srv import Pin, RaiseLimit, ResetEnergy
from rcl_interfaces.msg import Log
from rclpy.qos import QoSProfile
from supervisor_testing import ZONE
from support import wait_until

from qeil_ros.nodes.supervisor import SupervisorNode


@pytest.fixture
def call(world):
    def ask(kind, service, /, **fields):
        client = world.graph.probe.create_client(kind, f"supervisor/{service}")
        assert client.wait_for_service(timeout_sec=20.0)
        future = client.call_async(kind.Request(**fields))
        wait_until(future.done, what=f"an answer of {service}")
        return future.result()

    return ask


@pytest.fixture
def logged(world):
    """What the nodes log, as it grows."""
    return world.graph.listen(Log, "/rosout", QoSProfile(depth=100))


def wait_for_line(logged, *pieces):
    wait_until(
        lambda: any(all(piece in entry.msg for piece in pieces) for entry in logged),
        what=f"a line of log with {pieces}",
    )


def test_mode_is_pinned_and_released(world, call, logged):
    world.start(fallback_silence_s=30.0, dwell_s=0.1, link_dwell_s=0.1)
    world.fallback()
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    answer = call(Pin, "pin", mode="local", who="ann", why="windy")
    assert answer.success and answer.message == "mode pinned to local by ann: windy"
    status = world.wait_for_mode(SupervisorStatus.MODE_LOCAL)
    assert status.operating_point.route == OperatingPoint.ROUTE_LOCAL
    assert list(status.overrides) == [answer.message]
    assert any("pinned" in reason and "ann" in reason for reason in status.reasons)
    wait_for_line(logged, "pin: local", "by ann: windy")
    wait_until(lambda: world.report() and "pinned to local by ann" in world.report().message)
    assert call(Pin, "pin", mode="nominal", who="ann").message == "nothing is pinned"
    status = world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    assert list(status.overrides) == []


def test_pin_ends_by_itself(world, call, logged):
    world.start(fallback_silence_s=30.0)
    world.fallback()
    assert call(Pin, "pin", mode="hold", duration_s=0.5, who="ann").success
    world.wait_for_mode(SupervisorStatus.MODE_HOLD)
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    wait_for_line(logged, "its time was over", "mode hold pinned by ann")


def test_strategy_is_pinned_within_what_is_permitted(world, call):
    world.start(fallback_silence_s=30.0, throttle_rate_hz=1.5)
    world.fallback()
    assert call(Pin, "pin", strategy="local_cheap").success
    status = world.wait(lambda s: s.operating_point.rate_hz == 1.5, "the cheap rate")
    assert status.operating_point.route == OperatingPoint.ROUTE_LOCAL
    assert call(Pin, "pin", strategy="co_inference").success
    world.wait(lambda s: s.strategy == "co_inference", "the strategy")
    world.fallback(SupervisorStatus.LINK_DOWN, link_reason="heartbeat lost")
    status = world.wait(lambda s: s.operating_point.route == OperatingPoint.ROUTE_LOCAL, "the local route")
    assert status.strategy.startswith("local"), "what cannot be is not insisted upon"
    assert call(Pin, "pin", strategy="auto").message == "nothing is pinned"


def test_energy_budget_begins_anew(world, call, logged):
    """The machine takes 6 W; the budget lasts for half a second."""
    node = world.start(fallback_silence_s=30.0, energy_budget_j=3.0, dwell_s=0.1)
    world.fallback()
    world.wait_for_mode(SupervisorStatus.MODE_HOLD)
    answer = call(ResetEnergy, "reset_energy", budget_j=1000.0, who="ann", why="new battery")
    assert answer.success and "1000 J" in answer.message
    status = world.wait(lambda s: s.mode < SupervisorStatus.MODE_HOLD, "the end of the hold")
    assert 900.0 < status.energy_left_j < 1000.0
    assert node.params.energy_budget_j == 1000.0
    wait_for_line(logged, "energy budget reset by ann: new battery", "1000 J")
    assert not call(ResetEnergy, "reset_energy", budget_j=-1.0).success
    assert node.params.energy_budget_j == 1000.0


def test_limit_is_raised_within_the_hardwares_own(world, call, logged):
    """Trip points 80 (passive) and 95 (critical): warning 75, throttle 80, critical 90."""
    world.start(fallback_silence_s=30.0, dwell_s=0.1, lookahead_s=1.0)
    world.fallback()
    world.machine.temperature(76.0)
    world.wait_for_mode(SupervisorStatus.MODE_CONSTRAINED)
    refused = call(RaiseLimit, "raise_limit", name=ZONE, by_c=4.0, who="ann")
    assert not refused.success and "by 3 K at most" in refused.message
    wait_for_line(logged, "raise_limit refused", "by 3 K at most")
    answer = call(RaiseLimit, "raise_limit", name=ZONE, by_c=3.0, who="ann", why="hot day")
    assert answer.success and "warning 78 C, throttle 83 C, critical 93 C" in answer.message
    world.machine.temperature(74.5)  # clear of a warning at 78, not of one at 75
    status = world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    assert any("raised by 3 K by ann: hot day" in line for line in status.overrides)
    wait_for_line(logged, f"limit of {ZONE} raised by 3 K by ann: hot day")
    world.machine.temperature(81.0)
    world.wait(lambda s: any("over its warning limit of 78" in r for r in s.reasons), "the raised warning")
    assert call(RaiseLimit, "raise_limit", name=ZONE, by_c=0.0, who="ann").success
    world.wait(lambda s: any("over its throttle limit of 80" in r for r in s.reasons), "the limit as before")


def test_nothing_is_done_before_the_node_is_active_and_nothing_outlives_that(world, call):
    node = world.graph.start(
        SupervisorNode,
        activate=False,
        sysfs_root=str(world.machine.sys),
        procfs_root=str(world.machine.proc),
    )
    refused = call(Pin, "pin", mode="hold")
    assert not refused.success and "not active" in refused.message
    node.trigger_configure()
    node.trigger_activate()
    assert call(Pin, "pin", mode="hold").success
    node.trigger_deactivate()
    node.trigger_activate()
    assert node.overrides.describe(0.0) == []
    reports = world.graph.diagnostics()
    wait_until(
        lambda: any(values_of(status).get("mode") == "nominal" for r in reports for status in r.status)
    )


@pytest.mark.parametrize(
    "fields", [{"mode": "fast"}, {"strategy": "hold"}, {}, {"mode": "hold", "duration_s": -1.0}]
)
def test_bad_pins_are_refused(world, call, fields):
    world.start()
    answer = call(Pin, "pin", **fields)
    assert not answer.success and answer.message
