from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.latch import Latch
from qeil_ros.safety.link import Link, LinkConfig, LinkMonitor

PERIOD_S = 0.1


class TestLatch:
    def test_rises_at_once_and_falls_a_step_at_a_time(self):
        latch = Latch(dwell_s=5.0)
        assert latch.update(3, 0.0) == 3
        levels = [latch.update(0, time_s) for time_s in range(1, 18)]
        assert levels == [3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0]

    def test_not_stepwise_falls_to_the_worst_that_was_wanted_meanwhile(self):
        latch = Latch(dwell_s=5.0, stepwise=False)
        latch.update(3, 0.0)
        latch.update(0, 1.0)
        latch.update(2, 2.0)
        assert latch.update(0, 6.0) == 2
        assert latch.update(0, 11.0) == 0

    def test_relapse_starts_the_dwell_again(self):
        latch = Latch(dwell_s=5.0)
        latch.update(1, 0.0)
        latch.update(0, 1.0)
        latch.update(1, 5.5)
        assert latch.update(0, 6.1) == 1
        assert latch.falls_at_s() == pytest.approx(11.1)
        assert latch.update(0, 11.1) == 0
        assert latch.falls_at_s() == math.inf

    @settings(max_examples=300, deadline=None)
    @given(
        steps=st.lists(st.tuples(st.floats(0.001, 3.0), st.integers(0, 3)), min_size=1, max_size=100),
        stepwise=st.booleans(),
    )
    def test_never_below_what_is_wanted_and_never_falls_faster_than_the_dwell(self, steps, stepwise):
        latch, dwell_s = Latch(2.0, stepwise=stepwise), 2.0
        now_s, level, fell_s = 0.0, 0, -math.inf
        for gap_s, wanted in steps:
            now_s += gap_s
            new = latch.update(wanted, now_s)
            assert new >= wanted
            if new < level:
                assert now_s - fell_s >= dwell_s
                fell_s = now_s
                assert new == level - 1 or not stepwise
            level = new
        # From every state the best one is reached again.
        for _ in range(40):
            now_s += 0.5
            level = latch.update(0, now_s)
        assert level == 0


def beat(link, now_s, sequence, run=1, **trouble):
    assert link.hear(run, sequence, PERIOD_S, now_s, **trouble)


class TestLink:
    def make(self, **changes):
        return LinkMonitor(LinkConfig(**changes), now_s=0.0)

    def test_silence_from_the_start_is_a_dead_link(self):
        link = self.make()
        assert link.state(0.2)[0] == Link.UNKNOWN
        state, reason = link.state(0.3)
        assert state == Link.DOWN and reason.startswith("no heartbeat yet")

    def test_heartbeats_keep_it_up_and_three_missed_ones_take_it_down(self):
        link = self.make()
        for sequence in range(10):
            beat(link, 0.1 * sequence, sequence)
            assert link.state(0.1 * sequence)[0] == Link.UP
        assert link.next_s(0.9) == pytest.approx(1.2)
        assert link.state(1.1)[0] == Link.UP
        state, reason = link.state(1.16)
        assert (state, reason) == (Link.DEGRADED, "heartbeat late")
        state, reason = link.state(1.2001)
        assert state == Link.DOWN and reason.startswith("heartbeat lost")

    def test_slow_heartbeat_does_not_make_it_slow_to_notice(self):
        link = self.make()
        link.hear(1, 0, 1.0, 0.0)
        assert link.state(0.31)[0] == Link.DOWN
        assert "every 1 s" in link.problem
        link.hear(1, 1, 0.05, 1.0)
        assert link.silence_s == pytest.approx(0.15)
        assert link.problem == ""

    @pytest.mark.parametrize("period_s", [math.nan, math.inf, 0.0, -1.0])
    def test_hostile_period_is_taken_for_the_usual_one(self, period_s):
        link = self.make()
        link.hear(1, 0, period_s, 0.0)
        assert link.silence_s == pytest.approx(0.3)

    def test_comes_back_only_after_it_was_well_for_a_while(self):
        link = self.make(recover_s=0.5)
        beat(link, 0.0, 0)
        assert link.state(1.0)[0] == Link.DOWN
        states = []
        for sequence in range(1, 10):
            beat(link, 1.0 + 0.1 * sequence, sequence)
            states.append(link.state(1.0 + 0.1 * sequence)[0])
        assert states == [Link.DOWN] * 5 + [Link.UP] * 4

    def test_a_gap_while_it_recovers_makes_it_begin_anew(self):
        link = self.make(recover_s=0.5)
        beat(link, 0.0, 0)
        assert link.state(1.0)[0] == Link.DOWN
        times_s = [1.1, 1.2, 1.3, 1.4, 1.75, 1.85, 1.95, 2.05, 2.15, 2.24]
        for sequence, now_s in enumerate(times_s, start=1):
            beat(link, now_s, sequence)
            link.answered(now_s)
            assert link.state(now_s)[0] == Link.DOWN
        beat(link, 2.26, 99)
        assert link.state(2.26)[0] == Link.UP

    def test_gap_that_nobody_looked_at_counts_all_the_same(self):
        link = self.make()
        beat(link, 0.0, 0)
        beat(link, 2.0, 1)
        state, reason = link.state(2.01)
        assert state == Link.DOWN and "recovering" in reason

    def test_repeated_heartbeats_are_no_sign_of_life(self):
        link = self.make()
        beat(link, 0.0, 5)
        assert not link.hear(1, 5, PERIOD_S, 0.25)
        assert not link.hear(1, 4, PERIOD_S, 0.25)
        assert link.state(0.31)[0] == Link.DOWN

    def test_answers_are_signs_of_life(self):
        link = self.make()
        beat(link, 0.0, 0)
        link.answered(0.25)
        assert link.state(0.5)[0] == Link.UP

    def test_restart_of_the_server_is_counted(self):
        link = self.make()
        beat(link, 0.0, 100, run=1)
        beat(link, 0.1, 0, run=2)
        assert link.restarts == 1

    def test_server_in_trouble_is_degraded_and_one_of_no_use_is_down(self):
        link = self.make()
        beat(link, 0.0, 0, trouble="overloaded")
        assert link.state(0.0) == (Link.DEGRADED, "overloaded")
        beat(link, 0.1, 1, refusal="runs another model")
        assert link.state(0.1) == (Link.DOWN, "runs another model")

    def test_missed_deadlines_degrade_it(self):
        link = self.make(window_s=2.0, fewest_answers=5, most_missed=0.2)
        beat(link, 0.0, 0)
        for index in range(4):
            link.outcome(False, 0.01 * index)
        assert link.state(0.05)[0] == Link.UP, "too few to say"
        for _ in range(6):
            link.outcome(True, 0.05)
        state, reason = link.state(0.06)
        assert state == Link.DEGRADED and reason == "4 of 10 answers missed their deadline"
        for sequence in range(1, 40):
            beat(link, 0.1 * sequence, sequence)
            state, _ = link.state(0.1 * sequence)
        assert state == Link.UP, "forgotten after the window"

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.floats(0.001, 0.6),
                st.sampled_from(["beat", "answer", "missed", "trouble", "nothing", "restart"]),
            ),
            max_size=120,
        )
    )
    def test_no_sequence_makes_it_flap_and_it_always_recovers(self, events):
        link, config = self.make(), LinkConfig()
        now_s, run, sequence, state, better_s = 0.0, 1, 0, Link.UP, -math.inf
        for gap_s, event in events:
            now_s += gap_s
            if event == "restart":
                run, sequence = run + 1, 0
            if event in ("beat", "trouble", "restart"):
                sequence += 1
                beat(link, now_s, sequence, run, trouble="busy" if event == "trouble" else "")
            elif event == "answer":
                link.answered(now_s)
            elif event == "missed":
                link.outcome(False, now_s)
            new = link.state(now_s)[0]
            if new == Link.UNKNOWN:
                continue
            if new < state:
                assert now_s - better_s >= config.recover_s - 1e-9
                better_s = now_s
            assert link.next_s(now_s) > now_s
            state = new
        for _ in range(60):
            now_s, sequence = now_s + PERIOD_S, sequence + 1
            beat(link, now_s, sequence, run)
            state = link.state(now_s)[0]
        assert state == Link.UP
