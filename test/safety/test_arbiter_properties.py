"""The arbiter's promises, under every order of events that hypothesis thinks of."""

from __future__ import annotations

import itertools
import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from safety.arbiter_world import CONFIG, COST, World

from qeil_ros.safety.arbiter import Key, Publish, Source
from qeil_ros.safety.cost import Cost

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
