"""Runs an arbiter in real time: whoever has an event decides and publishes what follows from it, at once.

One thread at a time does that; another one that comes meanwhile leaves its event there and goes on. A thread
of its own sleeps until the next moment that the arbiter named, and one runs the local model: nothing is
polled, and between an answer's arrival and its publication no thread has to wake up.
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
"""Called by one thread at a time with the time [s]; gives the arbiter's actions."""

_MOST_EVENTS = 1024


class Answering(Generic[F, A]):
    """Active from `start` to `stop`.

    Args:
        arbiter: what decides; nobody else may touch it while this is active, except through `post`.
        publish: performs a `Publish`; called by one thread at a time, as all but `run_local` is.
        run_local: answers a frame, on the working thread; raises ValueError with the reason where it cannot.
        prepare: called before each decision, with the time; returns when it wants to be called again even if
            nothing happens [s]. It may set `arbiter.eager` and `arbiter.doubtful`.
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
        self._deciding = threading.Lock()
        self._changed = threading.Condition()  # never held while something is decided
        self._events: deque[Event] = deque()
        self._wake_s = math.inf
        self._running = False
        self._frames: queue.SimpleQueue[tuple[Key, F] | None] = queue.SimpleQueue()
        self._waker = threading.Thread(target=self._wake, name="deadlines")
        self._worker = threading.Thread(target=self._work, name="local-model")

    def start(self) -> None:
        self._running = True
        self._waker.start()
        self._worker.start()
        self.post(self.arbiter.tick)

    def post(self, event: Event) -> bool:
        """Handles an event, or leaves it to the thread that is deciding. False: it was not taken, because
        too many are waiting or this has stopped.
        """
        with self._changed:
            if not self._running:
                return False
            if len(self._events) >= _MOST_EVENTS:
                self.dropped += 1
                return False
            self._events.append(event)
        self._decide()
        return True

    def stop(self, reason: str) -> None:
        """Answers what waits, with "no answer" and the reason where need be, and ends both threads."""
        with self._changed:
            if not self._running:
                return
            self._running = False
            self._changed.notify()
        self._waker.join()
        with self._deciding:
            self._handle_events()
            self._perform(self.arbiter.flush(reason))
        self._frames.put(None)
        self._worker.join()

    def _decide(self) -> None:
        """Handles all events, unless another thread does."""
        while self._deciding.acquire(blocking=False):
            try:
                self._handle_events()
                next_s = self._next()
            finally:
                self._deciding.release()
            with self._changed:
                if next_s < self._wake_s:
                    self._wake_s = next_s
                    self._changed.notify()
                # Left by a thread that came after the last look, and before the release.
                if not self._events:
                    return

    def _handle_events(self) -> None:
        while True:
            with self._changed:
                events = [self._events.popleft() for _ in range(len(self._events))]
            if not events:
                return
            for event in events:
                self._handle(event)

    def _wake(self) -> None:
        """Lets time pass for the arbiter."""
        while True:
            with self._changed:
                while self._running and (wait_s := self._wake_s - self._clock()) > 0:
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                if not self._running:
                    return
                self._wake_s = math.inf
                self._events.append(self.arbiter.tick)
            self._decide()

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
        self._decide()
