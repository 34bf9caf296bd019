"""Runs an arbiter in real time: one thread decides and publishes, another runs the local model.

Whoever has an event hands it over with `post` and goes on; the deciding thread alone touches arbiter and
link. It sleeps until an event or the next moment that the arbiter named: nothing is polled.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from qeil_ros.safety.arbiter import Arbiter, Key, Publish, RunLocal

__all__ = ["Answering"]

F = TypeVar("F")
A = TypeVar("A")

Event = Callable[[float], "list[Publish[Any, Any] | RunLocal[Any]]"]
"""Called on the deciding thread with the time [s]; gives the arbiter's actions."""

_MOST_EVENTS = 1024


class Answering(Generic[F, A]):
    """Active from `start` to `stop`.

    Args:
        arbiter: what decides; nobody else may touch it while this is active, except through `post`.
        publish: performs a `Publish`, on the deciding thread.
        run_local: answers a frame, on the working thread; raises ValueError with the reason where it cannot.
        prepare: called on the deciding thread before each decision, with the time; returns when it wants to
        be
            called again even if nothing happens [s]. It may set `arbiter.eager`.
        failed: is told of exceptions that should not be, in `publish` and elsewhere; the threads live on.
    """

    def __init__(
        self,
        arbiter: Arbiter[F, A],
        publish: Callable[[Publish[F, A]], None],
        run_local: Callable[[F], A],
        prepare: Callable[[float], float],
        failed: Callable[[Exception], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.arbiter = arbiter
        self.dropped = 0
        """Events that were not taken because too many were waiting."""
        self._publish, self._run_local, self._prepare, self._failed = publish, run_local, prepare, failed
        self._clock = clock
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._running = False
        self._last_words = ""
        self._frames: queue.SimpleQueue[tuple[Key, F] | None] = queue.SimpleQueue()
        self._decider = threading.Thread(target=self._decide, name="decider")
        self._worker = threading.Thread(target=self._work, name="local-model")

    def start(self) -> None:
        self._running = True
        self._decider.start()
        self._worker.start()

    def post(self, event: Event) -> bool:
        """Hands an event over. False: it was not taken, because too many are waiting or this has stopped."""
        with self._changed:
            if not self._running:
                return False
            if len(self._events) >= _MOST_EVENTS:
                self.dropped += 1
                return False
            self._events.append(event)
            self._changed.notify()
            return True

    def stop(self, reason: str) -> None:
        """Answers what waits, with "no answer" and the reason where need be, and ends both threads."""
        with self._changed:
            if not self._running:
                return
            self._running = False
            self._last_words = reason
            self._changed.notify()
        self._decider.join()
        self._frames.put(None)
        self._worker.join()

    def _decide(self) -> None:
        next_s = self._next()
        while True:
            with self._changed:
                while self._running and not self._events and (wait_s := next_s - self._clock()) > 0:
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                if not self._running:
                    break
                events = [self._events.popleft() for _ in range(len(self._events))]
            for event in events or [self.arbiter.tick]:
                self._handle(event)
            next_s = self._next()
        while self._events:
            self._handle(self._events.popleft())
        self._perform(self.arbiter.flush(self._last_words))

    def _next(self) -> float:
        now_s = self._clock()
        return min(self._prepared(now_s), self.arbiter.next_s(now_s))

    def _handle(self, event: Event) -> None:
        now_s = self._clock()
        self._prepared(now_s)
        try:
            actions = event(now_s)
        except Exception as error:  # one event with a fault in it; the frames that wait go on
            self._failed(error)
            return
        self._perform(actions)

    def _prepared(self, now_s: float) -> float:
        try:
            return self._prepare(now_s)
        except Exception as error:
            self._failed(error)
            return math.inf

    def _perform(self, actions: Any) -> None:
        for action in actions:
            if isinstance(action, RunLocal):
                self._frames.put((action.key, action.frame))
                continue
            try:
                self._publish(action)
            except Exception as error:  # this frame's subscribers get nothing; the next frame's shall
                self._failed(error)

    def _work(self) -> None:
        while (job := self._frames.get()) is not None:
            key, frame = job
            answer, problem = None, ""
            try:
                answer = self._run_local(frame)
            except ValueError as error:
                problem = str(error)
            except Exception as error:
                self._failed(error)
                problem = repr(error)
            self._finish(key, answer, problem)

    def _finish(self, key: Key, answer: A | None, problem: str) -> None:
        """Like `post`, but never refused: without this event the arbiter would take the model for busy."""
        with self._changed:
            self._events.append(lambda now_s: self.arbiter.local_done(key, answer, now_s, problem))
            self._changed.notify()
