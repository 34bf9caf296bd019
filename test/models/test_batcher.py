from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models.batcher import DeadlineBatcher, Waiting


def frame(source: str, item: int, arrived_s: float, deadline_s: float, key: str = "cut") -> Waiting[int]:
    return Waiting(source=source, key=key, item=item, arrived_s=arrived_s, deadline_s=deadline_s)


def items(frames: list[Waiting[int]]) -> list[int]:
    return [entry.item for entry in frames]


def test_one_robot_does_not_wait_for_company():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.5, max_queue=4, sources=1)
    batcher.offer(frame("a", 1, arrived_s=0.0, deadline_s=9.0))
    assert batcher.next_s() == 0.0
    assert items(batcher.take(0.0).run) == [1]
    assert len(batcher) == 0
    assert batcher.next_s() is None


def test_frames_of_several_robots_run_together_by_deadline():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.5, max_queue=4, sources=3)
    batcher.offer(frame("a", 1, 0.0, deadline_s=9.0))
    batcher.offer(frame("b", 2, 0.0, deadline_s=7.0))
    assert batcher.take(0.1).run == [], "the third robot's frame may still come"
    batcher.offer(frame("c", 3, 0.1, deadline_s=8.0))
    assert items(batcher.take(0.1).run) == [2, 3, 1]


def test_the_wait_for_company_ends():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.5, max_queue=4, sources=3)
    batcher.offer(frame("a", 1, arrived_s=1.0, deadline_s=100.0))
    assert batcher.next_s() == 1.5
    assert batcher.take(1.49).run == []
    assert items(batcher.take(1.5).run) == [1]


def test_nobody_waits_for_a_robot_that_has_gone():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.5, max_queue=4, sources=3)
    batcher.offer(frame("a", 1, 0.0, deadline_s=9.0))
    batcher.offer(frame("b", 2, 0.0, deadline_s=7.0))
    assert batcher.take(0.1).run == []
    batcher.expect(2)
    assert items(batcher.take(0.1).run) == [2, 1]
    batcher.expect(0)
    batcher.offer(frame("a", 3, 0.2, deadline_s=9.0))
    assert items(batcher.take(0.2).run) == [3]


def test_the_wait_leaves_the_most_urgent_frame_its_time():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=10.0, max_queue=4, sources=3)
    batcher.offer(frame("a", 1, arrived_s=0.0, deadline_s=1.0))
    release_s = batcher.next_s(service_s=0.4)
    assert release_s is not None and release_s <= 1.0 - 0.4
    assert items(batcher.take(release_s, service_s=0.4).run) == [1]


def test_a_full_batch_leaves_the_rest():
    batcher = DeadlineBatcher[int](max_batch=2, max_wait_s=0.5, max_queue=4, sources=3)
    for item, source in enumerate("abc"):
        batcher.offer(frame(source, item, 0.0, deadline_s=5.0 + item))
    assert items(batcher.take(0.0).run) == [0, 1]
    assert len(batcher) == 1


def test_frames_of_another_key_are_not_in_the_batch():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.0, max_queue=4, sources=3)
    batcher.offer(frame("a", 1, 0.0, 5.0, key="early"))
    batcher.offer(frame("b", 2, 0.0, 4.0, key="late"))
    batcher.offer(frame("c", 3, 0.0, 6.0, key="late"))
    assert items(batcher.take(0.0).run) == [2, 3]
    assert items(batcher.take(0.0).run) == [1]


def test_what_is_past_its_deadline_is_dropped():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.0, max_queue=4, sources=2)
    batcher.offer(frame("a", 1, 0.0, deadline_s=1.0))
    batcher.offer(frame("b", 2, 0.0, deadline_s=3.0))
    batch = batcher.take(1.0)
    assert items(batch.late) == [1]
    assert items(batch.run) == [2]


def test_what_could_not_be_done_in_time_is_dropped():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=0.0, max_queue=4, sources=1)
    batcher.offer(frame("a", 1, 0.0, deadline_s=1.0))
    batch = batcher.take(0.5, service_s=0.6)
    assert (items(batch.late), items(batch.run)) == ([1], [])


def test_a_robot_that_sends_too_fast_replaces_its_own_oldest_frame():
    batcher = DeadlineBatcher[int](max_batch=8, max_wait_s=9.0, max_queue=2, sources=2)
    for item in range(2):
        assert batcher.offer(frame("fast", item, arrived_s=item, deadline_s=100.0)) is None
    assert batcher.offer(frame("slow", 10, arrived_s=2.0, deadline_s=100.0)) is None
    replaced = batcher.offer(frame("fast", 2, arrived_s=3.0, deadline_s=100.0))
    assert replaced is not None and replaced.item == 0
    assert sorted(items(batcher.take(50.0).run)) == [1, 2, 10]


@pytest.mark.parametrize(
    "wrong", [{"max_batch": 0}, {"max_queue": 0}, {"sources": 0}, {"max_wait_s": math.nan}]
)
def test_impossible_settings_are_refused(wrong):
    settings = {"max_batch": 1, "max_wait_s": 0.0, "max_queue": 1, "sources": 1, **wrong}
    with pytest.raises(ValueError, match="want max_batch"):
        DeadlineBatcher(**settings)


@settings(deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xy"), st.floats(0, 2), st.floats(0.0, 1.0)),
        max_size=40,
    ),
    max_batch=st.integers(1, 5),
    service_s=st.floats(0, 0.2),
)
def test_every_frame_ends_exactly_once_and_none_runs_late(frames, max_batch, service_s):
    """Follows `next_s` alone, as the dispatcher does: nothing may get stuck, be lost, or be run too late."""
    batcher = DeadlineBatcher[int](max_batch, max_wait_s=0.05, max_queue=3, sources=4)
    arrivals = sorted((start, source, key, start + left) for source, key, start, left in frames)
    ended: list[int] = []
    now_s, count = 0.0, 0
    while count < len(arrivals) or len(batcher):
        next_s = batcher.next_s(service_s)
        if count < len(arrivals) and (next_s is None or arrivals[count][0] <= next_s):
            now_s = max(now_s, arrivals[count][0])
            start, source, key, deadline_s = arrivals[count]
            replaced = batcher.offer(frame(source, count, start, deadline_s, key))
            ended += [replaced.item] if replaced else []
            count += 1
            continue
        assert next_s is not None
        now_s = max(now_s, next_s)
        batch = batcher.take(now_s, service_s)
        assert batch.run or batch.late, "next_s promised something"
        assert len(batch.run) <= max_batch
        assert len({entry.key for entry in batch.run}) <= 1
        assert all(entry.deadline_s > now_s + service_s for entry in batch.run)
        assert [entry.deadline_s for entry in batch.run] == sorted(entry.deadline_s for entry in batch.run)
        ended += items(batch.run) + items(batch.late)
    assert sorted(ended) == list(range(len(arrivals)))
