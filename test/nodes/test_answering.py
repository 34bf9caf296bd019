"""The arbiter in real time: threads, no topics. Deadlines here are long or long past; none is close."""

from __future__ import annotations

import math
import threading
import time

import pytest
from support import wait_until

from qeil_ros.nodes.answering import Answering
from qeil_ros.safety.arbiter import Arbiter, ArbiterConfig, Key, Source
from qeil_ros.safety.cost import Cost

LONG_S = 60.0


class World:
    def __init__(self):
        self.arbiter: Arbiter[str, str] = Arbiter(ArbiterConfig())
        self.published: list = []
        self.publishing = threading.Lock()
        self.failures: list = []
        self.local = lambda frame: f"local {frame}"
        self.publish_problem: Exception | None = None
        self.next_s = math.inf
        self.answering: Answering[str, str] = Answering(
            self.arbiter, self.publish, lambda frame: self.local(frame), self.prepare, self.failures.append
        )

    def publish(self, action):
        assert self.publishing.acquire(blocking=False), "two threads publish at a time"
        try:
            self.publish_one(action)
        finally:
            self.publishing.release()

    def publish_one(self, action):
        if self.publish_problem is not None:
            problem, self.publish_problem = self.publish_problem, None
            raise problem
        self.published.append(action)

    def prepare(self, now_s):
        return self.next_s

    def frame(self, sequence, time_left_s=LONG_S, cost=None):
        key, arrived_s = Key(1, sequence), time.monotonic()
        return self.answering.post(
            lambda now: self.arbiter.frame(key, str(sequence), time_left_s, cost, arrived_s, now)
        )

    def answer(self, sequence):
        self.answering.post(lambda now: self.arbiter.offboard(Key(1, sequence), f"offboard {sequence}", now))

    def wait(self, count):
        wait_until(lambda: len(self.published) >= count, what=f"{count} answers")
        return self.published


@pytest.fixture
def world():
    world = World()
    world.answering.start()
    yield world
    world.answering.stop("the test is over")


def test_answer_is_published_when_it_comes(world):
    world.frame(0)
    world.answer(0)
    (action,) = world.wait(1)
    assert (action.source, action.answer) == (Source.OFFBOARD, "offboard 0")


def test_deadline_passes_without_any_event(world):
    started_s = time.monotonic()
    world.frame(0, time_left_s=0.1)
    (action,) = world.wait(1)
    assert action.source == Source.NONE
    assert time.monotonic() - started_s >= 0.07


def test_local_model_runs_beside_and_answers_are_held_meanwhile(world):
    running, go = threading.Event(), threading.Event()

    def local(frame):
        running.set()
        assert go.wait(20)
        return f"local {frame}"

    world.local = local
    world.arbiter.eager = "alone"
    world.frame(0, cost=Cost(0.001, 0.002))
    assert running.wait(20)
    world.frame(1)
    world.answer(1)  # handled while the model runs, and held for order's sake
    go.set()
    first, second = world.wait(2)
    assert (first.answer, second.answer) == ("local 0", "offboard 1")


@pytest.mark.parametrize("error", [ValueError("unreadable"), RuntimeError("a bug")])
def test_failure_of_the_local_model_is_the_reason_of_no_answer(world, error):
    def local(frame):
        raise error

    world.local = local
    world.arbiter.eager = "alone"
    world.frame(0, time_left_s=0.3, cost=Cost(0.001, 0.002))
    (action,) = world.wait(1)
    assert action.source == Source.NONE and str(error) in action.reason
    # A ValueError is an answer about the frame; anything else is a bug and is reported as one.
    assert len(world.failures) == isinstance(error, RuntimeError)


def test_failed_publication_and_failed_event_cost_nobody_else_an_answer(world):
    world.publish_problem = RuntimeError("no room")
    world.frame(0, time_left_s=-1.0)
    world.answering.post(lambda now: 1 / 0)
    world.frame(1)
    world.answer(1)
    (action,) = world.wait(1)
    assert action.key.sequence == 1
    assert [type(failure) for failure in world.failures] == [RuntimeError, ZeroDivisionError]


def test_stop_answers_what_waits_and_refuses_what_comes(world):
    for sequence in range(3):
        world.frame(sequence)
    world.answering.stop("switched off")
    assert [(action.source, action.reason) for action in world.published] == [
        (Source.NONE, "switched off")
    ] * 3
    assert not world.frame(9)
    world.answering.stop("again")


def test_it_sleeps_when_there_is_nothing_to_do(world):
    world.frame(0)
    wait_until(lambda: len(world.arbiter) == 1, what="the frame waits")
    calls = []
    prepare = world.prepare
    world.answering._prepare = lambda now_s: calls.append(now_s) or prepare(now_s)
    started_s = time.process_time()
    time.sleep(0.3)
    assert len(calls) <= 1, "it woke up without a reason"
    assert time.process_time() - started_s < 0.25


def test_flood_is_bounded():
    world = World()
    release, blocked = threading.Event(), threading.Event()

    def block(now):
        blocked.set()
        release.wait(20)
        return []

    world.answering.start()
    blocking = threading.Thread(target=world.answering.post, args=(block,))
    blocking.start()
    try:
        assert blocked.wait(20)
        taken = sum(world.frame(sequence) for sequence in range(2000))
        assert taken == 1024 and world.answering.dropped == 2000 - 1024
    finally:
        release.set()
        blocking.join(20)
        world.answering.stop("the test is over")
    assert len(world.published) == taken, "every frame that was taken has its answer"


def test_events_of_many_threads_are_handled_one_at_a_time_and_none_is_forgotten(world):
    """Whoever finds another thread deciding leaves the event to it, even if that one is about to end."""
    handling = threading.Lock()
    handled = []

    def event(now_s):
        assert handling.acquire(blocking=False), "two threads decide at a time"
        handled.append(threading.current_thread().name)
        handling.release()
        return []

    def work():
        for _ in range(200):
            while not world.answering.post(event):
                time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    wait_until(lambda: len(handled) == 1200, what="every event was handled")
    assert not world.failures
