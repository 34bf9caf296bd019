from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_readings import CAPS, ZONE, busy, charge, dead, power, temperature

from qeil_ros.safety.forecast import Method
from qeil_ros.safety.guard import Guard, GuardConfig
from qeil_ros.safety.limits import Level, Limit, battery_limit, power_limit
from qeil_ros.safety.link import Link
from qeil_ros.safety.modes import Mode
from qeil_ros.safety.permit import Caps, OperatingPoint, Route, permit
from qeil_ros.safety.strategies import Strategy


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

    @settings(max_examples=100, deadline=None)
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

    def test_verdict_says_what_it_rests_on(self):
        guard = self.guard(energy_budget_j=1000.0, mission_s=100.0, limits=(ZONE, power_limit(20.0)))
        for step in range(150):
            verdict = self.step(guard, 0.2 * step, temperature(50.0, 0.2 * step), power(5.0, 0.2 * step))
        forecast = verdict.forecast
        assert (forecast.zone, forecast.temperature_c) == ("temperature/cpu", pytest.approx(50.0, abs=0.1))
        assert forecast.method in (Method.MODEL, Method.TREND)
        assert forecast.temperature_error_c == pytest.approx(0.0, abs=0.1)
        assert forecast.energy_j == pytest.approx(50.0) and forecast.energy_error_j == pytest.approx(
            0.0, abs=0.1
        )
        assert forecast.mission_left_j == pytest.approx(1000.0 - 5.0 * 100.0, rel=0.01)
        assert verdict.strategy is Strategy.CO_INFERENCE and (verdict.share, verdict.ramp) == (1.0, 1.0)
        budget = verdict.budget
        assert budget.energy_left_j == pytest.approx(1000.0 - 5.0 * 29.8)
        assert budget.time_left_s == pytest.approx(100.0 - 29.8)
        assert budget.power_w == pytest.approx(budget.energy_left_j / budget.time_left_s, rel=1e-3)
        assert budget.headroom_c == pytest.approx(29.0, abs=0.2) and budget.c_per_w == 0.0

    def test_strategies_follow_link_and_limits(self):
        guard = self.guard(offered=tuple(Strategy), server_split="input")
        asked = OperatingPoint(split="input", rate_hz=30.0)
        verdict = self.step(guard, 0.0, temperature(50.0), asked=asked)
        assert (verdict.strategy, verdict.point) == (Strategy.ON_SERVER, asked)
        verdict = self.step(guard, 0.2, temperature(50.0), asked=asked, link=Link.DEGRADED)
        assert (verdict.strategy, verdict.point.split) == (Strategy.CO_INFERENCE, "")
        verdict = self.step(guard, 0.4, temperature(50.0), asked=asked, link=Link.DOWN)
        assert (verdict.strategy, verdict.point.route) == (Strategy.LOCAL_FULL, Route.LOCAL)
        verdict = self.step(guard, 0.6, temperature(85.0), asked=asked, link=Link.DOWN)
        assert (verdict.strategy, verdict.point.rate_hz) == (Strategy.LOCAL_CHEAP, 2.0)
        verdict = self.step(guard, 0.8, temperature(95.0), asked=asked, link=Link.DOWN)
        assert (verdict.strategy, verdict.point.route) == (Strategy.HOLD, Route.HOLD)
        assert [each.name for each in verdict.strategies if each.available] == [Strategy.HOLD]

    def test_without_a_local_model_a_lost_link_is_a_hold(self):
        guard = self.guard(offered=(Strategy.CO_INFERENCE,))
        verdict = self.step(guard, 0.0, temperature(50.0), link=Link.DOWN)
        assert (verdict.decision.mode, verdict.point.route) == (Mode.LOCAL, Route.HOLD)

    def test_limits_are_recovered_from_by_stages(self):
        guard = self.guard(caps=Caps(), dwell_s=1.0, recovery_stage_s=2.0, recovery_ramp_s=4.0)
        self.step(guard, 0.0, temperature(95.0))
        seen = []
        for i in range(1, 130):
            verdict = self.step(guard, 0.1 * i, temperature(40.0))
            seen.append((verdict.decision.level, verdict.point.route, verdict.point.rate_hz))
        held = [rate for level, route, rate in seen if route == Route.HOLD]
        assert len(held) == pytest.approx(10, abs=1)
        rates = [rate for _, route, rate in seen if route == Route.OFFBOARD]
        assert rates[0] == 2.0 and rates == sorted(rates) and rates[-1] == 30.0
        below = [rate for level, _, rate in seen if level < Level.THROTTLE]
        assert below[1] == pytest.approx(15.0), "half of it first"
        assert sum(rate == pytest.approx(15.0) for rate in rates) >= 19

    def test_link_is_recovered_from_with_half_the_bits(self):
        guard = self.guard(link_dwell_s=0.2, recovery_stage_s=1.0, recovery_ramp_s=1.0)
        asked = OperatingPoint(feature_bits=8, rate_hz=30.0)
        self.step(guard, 0.0, temperature(40.0), link=Link.DOWN, asked=asked)
        bits = [
            (verdict.point.route, verdict.point.feature_bits, verdict.point.rate_hz)
            for i in range(1, 40)
            for verdict in [self.step(guard, 0.1 * i, temperature(40.0), asked=asked)]
        ]
        offboard = [bit for route, bit, _ in bits if route == Route.OFFBOARD]
        assert offboard[0] == 4 and offboard == sorted(offboard) and offboard[-1] == 8
        assert {rate for _, _, rate in bits} == {30.0}, "every frame is still answered"

    def test_a_recovered_link_does_not_change_the_bits_that_a_model_wants_by_itself(self):
        guard = self.guard(link_dwell_s=0.2, recovery_stage_s=1.0, recovery_ramp_s=1.0)
        asked = OperatingPoint(feature_bits=0, rate_hz=30.0)
        self.step(guard, 0.0, temperature(40.0), link=Link.DOWN, asked=asked)
        points = [self.step(guard, 0.1 * i, temperature(40.0), asked=asked).point for i in range(1, 40)]
        assert Route.OFFBOARD in {point.route for point in points}
        assert {point.feature_bits for point in points} == {0}, "four could be more than it wants"

    @pytest.mark.parametrize(
        ("asked_bits", "model_bits", "given"), [(0, 3, 3), (0, 8, 4), (0, 0, 4), (8, 3, 4)]
    )
    def test_a_doubtful_link_never_raises_the_bits(self, asked_bits, model_bits, given):
        asked = OperatingPoint(feature_bits=asked_bits, rate_hz=30.0)
        verdict = self.guard().step(asked, [temperature(40.0)], Link.DEGRADED, "loss", 0.0, model_bits)
        assert verdict.point.feature_bits == given

    def test_operator_can_pin_and_lift(self):
        guard = self.guard()
        guard.pin(Mode.CONSTRAINED, "trials")
        verdict = self.step(guard, 0.0, temperature(40.0))
        assert (verdict.decision.mode, verdict.point.rate_hz) == (Mode.CONSTRAINED, 15.0)
        assert "pinned to constrained by the operator: trials" in verdict.point.reason
        guard.pin(Mode.HOLD)
        assert self.step(guard, 0.2, temperature(40.0)).point.route == Route.HOLD
        guard.pin(Mode.NOMINAL)
        assert self.step(guard, 0.4, temperature(40.0)).point == OperatingPoint(rate_hz=30.0, reason="asked")

    def test_power_is_brought_to_its_limit_in_proportion(self):
        guard = self.guard(limits=(power_limit(10.0),), caps=Caps())
        rate_hz, levels = 30.0, set()
        for i in range(300):
            verdict = self.step(guard, 0.2 * i, power(3.0 + 9.0 * rate_hz / 30.0, 0.2 * i))
            rate_hz = verdict.point.rate_hz
            levels.add(verdict.decision.level if i > 100 else Level.CLEAR)
        assert 8.5 < 3.0 + 9.0 * rate_hz / 30.0 <= 10.0
        assert Level.THROTTLE not in levels
        assert "at most 9.5 W are permitted" in verdict.point.reason

    def test_energy_is_spread_until_the_end_of_the_mission(self):
        guard = self.guard(limits=(), caps=Caps(), energy_budget_j=1500.0, mission_s=300.0)
        rate_hz = 30.0
        for i in range(1495):
            rate_hz = self.step(guard, 0.2 * i, power(2.0 + 8.0 * rate_hz / 30.0, 0.2 * i)).point.rate_hz
        left_j = self.step(guard, 299.0, power(5.0, 299.0)).forecast.energy_left_j
        assert 0.0 <= left_j < 75.0

    def test_battery_at_its_floor_ends_in_hold(self):
        guard = self.guard(limits=(battery_limit(20.0),), caps=Caps())
        assert self.step(guard, 0.0, charge(50.0)).decision.mode == Mode.NOMINAL
        assert self.step(guard, 1.0, charge(27.0)).point.rate_hz < 30.0
        assert self.step(guard, 2.0, charge(20.0)).point.route == Route.HOLD

    def test_heat_is_met_before_its_limit(self):
        guard = self.guard(caps=Caps())
        value_c, rate_hz, hottest_c, rates = 40.0, 30.0, 0.0, []
        for i in range(3000):
            load = 4.0 * rate_hz / 30.0
            value_c += (40.0 + 15.0 * load - value_c) * -math.expm1(-0.2 / 60.0)
            reading = temperature(round(2 * value_c) / 2, 0.2 * i)
            rate_hz = self.step(guard, 0.2 * i, reading, busy(load, 0.2 * i)).point.rate_hz
            hottest_c = max(hottest_c, value_c)
            rates.append(rate_hz)
        assert 78.0 < hottest_c < 80.0
        assert value_c > 77.0, "no more is given up than must be"
        assert min(rates) > 15.0, "in proportion, not on and off"

    def test_bad_configuration_is_refused_and_the_old_one_kept(self):
        guard = self.guard()
        for bad in ({"full_rate_hz": 0.0}, {"mission_s": -1.0}, {"recovery_share": 0.0}):
            with pytest.raises(ValueError, match="want"):
                guard.configure(GuardConfig(**bad))
        assert self.step(guard, 0.0, temperature(95.0)).point.route == Route.HOLD

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.floats(0.05, 2.0),
                st.one_of(st.floats(20.0, 110.0), st.just(math.nan)),
                st.one_of(st.floats(0.0, 8.0), st.just(math.nan)),
                st.sampled_from(Link),
            ),
            max_size=50,
        ),
        st.sampled_from(Mode),
    )
    def test_it_never_flaps_and_always_comes_back(self, steps, pin):
        guard, now_s, mode, better_s = self.guard(caps=Caps()), 0.0, Mode.NOMINAL, -math.inf
        for gap_s, value_c, cores, link in steps:
            now_s += gap_s
            heat = temperature(value_c, now_s) if value_c == value_c else dead(now_s)
            decision = self.step(guard, now_s, heat, busy(cores, now_s), link=link).decision
            if decision.mode < mode:
                # Better again only after a dwell: of the link at least, which is the shorter one.
                assert now_s - better_s >= 0.5
                better_s = now_s
            mode = decision.mode
        guard.pin(pin)
        self.step(guard, now_s + 0.1, temperature(20.0))
        guard.pin(Mode.NOMINAL)
        for _ in range(60):
            now_s += 1.0
            verdict = self.step(guard, now_s, temperature(20.0, now_s), busy(0.1, now_s))
        assert verdict.decision.mode == Mode.NOMINAL
        assert verdict.point == OperatingPoint(rate_hz=30.0, reason="asked")
