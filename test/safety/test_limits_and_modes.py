from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.platform import Quality, Reading, TripPoints, unread
from qeil_ros.safety.energy import EnergyMeter, Mission
from qeil_ros.safety.forecast import Trend
from qeil_ros.safety.guard import Guard, GuardConfig
from qeil_ros.safety.limits import Level, Limit, LimitWatch, findings, temperature_limit, worst
from qeil_ros.safety.link import Link
from qeil_ros.safety.modes import Mode, ModeMachine, restrict
from qeil_ros.safety.permit import Caps, OperatingPoint, Route, permit

ZONE = Limit("temperature/*", 70.0, 80.0, 90.0, release=3.0)
CAPS = Caps(warning_rate_hz=10.0, throttle_rate_hz=2.0, degraded_feature_bits=4)


def temperature(value_c, now_s=0.0, name="temperature/cpu"):
    return Reading(name, value_c, "C", "test", Quality.MEASURED, now_s)


def power(value_w, now_s=0.0):
    return Reading("power/psys", value_w, "W", "test", Quality.MEASURED, now_s)


def dead(now_s=0.0, name="temperature/cpu"):
    return unread(name, "C", "test", now_s, "input/output error")


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

    def test_limit_on_nothing_is_said_to_be_blind(self):
        watch = LimitWatch([ZONE, Limit("power/total", 5.0)])
        assert watch.update([dead()], 0.0) == []
        assert watch.blind == ["temperature/*", "power/total"]
        watch.update([temperature(20.0)], 1.0)
        assert watch.blind == ["power/total"]

    def test_trip_points_become_limits(self):
        limit = temperature_limit("temperature/cpu", TripPoints(passive_c=80.0, critical_c=95.0))
        assert limit.thresholds == (75.0, 80.0, 90.0)
        limit = temperature_limit("temperature/cpu", TripPoints(critical_c=100.0))
        assert limit.thresholds == (80.0, 85.0, 95.0), "85 % of the critical temperature"
        limit = temperature_limit("temperature/cpu", TripPoints(passive_c=98.0, critical_c=100.0))
        assert limit.thresholds == (90.0, 95.0, 95.0), "slowed before the machine switches itself off"
        assert not temperature_limit("temperature/cpu", TripPoints()).set
        odd = temperature_limit("temperature/a[0]", TripPoints(critical_c=100.0))
        assert odd.concerns(temperature(1.0, name="temperature/a[0]"))


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


class TestModes:
    def machine(self):
        return ModeMachine(dwell_s=5.0, link_dwell_s=0.5)

    def decide(self, machine, now_s, value_c=20.0, link=Link.UP):
        return machine.update(findings([ZONE], [temperature(value_c)]), link, "the reason", now_s)

    @pytest.mark.parametrize(
        ("value_c", "link", "mode"),
        [
            (20.0, Link.UP, Mode.NOMINAL),
            (20.0, Link.UNKNOWN, Mode.NOMINAL),
            (75.0, Link.UP, Mode.CONSTRAINED),
            (20.0, Link.DEGRADED, Mode.CONSTRAINED),
            (20.0, Link.DOWN, Mode.LOCAL),
            (85.0, Link.DOWN, Mode.LOCAL),
            (95.0, Link.UP, Mode.HOLD),
            (95.0, Link.DOWN, Mode.HOLD),
        ],
    )
    def test_modes_are_entered_at_once_with_reasons(self, value_c, link, mode):
        decision = self.decide(self.machine(), 0.0, value_c, link)
        assert decision.mode == mode
        assert bool(decision.reasons) == (mode != Mode.NOMINAL)
        assert ("link down: the reason" in decision.reasons) == (link == Link.DOWN)

    def test_hold_is_left_in_stages(self):
        machine = self.machine()
        self.decide(machine, 0.0, 95.0)
        seen = [
            (self.decide(machine, now_s).mode, self.decide(machine, now_s).level) for now_s in range(1, 18)
        ]
        assert [pair for n, pair in enumerate(seen) if n == 0 or pair != seen[n - 1]] == [
            (Mode.HOLD, Level.CRITICAL),
            (Mode.CONSTRAINED, Level.THROTTLE),
            (Mode.CONSTRAINED, Level.WARNING),
            (Mode.NOMINAL, Level.CLEAR),
        ]
        assert self.decide(machine, 30.0).reasons == ()

    def test_mode_held_by_its_dwell_says_so(self):
        machine = self.machine()
        self.decide(machine, 0.0, 75.0, Link.DOWN)
        decision = self.decide(machine, 0.1)
        assert decision.mode == Mode.LOCAL
        assert "warning level held until limits have been clear for 5 s" in decision.reasons
        assert "link held down for 0.5 s" in decision.reasons

    def test_restrictions_of_the_modes(self):
        asked = OperatingPoint(split="vision", feature_bits=8, rate_hz=30.0)
        cases = (
            (20.0, Link.UP, asked),
            (20.0, Link.DEGRADED, OperatingPoint("vision", 4, rate_hz=30.0)),
            (20.0, Link.DOWN, OperatingPoint("vision", 8, rate_hz=30.0, route=Route.LOCAL)),
            (85.0, Link.DOWN, OperatingPoint("vision", 8, rate_hz=2.0, route=Route.LOCAL)),
            (95.0, Link.DOWN, OperatingPoint("vision", 8, rate_hz=30.0, route=Route.HOLD)),
        )
        for value_c, link, expected in cases:
            assert restrict(asked, self.decide(self.machine(), 0.0, value_c, link), CAPS) == expected
        own = OperatingPoint(feature_bits=0, route=Route.HOLD)
        restricted = restrict(own, self.decide(self.machine(), 0.0, link=Link.DEGRADED), CAPS)
        assert (restricted.feature_bits, restricted.route) == (4, Route.HOLD)

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(40.0, 100.0), st.sampled_from(Link)), max_size=80)
    )
    def test_no_sequence_makes_it_flap_and_every_state_reaches_nominal(self, steps):
        machine, now_s, mode = self.machine(), 0.0, Mode.NOMINAL
        level, level_s, link, link_s = Level.CLEAR, -math.inf, Link.UP, -math.inf
        for gap_s, value_c, heard in steps:
            now_s += gap_s
            decision = self.decide(machine, now_s, value_c, heard)
            assert decision.level >= ZONE.level(value_c) and decision.link >= heard
            if decision.level < level:
                assert now_s - level_s >= 5.0
                level_s = now_s
            if decision.link < link:
                assert now_s - link_s >= 0.5
                link_s = now_s
            level, link, mode = decision.level, decision.link, decision.mode
        for _ in range(45):
            now_s += 0.5
            mode = self.decide(machine, now_s).mode
        assert mode == Mode.NOMINAL


class TestEnergyAndTrend:
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


class TestGuard:
    def guard(self, **changes):
        return Guard(GuardConfig(**{"limits": (ZONE,), "caps": CAPS, **changes}))

    def step(self, guard, now_s, *readings, link=Link.UP, asked=None):
        return guard.step(asked or OperatingPoint(rate_hz=30.0, reason="asked"), readings, link, "", now_s)

    def test_nominal_leaves_the_point_alone(self):
        verdict = self.step(self.guard(), 0.0, temperature(50.0), power(5.0))
        assert verdict.decision.mode == Mode.NOMINAL
        assert verdict.point == OperatingPoint(rate_hz=30.0, reason="asked")
        names = [reading.name for reading in verdict.readings]
        assert names == ["temperature/cpu", "power/psys", "power/total", "energy/spent"]
        assert verdict.forecast.energy_j == pytest.approx(50.0)

    def test_heat_slows_and_says_why(self):
        verdict = self.step(self.guard(), 0.0, temperature(72.0))
        assert verdict.point.rate_hz == 10.0
        assert verdict.point.reason.startswith("temperature/cpu 72 C over its warning limit of 70 C; ")

    def test_energy_budget_ends_in_hold(self):
        budget = Limit("energy/left", 20.0, 10.0, 0.0, falling=True)
        guard = self.guard(limits=(budget,), energy_budget_j=100.0)
        modes = []
        for now_s in range(13):
            verdict = self.step(guard, float(now_s), power(10.0, float(now_s)))
            modes.append((verdict.decision.mode, verdict.point.rate_hz))
        assert modes[:8] == [(Mode.NOMINAL, 30.0)] * 8
        assert modes[8:10] == [(Mode.CONSTRAINED, 10.0), (Mode.CONSTRAINED, 2.0)]
        assert verdict.point.route == Route.HOLD and verdict.forecast.energy_left_j == pytest.approx(-20.0)
        guard.reset_energy()
        for now_s in range(13, 40):
            verdict = self.step(guard, float(now_s), power(0.1, float(now_s)))
        assert verdict.decision.mode == Mode.NOMINAL

    def test_limits_can_change_while_it_runs(self):
        guard = self.guard()
        assert self.step(guard, 0.0, temperature(60.0)).decision.mode == Mode.NOMINAL
        guard.configure(GuardConfig(limits=(Limit("temperature/*", 55.0),), caps=CAPS))
        assert self.step(guard, 1.0, temperature(60.0)).decision.mode == Mode.CONSTRAINED

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.floats(0.01, 1.0),
                st.one_of(st.floats(40.0, 100.0), st.just(math.nan)),
                st.one_of(st.floats(0.0, 30.0), st.just(math.nan)),
                st.sampled_from(Link),
                st.floats(0.0, 60.0),
            ),
            max_size=60,
        )
    )
    def test_whatever_happens_the_point_is_within_the_limits(self, steps):
        guard, now_s = self.guard(), 0.0
        for gap_s, value_c, value_w, link, rate_hz in steps:
            now_s += gap_s
            asked = OperatingPoint(rate_hz=rate_hz)
            heat = temperature(value_c, now_s) if value_c == value_c else dead(now_s)
            verdict = self.step(guard, now_s, heat, power(value_w, now_s), link=link, asked=asked)
            again, reasons = permit(verdict.point, verdict.readings, (ZONE,), CAPS)
            assert (again, reasons) == (verdict.point, []), "permitting twice changes nothing"
            if link == Link.DOWN:
                assert verdict.point.route >= Route.LOCAL
