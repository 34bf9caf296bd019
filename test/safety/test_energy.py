from __future__ import annotations

import math

import pytest
from safety_readings import charge, power, temperature

from qeil_ros.platform.readings import Quality, unread
from qeil_ros.safety.energy import EnergyMeter, Mission, battery_percent


class TestEnergy:
    def test_energy_is_the_integral_of_power(self):
        meter, budget = EnergyMeter(), Mission(budget_j=100.0)
        assert not meter.readings(budget, math.nan, 0.0)[0].good
        for now_s, value_w in ((0.0, 10.0), (1.0, 10.0), (2.0, 20.0)):
            meter.add(power(value_w, now_s))
        spent, left = meter.readings(budget, math.nan, 2.0)
        assert (spent.value, spent.quality) == (pytest.approx(25.0), Quality.MEASURED)
        assert left.value == pytest.approx(75.0) and left.name == "energy/left"
        assert len(meter.readings(Mission(), math.nan, 2.0)) == 1

    def test_gap_is_filled_with_the_last_power_and_is_no_measurement(self):
        meter = EnergyMeter()
        meter.add(unread("power/total", "W", "", 0.0, "not yet"))
        meter.add(power(10.0, 1.0))
        for now_s in (2.0, 3.0, 4.0):
            meter.add(unread("power/total", "W", "", now_s, "gone"))
        (spent,) = meter.readings(Mission(), math.nan, 4.0)
        assert (spent.value, spent.quality) == (pytest.approx(30.0), Quality.MODELLED)
        meter.add(power(20.0, 5.0))
        assert meter.readings(Mission(), math.nan, 5.0)[0].value == pytest.approx(45.0)

    def test_mission_says_what_may_be_drawn_until_its_end(self):
        meter, mission = EnergyMeter(), Mission(budget_j=100.0, duration_s=20.0)
        assert meter.time_left_s(mission, 0.0) == 20.0
        for now_s in range(11):
            meter.add(power(2.0, float(now_s)))
        spent, left, allowed = meter.readings(mission, math.nan, 10.0)
        assert [spent.value, left.value, allowed.value] == pytest.approx([20.0, 80.0, 8.0])
        assert (allowed.name, allowed.unit) == ("power/allowed", "W")
        assert meter.time_left_s(mission, 25.0) == 0.0
        assert [r.name for r in meter.readings(mission, math.nan, 25.0)] == ["energy/spent", "energy/left"]

    def test_battery_counts_down_to_its_floor_and_the_lesser_of_two_holds(self):
        meter = EnergyMeter()
        meter.add(power(10.0, 0.0))
        battery = Mission(battery_floor_percent=20.0, battery_j=1000.0)
        assert meter.left(battery, 50.0, 0.0).value == pytest.approx(300.0)
        assert meter.left(battery, 10.0, 0.0).value == pytest.approx(-100.0)
        assert not meter.left(battery, math.nan, 0.0).good
        both = Mission(budget_j=100.0, battery_floor_percent=20.0, battery_j=1000.0)
        assert meter.left(both, 50.0, 0.0).value == pytest.approx(100.0)
        assert meter.left(both, 25.0, 0.0).value == pytest.approx(50.0)
        assert not EnergyMeter().left(both, 50.0, 0.0).good, "without power the budget says nothing"

    @pytest.mark.parametrize(
        "bad", [{"budget_j": -1.0}, {"duration_s": -1.0}, {"battery_floor_percent": 100.0}]
    )
    def test_bad_mission(self, bad):
        with pytest.raises(ValueError, match="want"):
            Mission(**bad)

    def test_lowest_of_several_batteries(self):
        spare = charge(30.0)._replace(name="battery/spare")
        assert battery_percent([charge(80.0), spare, temperature(20.0)]) == 30.0
        assert math.isnan(battery_percent([temperature(20.0)]))
