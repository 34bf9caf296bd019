from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_readings import CAPS, ZONE, temperature

from qeil_ros.safety.limits import Level, findings
from qeil_ros.safety.link import Link
from qeil_ros.safety.modes import Mode, ModeMachine, restrict
from qeil_ros.safety.permit import OperatingPoint, Route


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

    def test_pinned_mode_is_the_least_restricted_one(self):
        machine = self.machine()
        machine.pin(Mode.LOCAL, "radio silence")
        decision = self.decide(machine, 0.0)
        assert (decision.mode, decision.pinned, decision.link) == (Mode.LOCAL, Mode.LOCAL, Link.UP)
        assert decision.reasons == ("pinned to local by the operator: radio silence",)
        asked = OperatingPoint(feature_bits=8)
        assert restrict(asked, decision, CAPS) == OperatingPoint(feature_bits=8, route=Route.LOCAL)
        assert self.decide(machine, 1.0, 95.0).mode == Mode.HOLD, "a limit is never lifted"
        machine.pin(Mode.NOMINAL)
        assert self.decide(machine, 1.1, 95.0).mode == Mode.HOLD
        machine.pin(Mode.HOLD)
        decision = self.decide(self.machine(), 0.0)
        assert decision.reasons == ()
        assert restrict(asked, self.decide(machine, 100.0), CAPS).route == Route.HOLD
