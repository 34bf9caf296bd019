"""The arbiter against a simulated world: frames, answers, a local model and a clock, in every order."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.arbiter import Arbiter, ArbiterConfig, Key, Publish, RunLocal, Source
from qeil_ros.safety.cost import Cost, RunTimes

RUN = 7
CONFIG = ArbiterConfig(margin_s=0.02, slack_s=0.005, most_pending=16, remembered=256)
COST = Cost(typical_s=0.01, worst_s=0.015)


@dataclass
class World:
    """Runs an arbiter on virtual time: wakes it when it asks to be, runs its local model for `local_s`."""

    config: ArbiterConfig = CONFIG
    local_s: float = 0.01
    local_problem: str = ""
    published: list[tuple[float, Publish]] = field(default_factory=list)
    now_s: float = 0.0
    most_pending: int = 0

    def __post_init__(self) -> None:
        self.arbiter: Arbiter[str, str] = Arbiter(self.config)
        self._events: list = []
        self._order = itertools.count()
        self._running = 0
        self._woken = False

    def at(self, time_s: float, event) -> None:
        """`event(now_s)` returns the arbiter's actions."""
        heapq.heappush(self._events, (time_s, next(self._order), event))

    def frame(
        self, at_s: float, sequence: int, time_left_s: float = 0.2, cost=COST, run: int = RUN, refusal=""
    ):
        key = Key(run, sequence)
        self.at(at_s, lambda now: self.arbiter.frame(key, str(key), time_left_s, cost, at_s, now, refusal))

    def answer(self, at_s: float, sequence: int, run: int = RUN) -> None:
        self.at(at_s, lambda now: self.arbiter.offboard(Key(run, sequence), f"offboard {sequence}", now))

    def eager(self, at_s: float, reason: str) -> None:
        def switch(now):
            self.arbiter.eager = reason
            return self.arbiter.tick(now)

        self.at(at_s, switch)

    def stop_process(self, at_s: float, for_s: float) -> None:
        """Nothing is handled from `at_s` to `at_s + for_s`; what came meanwhile is handled then, at once."""

        def stopped(now):
            self.now_s = max(now, at_s + for_s)
            self._woken = True
            return []

        self.at(at_s, stopped)

    def run(self, until_s: float = 1e9) -> World:
        while True:
            wake_s = self.arbiter.next_s(self.now_s)
            assert wake_s > self.now_s or wake_s == math.inf or self._woken, "the caller would spin"
            self._woken = False
            due_s = self._events[0][0] if self._events else math.inf
            if min(due_s, wake_s) > until_s or min(due_s, wake_s) == math.inf:
                return self
            if due_s <= wake_s:
                time_s, _, event = heapq.heappop(self._events)
                self.now_s = max(self.now_s, time_s)
                self._perform(event(self.now_s))
            else:
                self.now_s = max(self.now_s, wake_s)
                self._perform(self.arbiter.tick(self.now_s))
            self.most_pending = max(self.most_pending, len(self.arbiter))

    def _perform(self, actions) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.published.append((self.now_s, action))
                continue
            assert isinstance(action, RunLocal)
            self._running += 1
            assert self._running == 1, "the local model runs one frame at a time"
            self.at(self.now_s + self.local_s, lambda now, key=action.key: self._local_done(key, now))

    def _local_done(self, key: Key, now: float):
        self._running -= 1
        return self.arbiter.local_done(key, f"local {key.sequence}", now, self.local_problem)

    def result(self, sequence: int, run: int = RUN) -> tuple[float, Publish]:
        (found,) = [entry for entry in self.published if entry[1].key == Key(run, sequence)]
        return found

    def sources(self) -> list[tuple[int, Source]]:
        return [(publish.key.sequence, publish.source) for _, publish in self.published]


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


class TestSpare:
    """An offboard answer that comes first while the caller is eager."""

    def world(self, **changes) -> World:
        world = World(**changes)
        world.eager(0.0, "heartbeat lost")
        return world

    def test_it_is_not_needed_where_the_local_model_answers(self) -> None:
        world = self.world(local_s=0.02)
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
    def test_it_is_used_where_the_local_model_fails(self, answered_s: float, published_s: float) -> None:
        world = self.world(local_s=0.02, local_problem="unreadable features")
        world.frame(0.0, 0)
        world.answer(answered_s, 0)
        world.run()
        at_s, publish = world.result(0)
        assert (at_s, publish.source, publish.answer) == (published_s, Source.OFFBOARD, "offboard 0")
        assert publish.reason == "offboard in time, since the local model failed: unreadable features"

    def test_it_is_used_at_once_where_there_is_no_local_part(self) -> None:
        world = self.world()
        world.frame(0.0, 0, cost=None)
        world.answer(0.01, 0)
        world.run()
        at_s, publish = world.result(0)
        assert (at_s, publish.source, publish.waited) == (0.01, Source.OFFBOARD, True)
        assert publish.reason == "offboard in time, since there is no local model for it"

    def test_it_waits_for_its_turn_like_any_answer(self) -> None:
        world = self.world(local_s=0.05)
        world.frame(0.0, 0)
        world.frame(0.01, 1, cost=None)
        world.answer(0.02, 1)
        world.run()
        assert world.sources() == [(0, Source.LOCAL), (1, Source.OFFBOARD)]
        assert world.result(0)[0] == world.result(1)[0] == 0.05

    def test_it_is_used_in_time_where_the_local_model_overruns(self) -> None:
        world = self.world(local_s=1.0)
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

    def test_it_is_used_at_once_when_the_caller_waits_again(self) -> None:
        world = self.world(local_s=0.05)
        world.frame(0.0, 0)
        world.answer(0.01, 0)
        world.eager(0.02, "")
        world.run()
        at_s, publish = world.result(0)
        assert (at_s, publish.source, publish.reason) == (0.02, Source.OFFBOARD, "offboard in time")
        assert world.arbiter.counts["local_unneeded"] == 1

    def test_a_frame_that_has_one_makes_way_for_a_frame_without(self) -> None:
        """Of the two only one can still be run when the model is free again."""
        world = self.world(local_s=0.1)
        cost = Cost(0.1, 0.1)
        for sequence in range(3):
            world.frame(0.001 * sequence, sequence, time_left_s=0.25, cost=cost)
        world.answer(0.01, 1)
        world.run()
        assert world.sources() == [(0, Source.LOCAL), (1, Source.OFFBOARD), (2, Source.LOCAL)]

    def test_crowding_out_publishes_it(self) -> None:
        world = self.world(local_s=9.0)
        for sequence in range(CONFIG.most_pending + 3):
            world.frame(0.001 * sequence, sequence, time_left_s=30.0)
            if sequence != 1:
                world.answer(0.001 * sequence, sequence)
        world.run(until_s=0.1)
        assert world.sources() == [(0, Source.OFFBOARD), (1, Source.NONE), (2, Source.OFFBOARD)]
        assert world.result(2)[1].reason == "offboard in time, since too many frames were waiting"
        assert world.most_pending == CONFIG.most_pending

    def test_a_frame_before_those_that_crowd_is_the_one_to_go(self) -> None:
        """It came out of order; to publish a later one's spare instead would leave it unanswerable."""
        world = self.world(local_s=9.0)
        for sequence in range(1, CONFIG.most_pending + 1):
            world.frame(0.0, sequence, time_left_s=30.0)
            world.answer(0.0, sequence)
        world.frame(0.001, 0, time_left_s=30.0)
        world.run(until_s=0.1)
        assert world.sources() == [(0, Source.NONE)]

    def test_it_is_not_published_past_the_deadline(self) -> None:
        world = self.world(local_s=9.0)
        world.frame(0.0, 0)
        world.answer(0.01, 0)
        world.stop_process(0.02, for_s=3.0)
        world.run()
        assert world.sources() == [(0, Source.NONE)]
        assert world.arbiter.counts["answers_held_up"] == 1

    def test_flush_publishes_it(self) -> None:
        world = self.world(local_s=0.1)
        world.frame(0.0, 0)
        world.answer(0.01, 0)
        world.run(until_s=0.02)
        (action,) = world.arbiter.flush("the node is being deactivated")
        assert (action.source, action.answer) == (Source.OFFBOARD, "offboard 0")
        assert action.reason == "offboard in time, since the node is being deactivated"
        assert world.arbiter.counts["answers_offboard"] == 1


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


def test_run_times() -> None:
    times = RunTimes()
    for took_s in (0.01, 0.03, 0.02):
        times.add(took_s)
    assert times.cost() == Cost(0.02, 0.03)
    for _ in range(500):
        times.add(0.001)
    assert times.cost() == Cost(0.001, 0.001), "old runs are forgotten"


# --- every order of events

durations = st.floats(0.0, 0.4)
arrivals = st.lists(st.floats(0.0, 0.08), min_size=1, max_size=30)


@st.composite
def worlds(draw) -> tuple[World, list[Key]]:
    """Frames of up to three runs, out of order, repeated; answers late, double, missing or made up."""
    world = World(
        local_s=draw(st.sampled_from([0.0, 0.004, 0.015, 0.3])),
        local_problem=draw(st.sampled_from(["", "", "", "broken"])),
    )
    keys: list[Key] = []
    time_s = 0.0
    for index, gap_s in enumerate(draw(arrivals)):
        time_s += gap_s
        run = draw(st.integers(1, 3)) if draw(st.integers(0, 5)) == 0 else 1
        jump = draw(st.sampled_from([0, 0, 0, 0, -3, 50]))
        key = Key(run, max(0, index + jump))
        cost = draw(st.sampled_from([COST, COST, Cost(0.1, 0.25), None]))
        world.frame(time_s, key.sequence, draw(st.sampled_from([0.2, 0.2, 0.06, 0.01])), cost, run)
        keys.append(key)
        if draw(st.booleans()):
            world.frame(time_s + draw(durations), key.sequence, 0.2, cost, run)
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            world.answer(time_s + draw(durations), key.sequence, run)
    for _ in range(draw(st.integers(0, 4))):
        world.eager(draw(st.floats(0.0, time_s + 0.1)), draw(st.sampled_from(["", "link down"])))
    world.answer(draw(durations), draw(st.integers(0, 99)), run=9)
    return world, keys


@settings(max_examples=400, deadline=None)
@given(worlds())
def test_exactly_one_answer_in_time_and_in_order_whatever_happens(drawn: tuple[World, list[Key]]) -> None:
    world, keys = drawn
    arrived: dict[Key, tuple[float, float]] = {}
    feed = world.arbiter.frame

    def watched(key, frame, time_left_s, cost, arrived_s, now_s, refusal=""):
        arrived.setdefault(key, (now_s, max(now_s, arrived_s + time_left_s - CONFIG.margin_s)))
        return feed(key, frame, time_left_s, cost, arrived_s, now_s, refusal)

    answered: dict[Key, float] = {}
    feed_answer = world.arbiter.offboard

    def watched_answer(key, answer, now_s):
        answered.setdefault(key, now_s)
        return feed_answer(key, answer, now_s)

    world.arbiter.frame, world.arbiter.offboard = watched, watched_answer
    world.run()
    answers = Counter(publish.key for _, publish in world.published)
    assert answers == Counter(dict.fromkeys(keys, 1)), "one answer each, no more, no less"
    newest: dict[int, int] = {}
    for at_s, publish in world.published:
        assert at_s <= arrived[publish.key][1] + 1e-9, "by its deadline"
        if publish.source != Source.NONE:
            assert publish.key.sequence > newest.get(publish.key.run, -1), "in order"
            newest[publish.key.run] = publish.key.sequence
            assert publish.answer == f"{publish.source.name.lower()} {publish.key.sequence}"
        else:
            assert at_s < answered.get(publish.key, math.inf) or not _had_a_chance(publish), "answer unused"
        assert publish.reason
    assert world.most_pending <= CONFIG.most_pending
    assert len(world.arbiter) == 0


def _had_a_chance(publish: Publish) -> bool:
    return not publish.reason.startswith(("too late when it was received", "arrived after a later frame"))


gaps_kept_up_with = st.lists(st.floats(COST.worst_s * 1.001, 0.1), min_size=1, max_size=40)
runs_kept_up = st.lists(st.floats(0.0, COST.worst_s), min_size=1, max_size=5)


def with_run_times(world: World, times_s: list[float]) -> World:
    """Each local run takes the next of these times."""
    runs = itertools.cycle(times_s)
    perform = world._perform

    def perform_with_run_time(actions) -> None:
        world.local_s = next(runs)
        perform(actions)

    world._perform = perform_with_run_time
    return world


@settings(max_examples=300, deadline=None)
@given(
    gaps=gaps_kept_up_with,
    local=runs_kept_up,
    answers=st.dictionaries(st.integers(0, 39), st.lists(durations, max_size=2), max_size=40),
    phases=st.lists(st.floats(0.0, 1.0), max_size=8),
)
def test_while_eager_only_the_local_model_answers(gaps, local, answers, phases) -> None:
    """Whatever comes from offboard, and however often the phases change."""
    world = with_run_times(World(), local)
    arrived_s: list[float] = list(itertools.accumulate(gaps))
    for sequence, at_s in enumerate(arrived_s):
        world.frame(at_s, sequence)
        for delay_s in answers.get(sequence, []):
            world.answer(at_s + delay_s, sequence)
    switches_s = [*itertools.accumulate(phases), math.inf]
    for index, at_s in enumerate(switches_s[:-1]):
        world.eager(at_s, "" if index % 2 else "link down")
    world.run()
    for from_s, until_s in zip(switches_s[0::2], switches_s[1::2], strict=False):
        within = [p for at_s, p in world.published if from_s < arrived_s[p.key.sequence] and at_s < until_s]
        assert all(p.source == Source.LOCAL for p in within)
        assert not any(p.waited for p in within)


@settings(max_examples=300, deadline=None)
@given(
    gap_s=st.floats(COST.worst_s * 1.001, 0.1),
    local=runs_kept_up,
    delays_s=st.lists(st.floats(0.001, 0.15), min_size=1, max_size=20),
    died_s=st.floats(0.3, 1.0),
    noticed_s=st.floats(0.0, 0.3),
    away_s=st.floats(0.3, 1.0),
    trusted_s=st.floats(0.2, 0.6),
)
def test_outage_changes_the_source_once_each_way(
    gap_s, local, delays_s, died_s, noticed_s, away_s, trusted_s
) -> None:
    """Also while the server, back again, already answers and is not trusted yet."""
    world = with_run_times(World(), local)
    back_s = died_s + away_s
    end_s = back_s + trusted_s + 0.5
    delays, last_s = itertools.cycle(delays_s), 0.0
    for sequence in range(int(end_s / gap_s)):
        sent_s = sequence * gap_s
        world.frame(sent_s, sequence)
        last_s = answered_s = max(last_s, sent_s + next(delays))  # a server answers in the order it is asked
        if answered_s < died_s or sent_s > back_s:
            world.answer(answered_s, sequence)
    world.eager(died_s + noticed_s, "link down")
    world.eager(back_s + trusted_s, "")
    world.run()
    changes = [source for source, _ in itertools.groupby(source for _, source in world.sources())]
    assert changes == [Source.OFFBOARD, Source.LOCAL, Source.OFFBOARD]


@settings(max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.floats(COST.worst_s, 0.1), min_size=1, max_size=40),
    local=runs_kept_up,
    answers=st.dictionaries(st.integers(0, 39), st.lists(durations, max_size=2), max_size=40),
    switches=st.lists(st.tuples(st.floats(0.0, 4.0), st.sampled_from(["", "link down"])), max_size=6),
)
def test_every_frame_gets_content_while_the_local_model_keeps_up(gaps, local, answers, switches) -> None:
    """No "no answer" as long as frames are no closer than the local model's 99th percentile, which holds."""
    world = with_run_times(World(), local)
    time_s = 0.0
    for sequence, gap_s in enumerate(gaps):
        time_s += gap_s
        world.frame(time_s, sequence)
        for delay_s in answers.get(sequence, []):
            world.answer(time_s + delay_s, sequence)
    for at_s, reason in switches:
        world.eager(at_s, reason)
    world.run()
    assert [sequence for sequence, _ in world.sources()] == list(range(len(gaps)))
    assert all(source != Source.NONE for _, source in world.sources())


@settings(max_examples=100, deadline=None)
@given(
    stops=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 2.0)), max_size=3),
    delays=st.lists(st.floats(0.0, 0.3), min_size=20, max_size=20),
)
def test_stopped_process_answers_each_once_and_nothing_past_its_deadline(stops, delays) -> None:
    world = World()
    for sequence, delay_s in enumerate(delays):
        world.frame(0.033 * sequence, sequence)
        world.answer(0.033 * sequence + delay_s, sequence)
    for at_s, for_s in stops:
        world.stop_process(at_s, for_s)
    world.run()
    assert Counter(sequence for sequence, _ in world.sources()) == Counter(dict.fromkeys(range(20), 1))
    for at_s, publish in world.published:
        if publish.source != Source.NONE:
            assert at_s < 0.033 * publish.key.sequence + 0.2
