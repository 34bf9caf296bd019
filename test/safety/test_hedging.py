"""How long answers took, what may be wasted, and what the arbiter makes of both."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety.arbiter_world import COST, World

from qeil_ros.safety.arbiter import ArbiterConfig, Source
from qeil_ros.safety.cost import Cost
from qeil_ros.safety.hedging import Allowance, AnswerTimes

CONFIG = ArbiterConfig(margin_s=0.02, slack_s=0.005, hedge_share=0.1, hedge_burst=3, rehearse_s=0.0)
NEVER = math.inf


def answer_times(*times_s: float) -> AnswerTimes:
    times = AnswerTimes(most=64, fewest=8)
    for took_s in times_s:
        times.add(took_s)
    return times


class TestAnswerTimes:
    def test_few_say_nothing(self) -> None:
        times = answer_times(*[0.03] * 7)
        assert math.isnan(times.chance(0.0, 0.2))
        assert times.doubtful_after_s(0.2, 0.5) == math.inf

    def test_chance_is_the_share_of_those_that_took_longer(self) -> None:
        times = answer_times(*[0.01] * 4, *[0.05] * 4, NEVER, NEVER)
        assert times.chance(0.0, 0.2) == pytest.approx(0.8)
        assert times.chance(0.02, 0.2) == pytest.approx(4 / 6)
        assert times.chance(0.02, 0.04) == 0.0
        assert times.chance(0.05, 0.2) == 0.0

    def test_sound_link_is_doubted_when_an_answer_takes_longer_than_any(self) -> None:
        times = answer_times(*(0.03 + 0.001 * i for i in range(20)))
        assert times.doubtful_after_s(0.2, 0.5) == pytest.approx(0.049)

    def test_dead_link_is_doubted_at_once(self) -> None:
        assert answer_times(*[NEVER] * 8).doubtful_after_s(0.2, 0.5) == 0.0

    def test_old_ones_are_forgotten(self) -> None:
        times = answer_times(*[NEVER] * 64, *[0.03] * 64)
        assert times.chance(0.0, 0.2) == 1.0 and len(times) == 64

    @settings(max_examples=300, deadline=None)
    @given(
        times_s=st.lists(st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3, NEVER]), min_size=8, max_size=64),
        within_s=st.floats(0.0, 0.4),
        least=st.floats(0.01, 1.0),
    )
    def test_doubt_begins_where_the_chance_first_falls_below(self, times_s, within_s, least) -> None:
        times = answer_times(*times_s)
        doubtful_s = times.doubtful_after_s(within_s, least)
        assert times.chance(doubtful_s, within_s) < least
        earlier = [0.0, *(t for t in times_s if t < doubtful_s)]
        assert all(times.chance(t, within_s) >= least for t in earlier if t < doubtful_s)


class TestAllowance:
    def test_is_spent_and_grows_with_the_frames(self) -> None:
        allowance = Allowance(share=0.5, burst=2)
        allowance.take()
        allowance.take()
        assert not allowance.allows
        with pytest.raises(ValueError, match="spent"):
            allowance.take()
        allowance.frame()
        assert not allowance.allows
        allowance.frame()
        assert allowance.allows

    def test_share_of_none_allows_none(self) -> None:
        allowance = Allowance(share=0.0, burst=5)
        allowance.frame()
        assert not allowance.allows
        allowance.change(share=0.1, burst=5)
        assert allowance.allows
        allowance.change(share=0.0, burst=5)
        assert not allowance.allows

    @given(
        share=st.floats(0.01, 1.0),
        burst=st.integers(1, 10),
        steps=st.lists(st.sampled_from(["frame", "hedge", "needed"]), max_size=200),
    )
    def test_no_more_is_wasted_than_allowed(self, share, burst, steps) -> None:
        allowance, frames, hedges, needed = Allowance(share, burst), 0, 0, 0
        for step in steps:
            if step == "frame":
                frames += 1
                allowance.frame()
            elif step == "hedge" and allowance.allows:
                allowance.take()
                hedges += 1
            elif step == "needed" and needed < hedges:
                allowance.put_back()
                needed += 1
            assert hedges - needed <= burst + share * frames + 1e-6


def primed(config: ArbiterConfig = CONFIG, took_s: float = 0.03, count: int = 10, **changes) -> World:
    """A world whose first frames, a second before those of the test, were answered after `took_s`."""
    world = World(config, **changes)
    for sequence in range(-count, 0):
        at_s = 0.1 * sequence
        world.frame(at_s, sequence + count)
        world.answer(at_s + took_s, sequence + count)
    world.now_s = -10.0
    world.run(until_s=-1e-9)
    assert [source for _, source in world.sources()] == [Source.OFFBOARD] * count
    world.published.clear()
    return world


FIRST = 10  # sequence of the first frame after `primed`


class TestHedge:
    def test_begins_when_an_answer_takes_longer_than_usual_and_keeps_its_result_in_reserve(self) -> None:
        world = primed()
        world.frame(0.0, FIRST)
        world.answer(0.1, FIRST)
        world.run(until_s=0.05)
        assert world.arbiter.counts["hedges"] == 1
        assert not world.published, "the offboard answer may still come, and is the better one"
        world.run()
        at_s, publish = world.result(FIRST)
        assert (at_s, publish.source) == (0.1, Source.OFFBOARD)
        assert world.arbiter.counts["hedges_needed"] == 0

    def test_usual_answers_are_not_hedged(self) -> None:
        world = primed()
        for sequence in range(FIRST, FIRST + 20):
            world.frame(0.033 * sequence, sequence)
            world.answer(0.033 * sequence + 0.029 - 0.001 * (sequence % 10), sequence)
        world.run()
        assert world.arbiter.counts["hedges"] == 0

    def test_reserve_is_published_in_time_where_no_answer_comes(self) -> None:
        world = primed()
        world.frame(0.0, FIRST)
        world.answer(0.19, FIRST)
        world.run()
        at_s, publish = world.result(FIRST)
        assert (publish.source, publish.reason) == (Source.LOCAL, "no offboard answer in time")
        assert at_s == pytest.approx(0.2 - 0.02 - 0.005)
        assert publish.waited
        assert world.arbiter.counts["hedges_needed"] == 1
        assert world.arbiter.counts["offboard_late"] == 1

    def test_reserve_saves_a_frame_that_the_local_model_started_late_would_lose(self) -> None:
        """The run takes longer than its 99th percentile and the slack together."""
        slow = {"local_s": 0.05}
        world = primed(**slow)
        world.frame(0.0, FIRST)
        world.run()
        assert world.result(FIRST)[1].source == Source.LOCAL
        unhedged = primed(ArbiterConfig(margin_s=0.02, slack_s=0.005, hedge_share=0.0, rehearse_s=0), **slow)
        unhedged.frame(0.0, FIRST)
        unhedged.run()
        assert unhedged.result(FIRST)[1].source == Source.NONE

    def test_reserve_lets_the_next_answer_pass_at_once(self) -> None:
        world = primed()
        world.frame(0.0, FIRST)
        world.frame(0.05, FIRST + 1)
        world.answer(0.08, FIRST + 1)
        world.run()
        assert world.sources() == [(FIRST, Source.LOCAL), (FIRST + 1, Source.OFFBOARD)]
        assert world.result(FIRST)[0] == world.result(FIRST + 1)[0] == 0.08
        assert world.result(FIRST)[1].reason == "a later frame was answered first"

    def test_reserve_is_published_at_once_when_the_link_is_given_up(self) -> None:
        world = primed()
        world.frame(0.0, FIRST)
        world.eager(0.1, "heartbeat lost")
        world.run()
        at_s, publish = world.result(FIRST)
        assert (at_s, publish.source, publish.reason) == (0.1, Source.LOCAL, "heartbeat lost")
        assert not publish.waited

    def test_every_frame_is_hedged_while_the_caller_doubts_as_far_as_the_allowance_goes(self) -> None:
        world = primed()
        world.arbiter.doubtful = "heartbeat late"
        for sequence in range(FIRST, FIRST + 25):
            world.frame(0.033 * sequence, sequence)
            world.answer(0.033 * sequence + 0.03, sequence)
        world.run()
        counts = world.arbiter.counts
        assert counts["hedges"] == 3 + 2, "the burst, and a tenth of the other frames"
        assert counts["hedges_denied"] == 20
        assert counts["answers_offboard"] == 10 + 25

    def test_hedges_that_were_needed_cost_no_allowance(self) -> None:
        world = primed()
        for sequence in range(FIRST, FIRST + 40):
            world.frame(0.1 * (sequence - FIRST), sequence)
        world.run()
        counts = world.arbiter.counts
        assert counts["hedges"] == counts["hedges_needed"] == 40
        assert counts["answers_local"] == 40

    def test_needed_ones_do_not_pay_for_those_in_vain(self) -> None:
        world = primed()
        world.arbiter.doubtful = "heartbeat late"
        for sequence in range(FIRST, FIRST + 60):
            world.frame(0.25 * (sequence - FIRST), sequence)
            if sequence % 2:
                world.answer(0.25 * (sequence - FIRST) + 0.03, sequence)
        world.run()
        counts = world.arbiter.counts
        assert counts["hedges_needed"] >= 3
        assert counts["hedges"] - counts["hedges_needed"] <= 3 + 0.1 * 60

    def test_none_where_the_next_frame_might_lose_by_it(self) -> None:
        world = primed()
        world.frame(0.0, FIRST, time_left_s=0.115, cost=Cost(0.01, 0.05))
        world.run(until_s=0.039)
        assert world.arbiter.counts["hedges"] == 0

    def test_changed_terms_hold_from_then_on(self) -> None:
        world = primed()
        world.arbiter.configure(ArbiterConfig(margin_s=0.05, slack_s=0.005, hedge_share=0.0, rehearse_s=0.0))
        world.frame(0.0, FIRST)
        world.run()
        assert world.arbiter.counts["hedges"] == 0
        assert world.result(FIRST)[0] == pytest.approx(0.2 - 0.05 - 0.005 - COST.worst_s + world.local_s)


class TestRehearsal:
    config = ArbiterConfig(margin_s=0.02, slack_s=0.005, hedge_share=0.0, rehearse_s=1.0)

    def test_keeps_the_estimate_fresh_and_changes_no_answer(self) -> None:
        world = World(self.config)
        for sequence in range(50):
            world.frame(0.1 * sequence, sequence)
            world.answer(0.1 * sequence + 0.03, sequence)
        world.run()
        assert world.arbiter.counts["rehearsals"] == 4, "once a second after the first"
        assert world.arbiter.counts["answers_offboard"] == 50

    def test_makes_way_for_a_frame_that_needs_the_local_model_soon(self) -> None:
        world = World(self.config, local_s=COST.worst_s)
        world.frame(0.0, 0)
        world.answer(0.03, 0)
        world.frame(2.0, 1, time_left_s=0.05)  # due to start at 2.01
        world.frame(2.001, 2)
        world.run(until_s=2.009)
        assert world.arbiter.counts["rehearsals"] == 0
        world.run()
        assert world.result(1)[1].source == Source.LOCAL

    def test_finds_out_that_a_slow_local_model_has_become_fast_again(self) -> None:
        """By its times it could answer nobody: without a run in vain nobody would ever know better."""
        world = World(self.config)
        for sequence in range(30):
            world.frame(0.1 * sequence, sequence, cost=Cost(5.0, 9.0))
        world.eager(0.0, "heartbeat lost")
        world.run()
        assert world.arbiter.counts["rehearsals"] == 2
        assert world.arbiter.counts["answers_local"] == 2, "it was fast after all"

    def test_none_at_all_where_not_wanted(self) -> None:
        world = World(CONFIG)
        for sequence in range(50):
            world.frame(0.5 * sequence, sequence)
            world.answer(0.5 * sequence + 0.03, sequence)
        world.run()
        assert world.arbiter.counts["rehearsals"] == 0
