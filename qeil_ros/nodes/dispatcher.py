"""Moves frames from the batcher to the engine and answers back, on its own thread: no executor waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.batcher import DeadlineBatcher, Waiting
from qeil_ros.models.engine import Engine
from qeil_ros.models.tasks import Answer

from .recent import BusyMeter, Recent

__all__ = ["Dispatcher", "Outcome", "Unreadable"]

T = TypeVar("T")

_SERVICE_WINDOW_S = 2.0


class Unreadable(ValueError):
    """A frame's data cannot be decoded."""


class Outcome(Protocol[T]):
    """Who is told how a frame ended, on the dispatcher's or the engine's thread, never two at a time."""

    def answered(self, frame: Waiting[T], answer: Answer, queue_s: float, inference_s: float) -> None: ...

    def late(self, frame: Waiting[T]) -> None: ...

    def refused(self, frame: Waiting[T], reason: str) -> None: ...


@dataclass(frozen=True)
class Figures:
    """How busy the engine is: fraction of the time since the last reading, frames waiting, recent times
    [s].
    """

    load: float
    queue: int
    p50_s: float
    p99_s: float


class Dispatcher(Generic[T]):
    """Runs from `start` to `stop`. A frame has one outcome, unless it was replaced, or forgotten by `stop`.

    Args:
        decode: the features of a frame [*shape], given the frame's key and item; raises Unreadable.
        split_of: the split that a key stands for.
        service_s: what a batch takes at least [s]; None: what one took of late.
    """

    def __init__(
        self,
        engine: Engine,
        batcher: DeadlineBatcher[T],
        outcome: Outcome[T],
        decode: Callable[[Hashable, T], NDArray[Any]],
        split_of: Callable[[Hashable], str],
        clock: Callable[[], float] = time.monotonic,
        service_s: Callable[[], float] | None = None,
    ) -> None:
        self._engine, self._batcher, self._outcome = engine, batcher, outcome
        self._decode, self._split_of, self._clock = decode, split_of, clock
        self._least_s = service_s
        self._changed = threading.Condition()
        self._told = threading.Lock()  # one outcome at a time; never held together with _changed
        self._running = False
        self._in_flight = 0
        self._busy = BusyMeter(clock())
        self._inference_s = Recent(_SERVICE_WINDOW_S)
        self._thread = threading.Thread(target=self._loop, name="dispatcher")

    def start(self) -> None:
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """Waits for the batches that run, forgets the frames that wait. May be called twice."""
        with self._changed:
            self._running = False
            self._batcher.clear()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        with self._changed:
            self._changed.wait_for(lambda: not self._in_flight)

    def offer(self, frame: Waiting[T]) -> Waiting[T] | None:
        """Lets a frame wait its turn; returns one of the same robot that had to give way, if any."""
        with self._changed:
            if not self._running:
                return frame
            replaced = self._batcher.offer(frame)
            self._changed.notify_all()
            return replaced

    def expect(self, sources: int) -> None:
        """So many robots send frames: no batch waits for more."""
        with self._changed:
            self._batcher.expect(sources)
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Frames that wait for the engine."""
        with self._changed:
            return len(self._batcher)

    def figures(self) -> Figures:
        with self._changed:
            now_s = self._clock()
            p50_s, p99_s = self._inference_s.quantiles(0.5, 0.99, now_s=now_s)
            return Figures(self._busy.read(now_s), len(self._batcher), p50_s, p99_s)

    def _loop(self) -> None:
        while True:
            with self._changed:
                batch = self._next()
                if batch is None:
                    return
                if batch.run:
                    self._in_flight += 1
                    if self._in_flight == 1:
                        self._busy.begin(self._clock())
            self._tell(self._outcome.late, batch.late)
            if batch.run:
                self._run(batch.run)

    def _next(self) -> Any:
        """Waits for something to do; None: stopped. Holds the lock."""
        while self._running:
            now_s = self._clock()
            # Room in the engine first: a frame that waits here can still be dropped, or be joined by others.
            if self._in_flight < self._engine.depth:
                service_s = self._service_s(now_s)
                batch = self._batcher.take(now_s, service_s)
                if batch.run or batch.late:
                    return batch
                next_s = self._batcher.next_s(service_s)
                self._changed.wait(None if next_s is None else max(next_s - now_s, 1e-4))
            else:
                self._changed.wait()
        return None

    def _service_s(self, now_s: float) -> float:
        """The usual time of a batch; 0 when none ran lately, so that a slow start does not shut the door."""
        if self._least_s is not None:
            return self._least_s()
        (p50_s,) = self._inference_s.quantiles(0.5, now_s=now_s)
        return p50_s if p50_s == p50_s else 0.0

    def _run(self, frames: list[Waiting[T]]) -> None:
        started_s = self._clock()
        key = frames[0].key
        readable, rows = [], []
        for frame in frames:
            try:
                rows.append(self._decode(key, frame.item))
                readable.append(frame)
            except Unreadable as error:  # noqa: PERF203 one bad frame may not spoil the others
                self._tell_one(self._outcome.refused, frame, str(error))
        if not rows:
            self._finished(None)
            return
        try:
            deadline_s = min(frame.deadline_s for frame in readable)
            future = self._engine.submit(self._split_of(key), np.stack(rows), deadline_s)
        except Exception as error:  # an engine is someone else's code: its failure may not end the thread
            self._failed(readable, error)
            return
        future.add_done_callback(lambda done: self._done(done, readable, started_s))

    def _done(self, done: Future[list[Answer]], frames: list[Waiting[T]], started_s: float) -> None:
        try:
            answers = done.result()
            if len(answers) != len(frames):
                raise RuntimeError(f"{len(answers)} answers to {len(frames)} frames")
        except (Exception, CancelledError) as error:
            self._failed(frames, error)
            return
        inference_s = self._clock() - started_s
        try:
            for frame, answer in zip(frames, answers, strict=True):
                self._tell_one(
                    self._outcome.answered, frame, answer, started_s - frame.arrived_s, inference_s
                )
        finally:  # whatever the listener does, the engine is free again
            self._finished(inference_s)

    def _failed(self, frames: list[Waiting[T]], error: BaseException) -> None:
        try:
            for frame in frames:
                self._tell_one(self._outcome.refused, frame, f"the model failed: {error}")
        finally:
            self._finished(None)

    def _finished(self, inference_s: float | None) -> None:
        with self._changed:
            now_s = self._clock()
            if inference_s is not None:
                self._inference_s.add(inference_s, now_s)
            self._in_flight -= 1
            if not self._in_flight:
                self._busy.end(now_s)
            self._changed.notify_all()

    def _tell(self, callback: Callable[[Waiting[T]], None], frames: list[Waiting[T]]) -> None:
        for frame in frames:
            self._tell_one(callback, frame)

    def _tell_one(self, callback: Callable[..., None], *arguments: Any) -> None:
        with self._told:
            callback(*arguments)
