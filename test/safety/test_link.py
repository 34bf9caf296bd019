from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.link import Echo, Link, LinkConfig, LinkMonitor

PERIOD_S = 0.1


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
        assert link.next_s(0.9) == pytest.approx(1.15)
        assert link.next_s(1.15) == pytest.approx(1.2)
        assert link.state(1.1)[0] == Link.UP
        state, reason = link.state(1.16)
        assert (state, reason) == (Link.DEGRADED, "heartbeat late")
        state, reason = link.state(1.2001)
        assert state == Link.DOWN and reason.startswith("heartbeat lost")

    @given(st.floats(0.0, 1e6))
    def test_the_moment_that_it_names_is_the_moment_of_the_change(self, beat_s):
        link = LinkMonitor(LinkConfig(), now_s=beat_s)
        beat(link, beat_s, 0)
        states = []
        now_s = beat_s
        while (now_s := link.next_s(now_s)) < math.inf:
            states.append(link.state(now_s)[0])
        assert states == [Link.DEGRADED, Link.DOWN]

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
        link.answered(0.24)
        assert link.state(0.48)[0] == Link.UP

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

    def test_figures_come_from_what_was_sent_and_answered(self):
        link = self.make()
        for sequence in range(20):
            link.sent(("run", sequence), 1000, 0.1 * sequence)
            link.answered(0.1 * sequence + 0.05, ("run", sequence), server_s=0.03)
        figures = link.figures(2.0)
        assert figures.round_trip_s == pytest.approx(0.02)
        assert figures.sent_bytes_s == pytest.approx(10_000)
        assert figures.loss == 0.0


class TestBothWays:
    """The server's heartbeat names the newest message that it has of this robot."""

    def run(self, hears_from_s=0.0, hears_until_s=math.inf, round_trip_s=0.0, seconds=3.0):
        """(time, state, reason) at each heartbeat, while the robot sends a frame every 0.05 s."""
        link = LinkMonitor(LinkConfig(), now_s=0.0)
        states = []
        sent = 0
        for beat_number in range(round(seconds / PERIOD_S)):
            now_s = PERIOD_S * beat_number + 1e-3
            while 0.05 * sent <= now_s:
                link.sent(sent, 500, 0.05 * sent)
                sent += 1
            left_s = min(now_s - round_trip_s, hears_until_s)
            newest = math.floor(left_s / 0.05)
            key = newest if newest >= 0 and left_s >= hears_from_s else None
            held_s = now_s - round_trip_s - 0.05 * newest if key is not None else math.nan
            echo = Echo(key, held_s)
            link.hear(1, beat_number, PERIOD_S, now_s, echo=echo)
            states.append((now_s, *link.state(now_s)))
        return states

    def test_link_that_carries_both_ways_is_up(self):
        assert {state for _, state, _ in self.run()} == {Link.UP}

    def test_long_way_is_no_silence(self):
        states = self.run(round_trip_s=0.6, seconds=4.0)
        assert {state for at_s, state, _ in states if at_s > 1.6} == {Link.UP}

    def test_server_that_never_hears_the_robot_is_down(self):
        states = self.run(hears_from_s=math.inf)
        assert all(state == Link.DOWN for at_s, state, _ in states if at_s > 0.45)
        assert "does not hear this robot" in states[-1][2]

    def test_uplink_that_breaks_is_noticed_though_heartbeats_come(self):
        states = self.run(hears_until_s=1.0)
        down_s = next(at_s for at_s, state, _ in states if state == Link.DOWN)
        assert 1.3 < down_s < 1.6
        assert "half-open" in states[-1][2]

    def test_robot_that_sends_nothing_is_not_missed(self):
        link = LinkMonitor(LinkConfig(), now_s=0.0)
        for number in range(30):
            link.hear(1, number, PERIOD_S, PERIOD_S * number, echo=Echo(None))
            assert link.state(PERIOD_S * number)[0] == Link.UP

    def test_one_heartbeat_that_overtook_a_frame_says_nothing(self):
        link = LinkMonitor(LinkConfig(), now_s=0.0)
        link.sent("frame", 500, 0.0)
        for number, key in enumerate((None, None, None, None, "frame", "frame", "frame")):
            now_s = PERIOD_S * number
            link.hear(1, number, PERIOD_S, now_s, echo=Echo(key, 0.0))
            assert link.state(now_s)[0] == Link.UP

    def test_answer_proves_that_the_server_hears(self):
        link = LinkMonitor(LinkConfig(), now_s=0.0)
        for number in range(30):
            now_s = PERIOD_S * number
            link.sent(number, 500, now_s)
            link.answered(now_s + 0.02, number, server_s=0.0)
            link.hear(1, number, PERIOD_S, now_s + 0.05, echo=Echo(None))
            assert link.state(now_s + 0.05)[0] == Link.UP
