"""The supervisor through its topics, on a machine that is a folder."""

from __future__ import annotations

import math

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from fake_machine import FakeMachine
from node_testing import latest_status, values_of
from qeil_ros.msg import InferenceResult, OperatingPoint, SupervisorStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from supervisor_testing import ZONE, readings
from support import wait_until

from qeil_ros.nodes import qos
from qeil_ros.nodes.parameters import ParameterError
from qeil_ros.nodes.supervisor import SupervisorNode


def test_point_of_the_parameters_is_repeated_and_readings_are_reported(world):
    world.start(split="vision", feature_bits=5, rate_hz=12.0, fallback_silence_s=30.0, valid_for_s=0.75)
    world.fallback()
    status = world.wait(lambda s: s.link == SupervisorStatus.LINK_UP, "the link")
    assert status.mode == SupervisorStatus.MODE_NOMINAL and list(status.reasons) == []
    point = status.operating_point
    assert (point.split, point.feature_bits, point.rate_hz) == ("vision", 5, 12.0)
    assert (point.route, point.valid_for_s) == (OperatingPoint.ROUTE_OFFBOARD, 0.75)
    assert point.reason == "from the parameters"
    lists = (status.reading_values, status.reading_units, status.reading_sources, status.reading_qualities)
    assert {len(values) for values in lists} == {len(status.reading_names)}
    index = list(status.reading_names).index(ZONE)
    assert status.reading_values[index] == 45.0 and status.reading_units[index] == "C"
    assert status.reading_sources[index].endswith("thermal_zone0/temp")
    assert status.reading_qualities[index] == InferenceResult.QUALITY_MEASURED
    assert readings(status)["power/total"] == pytest.approx(6.0)
    assert math.isnan(status.energy_left_j) and math.isnan(status.distortion_measured)
    wait_until(lambda: len(world.points) >= 5)
    sequences = [point.sequence for point in world.points]
    assert sequences == sorted(set(sequences)), "each point is a new one"
    wait_until(lambda: values_of(world.report()).get("mode") == "nominal")
    heat = latest_status(world.reports, "supervisor: temperatures")
    assert values_of(heat)[ZONE] == "45 C" and heat.hardware_id


def test_five_points_a_second_reach_a_late_subscriber_at_once(world):
    node = world.start()
    assert node.params.period_s <= 0.2
    late = world.graph.listen(OperatingPoint, "operating_point", qos.LATEST)
    wait_until(lambda: late)


def test_heat_slows_then_stops_then_lets_go_in_stages(world):
    world.start(fallback_silence_s=30.0, dwell_s=0.2, warning_rate_hz=8.0, throttle_rate_hz=1.5)
    world.fallback()
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    # The zone's trip points are 80 (passive) and 95 (critical): warning 75, throttle 80, critical 90.
    world.machine.temperature(76.0)
    status = world.wait_for_mode(SupervisorStatus.MODE_CONSTRAINED)
    assert status.operating_point.rate_hz == 8.0
    assert f"{ZONE} 76 C over its warning limit of 75 C" in status.reasons[0]
    assert status.operating_point.reason.startswith(status.reasons[0])
    world.machine.temperature(81.0)
    world.wait(lambda s: s.operating_point.rate_hz == 1.5, "the throttled rate")
    world.machine.temperature(93.0)
    status = world.wait_for_mode(SupervisorStatus.MODE_HOLD)
    assert status.operating_point.route == OperatingPoint.ROUTE_HOLD
    wait_until(lambda: world.report() and world.report().level == DiagnosticStatus.ERROR)
    assert "critical limit" in world.report().message
    start = len(world.statuses)
    world.machine.temperature(50.0)
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    modes = [status.mode for status in world.statuses[start:]]
    assert SupervisorStatus.MODE_CONSTRAINED in modes, "not from hold to nominal in one step"
    assert modes == sorted(modes, reverse=True), "no way back up in between"


def test_zone_that_dies_counts_as_hot(world):
    world.start(fallback_silence_s=30.0)
    world.fallback()
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    (world.machine.sys / "class/thermal/thermal_zone0/temp").unlink()
    status = world.wait_for_mode(SupervisorStatus.MODE_CONSTRAINED)
    assert "taken to be at its limit" in status.reasons[0]
    assert math.isnan(readings(status)[ZONE])


def test_pipe_in_the_place_of_a_sensor_does_not_stop_the_heartbeat(world):
    world.start()
    world.machine.pipe("class/thermal/thermal_zone0/temp")
    world.wait(lambda s: math.isnan(readings(s)[ZONE]), "the missing reading")
    count = len(world.points)
    wait_until(lambda: len(world.points) > count + 3)


def test_link_down_sends_the_robot_local_and_back(world):
    world.start(fallback_silence_s=30.0, link_dwell_s=0.1)
    world.fallback(SupervisorStatus.LINK_DOWN, link_reason="heartbeat lost")
    status = world.wait_for_mode(SupervisorStatus.MODE_LOCAL)
    assert status.link == SupervisorStatus.LINK_DOWN and status.strategy == "local_full"
    assert status.operating_point.route == OperatingPoint.ROUTE_LOCAL
    assert "heartbeat lost" in status.reasons[0]
    names = list(status.strategy_names)
    assert not status.strategy_available[names.index("co_inference")]
    assert "link is down" in status.strategy_reasons[names.index("co_inference")]
    world.fallback(SupervisorStatus.LINK_UP)
    status = world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    assert status.operating_point.route == OperatingPoint.ROUTE_OFFBOARD
    assert status.strategy == "co_inference"


def test_degraded_link_takes_bits(world):
    world.start(fallback_silence_s=30.0, feature_bits=8, degraded_feature_bits=3)
    world.fallback(SupervisorStatus.LINK_DEGRADED, link_reason="server: too many robots")
    status = world.wait(lambda s: s.link == SupervisorStatus.LINK_DEGRADED, "the degraded link")
    assert status.mode == SupervisorStatus.MODE_CONSTRAINED
    assert status.operating_point.feature_bits == 3
    assert "too many robots" in status.reasons[0]


def test_silent_fallback_is_reported_and_restricts_nothing(world):
    world.start(fallback_silence_s=0.3)
    world.fallback(SupervisorStatus.LINK_UP)
    world.wait(lambda s: s.link == SupervisorStatus.LINK_UP, "the link")
    status = world.wait(lambda s: s.link == SupervisorStatus.LINK_UNKNOWN, "the silence")
    assert status.mode == SupervisorStatus.MODE_NOMINAL
    wait_until(lambda: world.report() and "fallback is silent" in world.report().message)


def test_figures_of_the_fallback_are_passed_on(world):
    world.start(fallback_silence_s=30.0)
    world.fallback(total_s=0.0625, bytes_sent=900.0, round_trip_s=0.015625, answers_local=3, rate_hz=10.0)
    status = world.wait(lambda s: s.answers_local == 3, "the figures")
    assert (status.delay_measured_s, status.bytes_measured) == (0.0625, 900.0)
    assert (status.round_trip_s, status.answers_hz) == (0.015625, 10.0)
    assert math.isnan(status.delay_predicted_s) and status.plan == ""


def test_energy_budget_runs_out(world):
    """The machine takes 6 W; the budget lasts for half a second."""
    world.start(fallback_silence_s=30.0, energy_budget_j=3.0)
    world.fallback()
    status = world.wait_for_mode(SupervisorStatus.MODE_HOLD)
    assert status.energy_left_j <= 0.0
    assert any("energy/left" in reason for reason in status.reasons)


def test_limit_on_power_and_memory(world):
    node = world.start(fallback_silence_s=30.0, power_limit_w=6.5)
    world.fallback()
    status = world.wait_for_mode(SupervisorStatus.MODE_CONSTRAINED)
    assert "power/total 6 W over its warning limit of 5.85 W" in status.reasons[0]
    (outcome,) = node.set_parameters([Parameter("power_limit_w", value=0.0)])
    assert outcome.successful
    node.set_parameters([Parameter("dwell_s", value=0.1)])
    world.wait_for_mode(SupervisorStatus.MODE_NOMINAL)
    node.set_parameters([Parameter("memory_limit_percent", value=25.0)])
    status = world.wait_for_mode(SupervisorStatus.MODE_CONSTRAINED)
    assert "memory/used 25 %" in status.reasons[0]


def test_power_is_modelled_where_nothing_measures_it(world):
    for name in ("class/hwmon/hwmon1/name", "class/hwmon/hwmon1/curr1_input"):
        (world.machine.sys / name).unlink()
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (world.machine.sys / f"class/powercap/{name}/energy_uj").unlink()
    world.start(idle_w=3.0, active_core_w=2.0)
    world.machine.ticks(busy=2000, idle=9500)
    status = world.wait(lambda s: not math.isnan(readings(s)["power/total"]), "the modelled power")
    index = list(status.reading_names).index("power/total")
    assert status.reading_qualities[index] == InferenceResult.QUALITY_MODELLED
    assert status.reading_values[index] > 3.0


def test_limit_that_nobody_can_watch_is_an_error(world, tmp_path):
    world.machine = FakeMachine(tmp_path / "bare")
    (world.machine.sys / "class/hwmon/hwmon1/in1_input").unlink()
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (world.machine.sys / f"class/powercap/{name}/energy_uj").unlink()
    world.start(power_limit_w=5.0)
    wait_until(lambda: world.report() and "power/total" in world.report().message)
    assert world.report().level == DiagnosticStatus.ERROR


def test_measured_distortion_comes_from_the_encoder(world, tmp_path):
    world.start(flight_log=str(tmp_path))  # without a log and a plan nobody needs it
    reports = world.graph.publisher(DiagnosticArray, "/diagnostics")
    sent = DiagnosticArray(
        status=[
            DiagnosticStatus(name="other", values=[KeyValue(key="distortion", value="9")]),
            DiagnosticStatus(name="encoder", values=[KeyValue(key="distortion", value="0.0625")]),
        ]
    )
    timer = world.graph.probe.create_timer(0.1, lambda: reports.publish(sent))
    world.wait(lambda s: s.distortion_measured == 0.0625, "the distortion")
    timer.cancel()
    world.wait(lambda s: math.isnan(s.distortion_measured), "its end")


def test_bad_parameters_are_refused_with_the_reason(world):
    node = world.start(temperature_warning_c=60.0, temperature_throttle_c=70.0)
    (outcome,) = node.set_parameters([Parameter("temperature_warning_c", value=75.0)])
    assert not outcome.successful and "warning <= throttle" in outcome.reason
    (outcome,) = node.set_parameters([Parameter("route", value="elsewhere")])
    assert not outcome.successful
    (outcome,) = node.set_parameters([Parameter("warning_rate_hz", value=1.0)])
    assert not outcome.successful and "throttle_rate_hz" in outcome.reason
    (outcome,) = node.set_parameters([Parameter("route", value="hold")])
    assert outcome.successful
    world.wait(lambda s: s.operating_point.route == OperatingPoint.ROUTE_HOLD, "the new route")
    with pytest.raises(ParameterError, match="throttle"):
        world.graph.start(
            SupervisorNode, activate=False, temperature_warning_c=90.0, temperature_throttle_c=80.0
        )


def test_node_can_be_stopped_and_started_again(world):
    node = world.start()
    wait_until(lambda: world.points)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    count = len(world.points)
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    wait_until(lambda: len(world.points) > count + 2)
