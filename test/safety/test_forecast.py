from __future__ import annotations

import math

import pytest

from qeil_ros.safety.forecast import Method, PastError, Trend, ZoneForecast


class TestTrend:
    def test_trend_continues_a_straight_line(self):
        trend = Trend(window_s=10.0)
        assert math.isnan(trend.forecast(10.0, 0.0))
        for step in range(51):
            trend.add(40.0 + 0.5 * step * 0.2, step * 0.2)
        assert trend.forecast(10.0, 10.0) == pytest.approx(50.0)
        trend.add(math.nan, 10.2)
        assert trend.forecast(0.0, 10.2) == pytest.approx(45.1)
        assert math.isnan(trend.forecast(10.0, 100.0)), "the past is no guide any more"

    def test_trend_of_a_constant_is_constant(self):
        trend = Trend()
        for step in range(51):
            trend.add(40.0, step * 0.2)
        assert trend.forecast(60.0, 10.0) == pytest.approx(40.0)


class TestPastError:
    def test_forecasts_are_compared_with_what_came(self):
        error = PastError(every_s=1.0)
        for now_s in range(20):
            value = 2.0 * now_s
            came = error.came(value, float(now_s))
            assert came == ([] if now_s < 5 else [pytest.approx(1.0)])
            error.keep(value + 2.0 * 5.0 + 1.0, 5.0, float(now_s))
        assert error.typical == pytest.approx(1.0) and error.worst() == pytest.approx(1.0)

    def test_between_two_values_it_interpolates_but_not_over_a_long_gap(self):
        error = PastError(gap_s=30.0)
        error.came(10.0, 0.0)
        error.keep(11.0, 5.0, 0.0)
        assert error.came(14.0, 20.0) == [pytest.approx(0.0)]
        error.keep(99.0, 5.0, 20.0)
        assert error.came(14.0, 60.0) == []
        assert error.came(math.nan, 61.0) == []

    def test_nothing_is_known_before_the_first_is_due(self):
        assert math.isnan(PastError().typical) and math.isnan(PastError().worst())


class TestZoneForecast:
    def run(self, zone, until_s, load_of, name="power/total", tau_s=60.0):
        value_c, now_s = 30.0, 0.0
        while now_s < until_s:
            load = load_of(now_s)
            zone.add(value_c, load, name, now_s)
            target_c = 25.0 + 5.0 * (load if load == load else 8.0)
            value_c += (target_c - value_c) * -math.expm1(-0.2 / tau_s)
            now_s += 0.2
        return value_c, now_s - 0.2

    def test_model_is_believed_where_it_was_nearer(self):
        zone = ZoneForecast(10.0)
        value_c, now_s = self.run(zone, 330.0, lambda now_s: 8.0 if now_s % 60 < 40 else 2.0)
        ahead_c, method = zone.forecast_c(10.0, now_s)
        true_c = 65.0 + (value_c - 65.0) * math.exp(-10.0 / 60.0)
        assert method is Method.MODEL and ahead_c == pytest.approx(true_c, abs=0.7)
        assert zone.error_c < 1.0

    def test_without_a_load_there_is_the_trend(self):
        zone = ZoneForecast(10.0)
        _, now_s = self.run(zone, 30.0, lambda now_s: math.nan, name="")
        ahead_c, method = zone.forecast_c(10.0, now_s)
        assert method is Method.TREND and 40.0 < ahead_c < 70.0
        assert not zone.identified

    def test_load_that_is_lost_or_changes_its_unit_ends_the_model(self):
        zone = ZoneForecast(10.0)
        _, now_s = self.run(zone, 300.0, lambda now_s: 8.0 if now_s % 120 < 60 else 2.0)
        assert zone.identified
        zone.add(50.0, math.nan, "", now_s + 0.2)
        assert not zone.identified and zone.forecast_c(10.0, now_s + 0.2)[1] is Method.TREND
        zone.add(50.0, 8.0, "power/total", now_s + 0.4)
        assert zone.identified, "the same unit again: what was learnt still holds"
        zone.add(50.0, 3.0, "cpu/busy_cores", now_s + 0.6)
        assert not zone.identified

    def test_nothing_to_go_by(self):
        zone = ZoneForecast(10.0)
        ahead_c, method = zone.forecast_c(10.0, 0.0)
        assert math.isnan(ahead_c) and method is Method.NONE
