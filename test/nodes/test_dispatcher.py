from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from support import wait_until

from qeil_ros.models.batcher import DeadlineBatcher, Waiting
from qeil_ros.models.tasks import Answer
from qeil_ros.nodes.dispatcher import Dispatcher, Unreadable


class HandEngine:
    """Answers when told to."""

    device, splits, depth = "a hand", ["cut"], 1

    def __init__(self):
        self.batches: list[tuple[np.ndarray, Future]] = []

    def submit(self, split, features, deadline_s=math.inf):
        future: Future = Future()
        self.batches.append((features, future))
        self.deadline_s = deadline_s
        return future

    def answer(self, index=-1):
        features, future = self.batches[index]
        future.set_result([Answer(text=str(int(row[0]))) for row in features])

    def close(self):
        pass


class EagerEngine(HandEngine):
    """Answers before `submit` returns."""

    def submit(self, split, features, deadline_s=math.inf):
        future = super().submit(split, features, deadline_s)
        self.answer()
        return future


class Outcomes:
    def __init__(self):
        self.ends: list[tuple] = []

    def answered(self, frame, answer, queue_s, inference_s):
        assert queue_s >= 0 and inference_s >= 0
        self.ends.append(("answered", frame.item, answer.text))

    def late(self, frame):
        self.ends.append(("late", frame.item))

    def refused(self, frame, reason):
        self.ends.append(("refused", frame.item, reason))


def decode(key, item):
    if item < 0:
        raise Unreadable("negative")
    return np.array([item], np.float32)


@pytest.fixture
def start():
    running = []

    def make(engine, **settings):
        outcomes = Outcomes()
        values = {"max_batch": 4, "max_wait_s": 0.0, "max_queue": 8, "sources": 1, **settings}
        service_s = values.pop("service_s", None)
        dispatcher = Dispatcher(engine, DeadlineBatcher(**values), outcomes, decode, str, service_s=service_s)
        dispatcher.start()
        running.append((dispatcher, engine))
        return dispatcher, outcomes

    yield make
    for dispatcher, engine in running:
        for _, future in engine.batches:
            future.cancel()
        dispatcher.stop()


def frame(item, left_s=60.0, source="robot"):
    now_s = time.monotonic()
    return Waiting(source=source, key="cut", item=item, arrived_s=now_s, deadline_s=now_s + left_s)


def test_frames_that_come_while_the_engine_is_busy_run_together(start):
    engine = HandEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.offer(frame(1))
    wait_until(lambda: len(engine.batches) == 1)
    for item in (2, 3, 4):
        dispatcher.offer(frame(item))
    assert dispatcher.figures().queue == 3
    assert len(engine.batches) == 1, "the engine holds one batch at a time"
    engine.answer()
    wait_until(lambda: len(engine.batches) == 2)
    engine.answer()
    wait_until(lambda: len(outcomes.ends) == 4)
    assert [len(features) for features, _ in engine.batches] == [1, 3]
    assert outcomes.ends == [("answered", item, str(item)) for item in (1, 2, 3, 4)]


def test_what_waited_past_its_deadline_is_not_run(start):
    engine = HandEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.offer(frame(1))
    wait_until(lambda: engine.batches)
    dispatcher.offer(frame(2, left_s=0.02))
    time.sleep(0.03)
    engine.answer()
    wait_until(lambda: ("late", 2) in outcomes.ends)
    assert len(engine.batches) == 1


def test_the_engine_knows_the_earliest_deadline_and_who_waits_is_told(start):
    engine = HandEngine()
    dispatcher, _ = start(engine, max_wait_s=10.0, sources=2)
    early = frame(1, left_s=30.0, source=1)
    for each in (frame(2, left_s=60.0, source=2), early):
        dispatcher.offer(each)
    wait_until(lambda: engine.batches)
    assert engine.deadline_s == early.deadline_s and dispatcher.waiting == 0
    dispatcher.offer(frame(3))
    assert dispatcher.waiting == 1


def test_an_engine_may_take_less_time_than_it_has_taken(start):
    engine = HandEngine()
    dispatcher, outcomes = start(engine, service_s=lambda: 0.0)
    dispatcher.offer(frame(1))
    wait_until(lambda: engine.batches)
    time.sleep(0.3)
    engine.answer()
    wait_until(lambda: outcomes.ends)
    dispatcher.offer(frame(2, left_s=0.2))
    wait_until(lambda: len(engine.batches) == 2, what="the second batch, which 0.3 s would have made late")


def test_an_unreadable_frame_does_not_spoil_the_others(start):
    engine = EagerEngine()
    dispatcher, outcomes = start(engine, max_wait_s=10.0, sources=3)
    for item in (1, -2, 3):
        dispatcher.offer(frame(item, source=item))
    wait_until(lambda: len(outcomes.ends) == 3)
    assert sorted(outcomes.ends) == [("answered", 1, "1"), ("answered", 3, "3"), ("refused", -2, "negative")]


def test_only_unreadable_frames_leave_the_engine_free(start):
    engine = EagerEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.offer(frame(-1))
    wait_until(lambda: len(outcomes.ends) == 1)
    dispatcher.offer(frame(5))
    wait_until(lambda: len(outcomes.ends) == 2)
    assert outcomes.ends[1] == ("answered", 5, "5")


class BrokenEngine(HandEngine):
    def submit(self, split, features, deadline_s=math.inf):
        raise RuntimeError("no memory")


def test_an_engine_that_refuses_or_fails_ends_no_thread(start):
    dispatcher, outcomes = start(BrokenEngine())
    for item in (1, 2):
        dispatcher.offer(frame(item))
        wait_until(lambda: len(outcomes.ends) == item)  # noqa: B023 called at once
    assert outcomes.ends == [("refused", item, "the model failed: no memory") for item in (1, 2)]

    engine = HandEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.offer(frame(1))
    wait_until(lambda: engine.batches)
    engine.batches[0][1].set_exception(RuntimeError("out of order"))
    wait_until(lambda: outcomes.ends)
    assert outcomes.ends == [("refused", 1, "the model failed: out of order")]


def test_too_few_answers_are_a_failure(start):
    engine = HandEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.offer(frame(1))
    wait_until(lambda: engine.batches)
    engine.batches[0][1].set_result([])
    wait_until(lambda: outcomes.ends)
    assert outcomes.ends == [("refused", 1, "the model failed: 0 answers to 1 frames")]


def test_stop_waits_for_what_runs_and_forgets_what_waits(start):
    engine = HandEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.offer(frame(1))
    wait_until(lambda: engine.batches)
    dispatcher.offer(frame(2))
    stopping = threading.Thread(target=dispatcher.stop)
    stopping.start()
    wait_until(lambda: dispatcher.figures().queue == 0)
    assert stopping.is_alive()
    engine.answer()
    stopping.join(10)
    assert not stopping.is_alive()
    assert outcomes.ends == [("answered", 1, "1")]
    late = frame(3)
    assert dispatcher.offer(late) is late, "after the end nothing is taken in"
    dispatcher.stop()


def test_figures_tell_load_and_times(start):
    engine = HandEngine()
    dispatcher, outcomes = start(engine)
    dispatcher.figures()
    dispatcher.offer(frame(1))
    wait_until(lambda: engine.batches)
    time.sleep(0.05)
    engine.answer()
    wait_until(lambda: outcomes.ends)
    wait_until(lambda: dispatcher.figures().p50_s >= 0.05)
    figures = dispatcher.figures()
    assert figures.p99_s >= figures.p50_s
    assert 0 <= figures.load <= 1
