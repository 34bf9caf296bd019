"""No point that the live planner asks for gets past a limit, whatever link, budget and readings are."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from qeil_ros.msg import FallbackStatus, InferenceResult
from safety_readings import power, temperature
from supervisor_testing import sample_plan

from qeil_ros.nodes.live_plan import LivePlan
from qeil_ros.platform.readings import Quality, Reading, TripPoints
from qeil_ros.safety.guard import Guard, GuardConfig
from qeil_ros.safety.headroom import Budget
from qeil_ros.safety.limits import memory_limit, power_limit, temperature_limit
from qeil_ros.safety.link import Link
from qeil_ros.safety.permit import Caps, OperatingPoint, Route, permit

PLAN = sample_plan()
CEILING_C = 85.0  # of a critical trip point at 100
CAPS = Caps(throttle_rate_hz=2.0, throttle_clock_hz=8e8)
LIMITS = (
    temperature_limit("temperature/cpu", TripPoints(passive_c=98.0, critical_c=100.0)),
    power_limit(20.0),
    memory_limit(90.0),
)


def memory(percent: float) -> Reading:
    return Reading("memory/used", percent, "%", "test", Quality.MEASURED, 0.0)


def status(rate_bytes_s: float) -> FallbackStatus:
    unknown = dict.fromkeys(("energy_j", "round_trip_least_s", "server_load", "server_p50_s"), math.nan)
    figures = {"link_bytes_s": rate_bytes_s, "rate_hz": 10.0, "bytes_sent": 8e4, "answers": 20}
    return FallbackStatus(source=InferenceResult.SOURCE_OFFBOARD, split="early", **figures, **unknown)


def checked(point: OperatingPoint, asked: OperatingPoint, values: tuple[float, float, float]) -> None:
    degrees, watts, percent = values
    rate_hz = point.rate_hz or math.inf
    if degrees >= 95.0:
        assert point.route == Route.HOLD
    elif degrees >= CEILING_C or watts >= 20.0 or percent >= 90.0:
        assert rate_hz <= 2.0 and 0 < point.clock_hz <= 8e8
    assert point.route >= asked.route and rate_hz <= (asked.rate_hz or math.inf)
    assert (point.clock_hz or math.inf) <= (asked.clock_hz or math.inf)


sane = st.tuples(st.floats(20.0, 120.0), st.floats(0.0, 40.0), st.floats(0.0, 100.0))


@settings(max_examples=100, deadline=None)
@given(
    rate_bytes_s=st.floats(1e4, 1e8),
    headroom_c=st.floats(-20.0, 60.0),
    left_j=st.floats(0.0, 1e5),
    up=st.booleans(),
    samples=st.lists(sane, min_size=1, max_size=4),
)
def test_whatever_is_planned_the_limits_have_the_last_word(rate_bytes_s, headroom_c, left_j, up, samples):
    live = LivePlan(PLAN, dwell_s=0.0)
    budget = Budget(headroom_c=headroom_c, energy_left_j=left_j, time_left_s=100.0)
    guard = Guard(GuardConfig(limits=LIMITS, caps=CAPS))
    for number, values in enumerate(samples):
        live.update(status(rate_bytes_s), up, budget, float(number))
        degrees, watts, percent = values
        readings = [temperature(degrees, number), power(watts, number), memory(percent)]
        for asked in live.asked(OperatingPoint("own", rate_hz=30.0)):
            # `permit` alone, with nothing before it; the total is what the guard adds to the readings.
            total = Reading("power/total", watts, "W", "test", Quality.MEASURED, float(number))
            point, _ = permit(asked, [*readings, total], LIMITS, CAPS)
            checked(point, asked, values)
        asked = live.asked(OperatingPoint("own", rate_hz=30.0))[0]
        verdict = guard.step(asked, readings, Link.UP if up else Link.DOWN, "", float(number))
        checked(verdict.point, asked, values)
