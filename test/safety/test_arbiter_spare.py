"""An offboard answer that comes first while the caller does not wait for it."""

from __future__ import annotations

import math

import pytest
from safety.arbiter_world import CONFIG, World

from qeil_ros.safety.arbiter import Source
from qeil_ros.safety.cost import Cost


def eager_world(**changes) -> World:
    world = World(**changes)
    world.eager(0.0, "heartbeat lost")
    return world


def test_it_is_not_needed_where_the_local_model_answers() -> None:
    world = eager_world(local_s=0.02)
    world.frame(0.0, 0)
    world.answer(0.01, 0)
    world.answer(0.011, 0)
    world.frame(0.1, 1)
    world.answer(0.15, 1)
    world.run()
    assert world.sources() == [(0, Source.LOCAL), (1, Source.LOCAL)]
    at_s, publish = world.result(0)
    assert (at_s, publish.reason, publish.waited) == (0.02, "heartbeat lost", False)
    counts = world.arbiter.counts
    assert counts["offboard_unneeded"] == 2, "before the local answer or after it"
    assert counts["offboard_repeated"] == 1 and counts["offboard_late"] == 0


@pytest.mark.parametrize(("answered_s", "published_s"), [(0.01, 0.02), (0.05, 0.05)])
def test_it_is_used_where_the_local_model_fails(answered_s: float, published_s: float) -> None:
    world = eager_world(local_s=0.02, local_problem="unreadable features")
    world.frame(0.0, 0)
    world.answer(answered_s, 0)
    world.run()
    at_s, publish = world.result(0)
    assert (at_s, publish.source, publish.answer) == (published_s, Source.OFFBOARD, "offboard 0")
    assert publish.reason == "offboard in time, since the local model failed: unreadable features"


def test_it_is_used_at_once_where_there_is_no_local_part() -> None:
    world = eager_world()
    world.frame(0.0, 0, cost=None)
    world.answer(0.01, 0)
    world.run()
    at_s, publish = world.result(0)
    assert (at_s, publish.source, publish.waited) == (0.01, Source.OFFBOARD, True)
    assert publish.reason == "offboard in time, since there is no local model for it"


def test_it_waits_for_its_turn_like_any_answer() -> None:
    world = eager_world(local_s=0.05)
    world.frame(0.0, 0)
    world.frame(0.01, 1, cost=None)
    world.answer(0.02, 1)
    world.run()
    assert world.sources() == [(0, Source.LOCAL), (1, Source.OFFBOARD)]
    assert world.result(0)[0] == world.result(1)[0] == 0.05


def test_it_is_used_in_time_where_the_local_model_overruns() -> None:
    world = eager_world(local_s=1.0)
    for sequence in range(2):
        world.frame(0.1 * sequence, sequence)
        world.answer(0.1 * sequence + 0.01, sequence)
    world.run()
    assert world.sources() == [(0, Source.OFFBOARD), (1, Source.OFFBOARD)]
    at_s, publish = world.result(0)
    assert math.isclose(at_s, 0.18)
    assert publish.reason == "offboard in time, since the local model was not done in time"
    at_s, publish = world.result(1)
    assert math.isclose(at_s, 0.28)
    assert publish.reason == "offboard in time, since the local model could not have been done in time"


def test_it_is_used_at_once_when_the_caller_waits_again() -> None:
    world = eager_world(local_s=0.05)
    world.frame(0.0, 0)
    world.answer(0.01, 0)
    world.eager(0.02, "")
    world.run()
    at_s, publish = world.result(0)
    assert (at_s, publish.source, publish.reason) == (0.02, Source.OFFBOARD, "offboard in time")
    assert world.arbiter.counts["local_unneeded"] == 1


def test_a_frame_that_has_one_makes_way_for_a_frame_without() -> None:
    """Of the two only one can still be run when the model is free again."""
    world = eager_world(local_s=0.1)
    cost = Cost(0.1, 0.1)
    for sequence in range(3):
        world.frame(0.001 * sequence, sequence, time_left_s=0.25, cost=cost)
    world.answer(0.01, 1)
    world.run()
    assert world.sources() == [(0, Source.LOCAL), (1, Source.OFFBOARD), (2, Source.LOCAL)]


def test_crowding_out_publishes_it() -> None:
    world = eager_world(local_s=9.0)
    for sequence in range(CONFIG.most_pending + 3):
        world.frame(0.001 * sequence, sequence, time_left_s=30.0)
        if sequence != 1:
            world.answer(0.001 * sequence, sequence)
    world.run(until_s=0.1)
    assert world.sources() == [(0, Source.OFFBOARD), (1, Source.NONE), (2, Source.OFFBOARD)]
    assert world.result(2)[1].reason == "offboard in time, since too many frames were waiting"
    assert world.most_pending == CONFIG.most_pending


def test_a_frame_before_those_that_crowd_is_the_one_to_go() -> None:
    """It came out of order; to publish a later one's spare instead would leave it unanswerable."""
    world = eager_world(local_s=9.0)
    for sequence in range(1, CONFIG.most_pending + 1):
        world.frame(0.0, sequence, time_left_s=30.0)
        world.answer(0.0, sequence)
    world.frame(0.001, 0, time_left_s=30.0)
    world.run(until_s=0.1)
    assert world.sources() == [(0, Source.NONE)]


def test_it_is_not_published_past_the_deadline() -> None:
    world = eager_world(local_s=9.0)
    world.frame(0.0, 0)
    world.answer(0.01, 0)
    world.stop_process(0.02, for_s=3.0)
    world.run()
    assert world.sources() == [(0, Source.NONE)]
    assert world.arbiter.counts["answers_held_up"] == 1


def test_flush_publishes_it() -> None:
    world = eager_world(local_s=0.1)
    world.frame(0.0, 0)
    world.answer(0.01, 0)
    world.run(until_s=0.02)
    (action,) = world.arbiter.flush("the node is being deactivated")
    assert (action.source, action.answer) == (Source.OFFBOARD, "offboard 0")
    assert action.reason == "offboard in time, since the node is being deactivated"
    assert world.arbiter.counts["answers_offboard"] == 1
