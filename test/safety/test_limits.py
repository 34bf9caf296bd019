from __future__ import annotations

import math

import pytest
from safety_readings import ZONE, charge, dead, power, temperature

from qeil_ros.platform.readings import TripPoints
from qeil_ros.safety.limits import (
    Level,
    Limit,
    LimitWatch,
    battery_limit,
    budget_limit,
    findings,
    memory_limit,
    power_limit,
    temperature_limit,
    worst,
)


class TestLimits:
    @pytest.mark.parametrize(
        ("value_c", "level"),
        [
            (69.9, Level.CLEAR),
            (70.0, Level.WARNING),
            (80.0, Level.THROTTLE),
            (90.0, Level.CRITICAL),
            (500.0, Level.CRITICAL),
        ],
    )
    def test_levels(self, value_c, level):
        assert ZONE.level(value_c) == level

    def test_levels_below(self):
        limit = Limit("energy/left", 20.0, 10.0, 0.0, falling=True)
        assert [limit.level(value) for value in (25.0, 20.0, 10.0, 0.0, -3.0)] == [0, 1, 2, 3, 3]

    def test_order_is_checked(self):
        with pytest.raises(ValueError, match="warning <= throttle <= critical"):
            Limit("temperature/*", 90.0, 80.0)
        with pytest.raises(ValueError, match="warning >= throttle >= critical"):
            Limit("energy/left", 10.0, 20.0, falling=True)
        with pytest.raises(ValueError, match="release"):
            Limit("temperature/*", 90.0, release=-1.0)
        assert not Limit("temperature/*").set

    def test_worst_of_all_zones_counts_and_names_itself(self):
        found = findings(
            [ZONE], [temperature(71.0, name="temperature/a"), temperature(85.0, name="temperature/b")]
        )
        assert worst(found) == Level.THROTTLE
        assert found[0].reason == "temperature/b 85 C over its throttle limit of 80 C"
        assert worst(findings([ZONE], [dead(), power(1000.0)])) == Level.CLEAR

    def test_level_holds_until_the_value_is_clear_of_it(self):
        watch = LimitWatch([ZONE])
        levels = []
        for now_s, value_c in enumerate((69, 70, 69, 67.5, 67, 66, 70)):
            levels.append(worst(watch.update([temperature(value_c, now_s)], now_s)))
        assert levels == [0, 1, 1, 1, 1, 0, 1]
        (finding,) = watch.update([temperature(68.0, 9)], 9)
        assert "not yet clear" in finding.reason

    def test_sensor_that_dies_counts_as_at_its_limit(self):
        watch = LimitWatch([ZONE], grace_s=1.0)
        assert watch.update([temperature(50.0)], 0.0) == []
        assert watch.update([dead()], 0.9) == []
        (finding,) = watch.update([dead()], 1.1)
        assert finding.level == Level.THROTTLE
        assert "input/output error" in finding.reason and "taken to be at its limit" in finding.reason
        assert watch.update([temperature(50.0)], 2.0) == []

    def test_hot_sensor_that_dies_stays_hot(self):
        watch = LimitWatch([ZONE], grace_s=1.0)
        watch.update([temperature(95.0)], 0.0)
        assert worst(watch.update([dead()], 0.5)) == Level.CRITICAL
        assert worst(watch.update([dead()], 9.0)) == Level.CRITICAL

    def test_limit_on_nothing_is_blind_and_counts_as_reached_after_a_while(self):
        watch = LimitWatch([ZONE, Limit("power/total", 5.0)], blind_s=5.0)
        assert watch.update([dead()], 0.0) == []
        assert watch.blind == ["temperature/*", "power/total"]
        assert watch.update([temperature(20.0)], 1.0) == []
        assert watch.blind == ["power/total"]
        assert watch.update([temperature(20.0)], 4.9) == []
        (finding,) = watch.update([temperature(20.0)], 5.0)
        assert (finding.level, finding.name) == (Level.THROTTLE, "power/total")
        assert "nothing readable stands for the limit on power/total" in finding.reason
        watch.set_limits([ZONE])
        assert watch.update([temperature(20.0)], 6.0) == [] and watch.blind == []

    def test_limit_set_while_it_runs_has_its_own_time_to_find_a_sensor(self):
        watch = LimitWatch([ZONE], blind_s=5.0)
        watch.update([temperature(20.0)], 0.0)
        watch.set_limits([ZONE, Limit("battery/charge*", 20.0, falling=True)])
        assert watch.update([temperature(20.0)], 100.0) == []
        assert worst(watch.update([temperature(20.0)], 105.0)) == Level.THROTTLE

    @pytest.mark.parametrize(
        ("limit", "value", "exposure"),
        [
            (ZONE, 69.0, 0.0),
            (ZONE, 75.0, 0.5),
            (ZONE, 85.0, 1.0),
            (Limit("x", throttle=80.0), 79.0, 0.0),
            (Limit("x", throttle=80.0), 80.0, 1.0),
            (Limit("x", warning=70.0), 99.0, 0.0),
            (Limit("x", warning=70.0, critical=80.0), 75.0, 0.5),
            (Limit("x", 20.0, 10.0, falling=True), 15.0, 0.5),
            (Limit("x", 20.0, 10.0, falling=True), 25.0, 0.0),
        ],
    )
    def test_exposure_is_the_way_from_warning_to_throttle(self, limit, value, exposure):
        assert limit.exposure(value) == pytest.approx(exposure)
        assert math.isnan(limit.exposure(math.nan))

    def test_limits_of_the_usual_kinds(self):
        assert power_limit(10.0).thresholds[:2] == (9.0, 10.0)
        assert memory_limit(90.0).thresholds[:2] == (85.0, 90.0)
        assert budget_limit(100.0).thresholds == (20.0, 10.0, 0.0)
        battery = battery_limit(20.0)
        assert battery.concerns(charge(50.0))
        assert [battery.level(percent) for percent in (31, 30, 25, 20, 5)] == [0, 1, 2, 3, 3]

    def test_trip_points_become_limits(self):
        limit = temperature_limit("temperature/cpu", TripPoints(passive_c=80.0, critical_c=95.0))
        assert limit.thresholds == (75.0, 80.0, 90.0)
        limit = temperature_limit("temperature/cpu", TripPoints(critical_c=100.0))
        assert limit.thresholds == (80.0, 85.0, 95.0), "85 % of the critical temperature"
        limit = temperature_limit("temperature/cpu", TripPoints(passive_c=98.0, critical_c=100.0))
        assert limit.thresholds == (80.0, 85.0, 95.0), "the ceiling holds where the kernel steps in later"
        limit = temperature_limit("temperature/cpu", TripPoints(passive_c=80.0))
        assert limit.thresholds[:2] == (75.0, 80.0)
        assert not temperature_limit("temperature/cpu", TripPoints()).set
        odd = temperature_limit("temperature/a[0]", TripPoints(critical_c=100.0))
        assert odd.concerns(temperature(1.0, name="temperature/a[0]"))
