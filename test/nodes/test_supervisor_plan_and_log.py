"""The supervisor with a plan file, with clocks to set, and with a flight log."""

from __future__ import annotations

import math

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from node_testing import latest_status, values_of
from qeil_ros.msg import InferenceResult, OperatingPoint, SupervisorStatus
from qeil_ros.srv import Pin
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import BatteryState
from supervisor_testing import ZONE, readings, sample_plan
from support import wait_until

from qeil_ros.nodes.flight_log import files
from qeil_ros.nodes.supervisor import SupervisorNode
from qeil_ros.planning import plan_file

POLICY = "devices/system/cpu/cpufreq/policy0"


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    plan_file.write(path, sample_plan())
    return str(path)


def figures(**changes):
    """Of a FallbackStatus: frames that ran as the sample plan wants them."""
    known = {"source": InferenceResult.SOURCE_OFFBOARD, "split": "early", "feature_bits": 8, "answers": 20}
    times = {"encode_s": 0.01, "transfer_s": 0.02, "server_s": 0.01, "total_s": 0.0625, "bytes_sent": 8e4}
    unknown = (
        "energy_j",
        "link_bytes_s",
        "round_trip_s",
        "round_trip_least_s",
        "server_load",
        "server_p50_s",
    )
    return {**known, **times, **dict.fromkeys(unknown, math.nan), "rate_hz": 5.0, **changes}


def test_point_is_planned_live_and_compared_with_what_is_measured(world, plan):
    world.start(plan=plan, plan_s=0.1, plan_dwell_s=0.2, fallback_silence_s=30.0)
    world.fallback(**figures())
    status = world.wait(lambda s: s.link == SupervisorStatus.LINK_UP and s.plan_feasible, "the plan")
    point, best = status.operating_point, sample_plan().point
    assert (point.split, point.feature_bits, point.rate_hz) == ("early", best.feature_bits, 5.0)
    assert point.weight_bits == best.weight_bits and point.reason == status.plan != ""
    assert status.delay_measured_s == 0.0625 and status.bytes_measured == 8e4
    assert 0 < status.delay_predicted_s < 0.15 and status.distortion_predicted >= 0
    assert status.bytes_predicted > 0 and status.energy_predicted_j >= 0
    world.fallback(**figures(link_bytes_s=6e5))
    status = world.wait(lambda s: 0 < s.operating_point.feature_bits < point.feature_bits, "fewer bits")
    world.fallback(SupervisorStatus.LINK_DOWN, **figures(link_reason="heartbeat lost"))
    status = world.wait(lambda s: s.operating_point.route == OperatingPoint.ROUTE_LOCAL, "the local route")
    assert "early" in status.operating_point.split

    def shown():
        return values_of(latest_status(world.reports, "supervisor: plan"))

    wait_until(lambda: shown().get("delay_s_measured") == "0.0625")
    assert shown()["reason"]


def test_limits_have_the_last_word_over_the_plan(world, plan):
    world.start(plan=plan, fallback_silence_s=30.0, throttle_rate_hz=0.5)
    world.fallback(**figures())
    world.machine.temperature(81.0)
    status = world.wait(lambda s: s.operating_point.rate_hz == 0.5, "the throttled rate")
    assert "throttle limit" in status.operating_point.reason
    world.machine.temperature(91.0)
    world.wait(lambda s: s.operating_point.route == OperatingPoint.ROUTE_HOLD, "the hold")


@pytest.mark.parametrize("content", [None, "format: 1\nmodel: {}\n", "{"])
def test_plan_that_cannot_be_read_is_told_and_the_node_stays_inactive(world, tmp_path, content):
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_text(content)
    node = world.graph.start(SupervisorNode, activate=False, plan=str(path))
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    node.set_parameters([Parameter("plan", value="")])
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS


def test_clock_is_capped_and_given_back(world):
    world.machine.write(f"{POLICY}/scaling_max_freq", 1800000)
    world.machine.write(f"{POLICY}/scaling_min_freq", 600000)
    world.machine.write(f"{POLICY}/cpuinfo_min_freq", 600000)
    world.machine.write(f"{POLICY}/cpuinfo_max_freq", 1800000)
    cap = world.machine.sys / POLICY / "scaling_max_freq"
    node = world.start(clock_hz=1.2e9, fallback_silence_s=30.0)
    world.wait(lambda s: s.operating_point.clock_hz == 1.2e9, "the point")
    assert cap.read_text().strip() == "1800000", "not before it is permitted"
    node.set_parameters([Parameter("set_clock", value=True)])
    wait_until(lambda: cap.read_text().strip() == "1200000")
    node.set_parameters([Parameter("clock_hz", value=0.0)])
    wait_until(lambda: cap.read_text().strip() == "1800000")
    node.set_parameters([Parameter("clock_hz", value=6e8)])
    wait_until(lambda: cap.read_text().strip() == "600000")
    node.trigger_deactivate()
    assert cap.read_text().strip() == "1800000"


def test_clock_that_cannot_be_set_is_reported(world):
    world.machine.write(f"{POLICY}/scaling_max_freq", 1800000)
    world.start(clock_hz=1.2e9, set_clock=True)
    wait_until(lambda: world.report() and "clock/policy0" in world.report().message)


def test_battery_of_a_topic_is_watched(world):
    world.start(battery=True, battery_floor_percent=20.0, fallback_silence_s=30.0)
    world.fallback()
    batteries = world.graph.publisher(BatteryState, "battery_state", 10)
    batteries.publish(BatteryState(percentage=0.8, voltage=12.0, current=-1.0))
    status = world.wait(lambda s: readings(s).get("battery/charge") == 80.0, "the charge")
    batteries.publish(BatteryState(percentage=0.19, voltage=11.0, current=-1.0))
    status = world.wait_for_mode(SupervisorStatus.MODE_HOLD)
    assert any("battery/charge" in reason for reason in status.reasons)


def test_flight_log_tells_what_was_seen_decided_and_done(world, tmp_path):
    rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags reads the log here")
    from rclpy.serialization import deserialize_message

    folder = tmp_path / "flights"
    node = world.start(flight_log=str(folder), fallback_silence_s=30.0, dwell_s=0.1)
    world.fallback(answers_local=7)
    others = world.graph.publisher(DiagnosticArray, "/diagnostics")
    others.publish(
        DiagnosticArray(status=[DiagnosticStatus(name="camera", values=[KeyValue(key="a", value="b")])])
    )
    world.wait(lambda s: s.answers_local == 7, "the figures")
    client = world.graph.probe.create_client(Pin, "supervisor/pin")
    assert client.wait_for_service(timeout_sec=20.0)
    future = client.call_async(Pin.Request(mode="hold", who="ann", why="test"))
    wait_until(future.done)
    world.wait_for_mode(SupervisorStatus.MODE_HOLD)
    wait_until(lambda: latest_status(world.reports, "supervisor: flight log"))
    node.trigger_deactivate()
    node.trigger_cleanup()
    (path,) = files(folder)
    with rosbag2.Reader(path) as reader:
        found = [
            (connection.topic, connection.msgtype, bytes(data)) for connection, _, data in reader.messages()
        ]
    assert {topic for topic, _, _ in found} == {
        "/status",
        "/operating_point",
        "/fallback/status",
        "/diagnostics",
        "/rosout",
    }
    statuses = [deserialize_message(data, SupervisorStatus) for topic, _, data in found if topic == "/status"]
    assert {SupervisorStatus.MODE_NOMINAL, SupervisorStatus.MODE_HOLD} <= {status.mode for status in statuses}
    assert ZONE in statuses[0].reading_names
    logged = b"".join(data for topic, _, data in found if topic == "/rosout")
    assert b"pin: hold by ann: test" in logged and b"mode nominal -> hold" in logged
    assert any(b"camera" in data for topic, _, data in found if topic == "/diagnostics")


def test_flight_log_that_cannot_be_written_stops_nothing(world, tmp_path):
    (tmp_path / "flights").write_text("a file")
    world.start(flight_log=str(tmp_path / "flights"), fallback_silence_s=30.0)
    world.fallback()
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)

    def part():
        return latest_status(world.reports, "supervisor: flight log")

    wait_until(lambda: part() and part().level == DiagnosticStatus.WARN, what="the report")
    assert str(tmp_path / "flights") in part().message and int(values_of(part())["lost"]) > 0
    count = len(world.statuses)
    wait_until(lambda: len(world.statuses) > count + 3)
