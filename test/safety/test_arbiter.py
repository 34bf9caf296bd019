"""The arbiter's rules, one by one."""

from __future__ import annotations

import math

from safety.arbiter_world import CONFIG, COST, World

from qeil_ros.safety.arbiter import Source
from qeil_ros.safety.cost import Cost


def test_offboard_answer_in_time_is_published_at_once() -> None:
    world = World()
    world.frame(0.0, 0)
    world.answer(0.05, 0)
    world.run()
    at_s, publish = world.result(0)
    assert (at_s, publish.source, publish.answer) == (0.05, Source.OFFBOARD, "offboard 0")


def test_local_starts_just_in_time_and_late_answer_is_counted_not_published() -> None:
    world = World()
    world.frame(0.0, 0)
    world.answer(0.19, 0)
    world.answer(0.5, 0)
    world.run()
    at_s, publish = world.result(0)
    assert publish.source == Source.LOCAL
    assert publish.reason == "no offboard answer in time"
    # 0.2 less the margin, the slack and the 99th percentile, plus the run itself
    assert math.isclose(at_s, 0.2 - 0.02 - 0.005 - 0.015 + 0.01)
    assert world.arbiter.counts["offboard_late"] == 2


def test_local_starts_at_once_when_eager() -> None:
    world = World()
    world.frame(0.0, 0)
    world.eager(0.03, "heartbeat lost")
    world.frame(0.1, 1)
    world.run()
    assert [(round(at_s, 6), p.source, p.reason, p.waited) for at_s, p in world.published] == [
        (0.04, Source.LOCAL, "heartbeat lost", False),
        (0.11, Source.LOCAL, "heartbeat lost", False),
    ]


def test_offboard_answer_wins_over_a_running_local_model() -> None:
    world = World(local_s=0.02)
    world.frame(0.0, 0)
    world.answer(0.17, 0)
    world.run()
    at_s, publish = world.result(0)
    assert (at_s, publish.source, publish.reason) == (0.17, Source.OFFBOARD, "offboard in time")
    assert world.arbiter.counts["local_unneeded"] == 1


def test_without_a_local_model_the_frame_gets_no_answer_in_time() -> None:
    world = World()
    world.frame(0.0, 0, cost=None)
    world.run()
    at_s, publish = world.result(0)
    assert publish.source == Source.NONE
    assert math.isclose(at_s, 0.18)
    assert "no local model" in publish.reason


def test_failing_local_model_gives_no_answer_with_its_reason() -> None:
    world = World(local_problem="unreadable features")
    world.frame(0.0, 0)
    world.run()
    at_s, publish = world.result(0)
    assert publish.source == Source.NONE
    assert at_s <= 0.18 + 1e-9
    assert "unreadable features" in publish.reason


def test_local_model_that_overruns_is_given_up_in_time() -> None:
    world = World(local_s=1.0)
    world.frame(0.0, 0)
    world.run()
    at_s, publish = world.result(0)
    assert publish.source == Source.NONE
    assert math.isclose(at_s, 0.18)
    assert world.arbiter.counts["local_late"] == 1


def test_dense_frames_start_the_local_model_early_enough_for_all() -> None:
    """Frames 2 ms apart, the model takes 15: only an early start answers all of them."""
    world = World(local_s=COST.worst_s)
    for sequence in range(8):
        world.frame(0.002 * sequence, sequence)
    world.run()
    assert [source for _, source in world.sources()] == [Source.LOCAL] * 8
    for sequence in range(8):
        assert world.result(sequence)[0] <= 0.002 * sequence + 0.18 + 1e-9


def test_overtaken_frame_is_run_locally_and_order_is_kept() -> None:
    world = World()
    world.frame(0.0, 0)
    world.frame(0.033, 1)
    world.answer(0.05, 1)  # frame 0 was lost on the way
    world.run()
    assert world.sources() == [(0, Source.LOCAL), (1, Source.OFFBOARD)]
    assert math.isclose(world.result(0)[0], 0.06)
    assert math.isclose(world.result(1)[0], 0.06), "held for the local run, no longer"


def test_overtaken_frame_without_a_local_model_does_not_hold_up_the_next() -> None:
    world = World()
    world.frame(0.0, 0, cost=None)
    world.frame(0.033, 1)
    world.answer(0.05, 1)
    world.run()
    assert world.sources() == [(0, Source.NONE), (1, Source.OFFBOARD)]
    assert world.result(1)[0] == 0.05


def test_new_run_does_not_cost_the_old_run_its_answers() -> None:
    world = World()
    world.frame(0.0, 41, run=1)
    world.frame(0.05, 0, run=2)
    world.answer(0.06, 0, run=2)
    world.run()
    assert world.result(0, run=2)[0] == 0.06
    at_s, publish = world.result(41, run=1)
    assert publish.source == Source.LOCAL
    assert at_s <= 0.18


def test_repeated_and_stale_frames_are_counted_and_answered_once() -> None:
    world = World()
    world.frame(0.0, 5)
    world.frame(0.01, 5)
    world.answer(0.02, 5)
    world.frame(0.03, 5)
    world.frame(0.04, 3)  # overtaken on the way: it never had a chance
    world.run()
    assert world.sources() == [(5, Source.OFFBOARD), (3, Source.NONE)]
    assert world.arbiter.counts["frames_repeated"] == 2
    assert "after a later frame" in world.result(3)[1].reason


def test_hostile_times_left_are_answered_at_once() -> None:
    world = World()
    for sequence, time_left_s in enumerate((math.nan, math.inf, -math.inf, -1.0, 0.0, 0.01)):
        world.frame(0.0, sequence, time_left_s=time_left_s)
    world.frame(0.0, 9, time_left_s=1e30)
    world.run()
    assert all(world.result(sequence) == (0.0, world.result(sequence)[1]) for sequence in range(6))
    assert all(source == Source.NONE for sequence, source in world.sources() if sequence < 6)
    assert world.result(9)[0] <= CONFIG.longest_s


def test_refused_frame_gets_no_answer_with_the_reason() -> None:
    world = World()
    world.frame(0.0, 0, refusal="made by another model")
    world.answer(0.01, 0)
    world.run()
    assert world.result(0)[1].reason == "made by another model"
    assert world.arbiter.counts["offboard_late"] == 1


def test_answer_handed_over_before_its_frame_is_kept() -> None:
    """Both waited for a caller that was busy, and came out in the wrong order."""
    world = World()
    world.answer(0.0, 0)
    world.frame(0.001, 0)
    world.run()
    assert world.result(0)[0] == 0.001
    assert world.sources() == [(0, Source.OFFBOARD)]


def test_early_answers_are_bounded() -> None:
    world = World()
    for sequence in range(1000):
        world.answer(0.0, sequence, run=99)
    world.frame(0.1, 0, run=99)
    world.frame(0.1, 999, run=99)
    world.run()
    assert world.result(999, run=99)[1].source == Source.OFFBOARD
    assert world.result(0, run=99)[1].source != Source.OFFBOARD, "forgotten: it was not among the last"


def test_refused_frame_is_no_failure_of_the_offboard_computer() -> None:
    world = World()
    world.frame(0.0, 0, refusal="made by another model")
    world.frame(0.0, 1, cost=None)
    world.run()
    assert not world.result(0)[1].waited
    assert world.result(1)[1].waited


def test_frame_that_only_the_usual_run_time_fits_is_tried_at_once() -> None:
    world = World(local_s=0.05)
    world.frame(0.0, 0, cost=Cost(typical_s=0.05, worst_s=5.0))
    world.run()
    at_s, publish = world.result(0)
    assert (at_s, publish.source) == (0.05, Source.LOCAL)


def test_hurried_frame_waits_for_one_that_is_due() -> None:
    """The local model is wanted at once for an overtaken frame, and in 5 ms for one with no time to lose."""
    world = World(local_s=COST.worst_s)
    world.frame(0.0, 0, time_left_s=0.145, run=2)  # due to start at 0.105
    world.frame(0.01, 0)
    world.frame(0.02, 1)
    world.answer(0.1, 1)
    world.run()
    assert world.result(0, run=2)[1].source == Source.LOCAL
    assert world.result(0)[1].source == Source.LOCAL
    assert world.result(0, run=2)[0] < world.result(0)[0]


def test_crowding_out_spares_an_answer_that_is_held() -> None:
    world = World(local_s=0.15)
    world.frame(0.0, 6, time_left_s=10.0, cost=Cost(0.15, 0.15))
    world.frame(0.001, 5, time_left_s=10.0, cost=Cost(0.15, 0.15))
    world.answer(0.002, 6)  # held: 5 has been overtaken and runs
    for sequence in range(20):
        world.frame(0.01, sequence, time_left_s=10.0, cost=None, run=2)
    world.run()
    assert world.result(6)[1].source == Source.OFFBOARD
    assert world.result(5)[1].reason == "too many frames were waiting"


def test_outage_keeps_memory_bounded() -> None:
    world = World(local_s=5.0)
    for sequence in range(2000):
        world.frame(0.0001 * sequence, sequence, time_left_s=30.0, cost=Cost(4.0, 5.0))
    world.run(until_s=60.0)
    assert world.most_pending <= CONFIG.most_pending
    assert len(world.published) == 2000
    assert world.arbiter.counts["frames_crowded_out"] >= 2000 - CONFIG.most_pending - 10


def test_process_that_was_stopped_publishes_nothing_late() -> None:
    world = World()
    world.frame(0.0, 0)
    world.frame(0.01, 1)
    world.stop_process(0.02, for_s=3.0)
    world.answer(0.03, 0)
    world.answer(0.04, 1)
    world.frame(3.1, 2)
    world.answer(3.15, 2)
    world.run()
    assert world.sources() == [(0, Source.NONE), (1, Source.NONE), (2, Source.OFFBOARD)]


def test_flush_answers_everything_that_waits() -> None:
    world = World()
    for sequence in range(3):
        world.frame(0.0, sequence)
    world.run(until_s=0.001)
    actions = world.arbiter.flush("the node is being deactivated")
    assert [(action.key.sequence, action.source) for action in actions] == [
        (n, Source.NONE) for n in range(3)
    ]
    assert len(world.arbiter) == 0
