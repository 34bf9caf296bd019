from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_readings import CAPS, ZONE, temperature

from qeil_ros.safety.permit import Caps, OperatingPoint, Route, permit


class TestPermit:
    def test_each_level_and_its_cap(self):
        for value_c, rate_hz, route in (
            (60.0, 30.0, Route.OFFBOARD),
            (70.0, 10.0, Route.OFFBOARD),
            (80.0, 2.0, Route.OFFBOARD),
            (90.0, 30.0, Route.HOLD),
        ):
            point, reasons = permit(OperatingPoint(rate_hz=30.0), [temperature(value_c)], [ZONE], CAPS)
            assert (point.rate_hz, point.route) == (rate_hz, route)
            assert bool(reasons) == (value_c >= 70.0)

    def test_every_frame_is_more_than_any_rate(self):
        point, _ = permit(OperatingPoint(rate_hz=0.0), [temperature(75.0)], [ZONE], CAPS)
        assert point.rate_hz == 10.0

    def test_bad_caps(self):
        with pytest.raises(ValueError, match="below 0"):
            Caps(warning_rate_hz=-1.0)
        with pytest.raises(ValueError, match="throttle_rate_hz"):
            Caps(warning_rate_hz=1.0, throttle_rate_hz=2.0)

    @settings(max_examples=300, deadline=None)
    @given(
        rate_hz=st.floats(0.0, 100.0),
        route=st.sampled_from(Route),
        values=st.lists(st.one_of(st.floats(-50.0, 150.0), st.just(math.nan)), max_size=4),
    )
    def test_no_limit_in_force_is_ever_exceeded_and_nothing_is_ever_raised(self, rate_hz, route, values):
        asked = OperatingPoint(rate_hz=rate_hz, route=route)
        readings = [temperature(value, name=f"temperature/{n}") for n, value in enumerate(values)]
        point, _ = permit(asked, readings, [ZONE], CAPS)
        hottest = max((value for value in values if not math.isnan(value)), default=-math.inf)
        effective_hz = math.inf if point.rate_hz == 0 else point.rate_hz
        if hottest >= 90:
            assert point.route == Route.HOLD
        elif hottest >= 80:
            assert effective_hz <= CAPS.throttle_rate_hz
        elif hottest >= 70:
            assert effective_hz <= CAPS.warning_rate_hz
        else:
            assert point == asked
        assert point.route >= asked.route
        assert effective_hz <= (math.inf if asked.rate_hz == 0 else asked.rate_hz)

    def test_clock_is_capped_where_a_limit_is_reached(self):
        caps = Caps(throttle_rate_hz=2.0, throttle_clock_hz=1e9)
        for asked_hz, permitted_hz in ((0.0, 1e9), (2e9, 1e9), (5e8, 5e8)):
            point, _ = permit(OperatingPoint(clock_hz=asked_hz), [temperature(85.0)], [ZONE], caps)
            assert point.clock_hz == permitted_hz
            point, _ = permit(OperatingPoint(clock_hz=asked_hz), [temperature(75.0)], [ZONE], caps)
            assert point.clock_hz == asked_hz
