"""Who runs callbacks, and in which thread."""

from __future__ import annotations

import os
import queue
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from ._entity import Entity
from ._executor import (
    ConditionReachedException,
    Deadline,
    Executor,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
    settled,
)
from .context import Context, live_contexts
from .task import CallbackRun, Future, Task

__all__ = [
    "ConditionReachedException",
    "Executor",
    "ExternalShutdownException",
    "MultiThreadedExecutor",
    "ShutdownException",
    "SingleThreadedExecutor",
    "TimeoutException",
]


class SingleThreadedExecutor(Executor):
    """Runs callbacks in the thread that spins."""

    _callbacks_overlap = False

    def spin_once(self, timeout_sec: float | None = None) -> None:
        self._spin_once(timeout_sec, lambda: False)

    def spin_once_until_future_complete(self, future: Future[Any], timeout_sec: float | None = None) -> None:
        future._add_waiter(self.wake)
        try:
            self._spin_once(timeout_sec, lambda: settled(future))
        finally:
            future._remove_waiter(self.wake)

    def _spin_once(self, timeout_sec: float | None, condition: Callable[[], bool]) -> None:
        try:
            task, _, _ = self.wait_for_ready_callbacks(timeout_sec, None, condition)
        except (TimeoutException, ShutdownException, ConditionReachedException):
            return
        self._run(task)
        if task.done():
            task.result()  # raises what the callback raised


class MultiThreadedExecutor(Executor):
    """Runs callbacks in a pool of threads; the spinning thread waits and hands out.

    Work is handed out only to a free thread, so that queues keep their depth: with every thread busy, a
    subscription of depth 1 still holds the newest message.
    """

    def __init__(self, num_threads: int | None = None, *, context: Context | None = None) -> None:
        """:param num_threads: default the number of CPUs that this process may use."""
        super().__init__(context=context)
        if num_threads is None:
            num_threads = (
                len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
            )
        if num_threads < 1:
            raise ValueError(f"an executor needs at least one thread, got {num_threads}")
        if num_threads == 1:
            warnings.warn(
                "MultiThreadedExecutor is used with a single thread.\n"
                "Use the SingleThreadedExecutor instead.",
                stacklevel=2,
            )
        self._free = num_threads
        self._free_lock = threading.Lock()
        self._work: queue.SimpleQueue[Task[Any] | CallbackRun | None] = queue.SimpleQueue()
        self._errors: deque[BaseException] = deque()
        self._threads = [
            # Daemons: a callback that blocks for good must not keep a process alive whose main thread has
            # ended.
            threading.Thread(target=self._worker, name=f"rclpy-executor-{index}", daemon=True)
            for index in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()
        _stop_at_exit(self)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        self._spin_once(timeout_sec, lambda: False)

    def spin_once_until_future_complete(self, future: Future[Any], timeout_sec: float | None = None) -> None:
        future._add_waiter(self.wake)
        try:
            self._spin_once(timeout_sec, lambda: settled(future))
        finally:
            future._remove_waiter(self.wake)

    def shutdown(self, timeout_sec: float | None = None, *, wait_for_threads: bool = True) -> bool:
        """Like `Executor.shutdown`.

        :param wait_for_threads: also wait until the pool's threads have ended.
        """
        deadline = Deadline(timeout_sec)
        done = super().shutdown(timeout_sec)
        for _ in self._threads:
            self._work.put(None)
        if wait_for_threads and done:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(deadline.remaining_s())
        return done

    def _spin_once(self, timeout_sec: float | None, condition: Callable[[], bool]) -> None:
        try:
            task, entity, _ = self.wait_for_ready_callbacks(
                timeout_sec, None, lambda: bool(self._errors) or condition()
            )
        except (TimeoutException, ShutdownException, ExternalShutdownException, ConditionReachedException):
            pass
        else:
            if entity is not None and entity._inline:
                self._run(task)
                self._note_error(task)
            else:
                with self._free_lock:
                    self._free -= 1
                self._work.put(task)
        if self._errors:
            raise self._errors.popleft()

    def _accepts(self, entity: Entity | None) -> bool:
        return self._free > 0 or (entity is not None and entity._inline)

    def _worker(self) -> None:
        while True:
            task = self._work.get()
            if task is None:
                return
            try:
                self._run(task)
                self._note_error(task)
            except BaseException as error:
                # SystemExit and its like: the thread that spins is the one to end.
                self._errors.append(error)
            finally:
                with self._free_lock:
                    self._free += 1
                self.wake()
                del task

    def _note_error(self, task: Task[Any] | CallbackRun) -> None:
        if task.done():
            error = task.exception()
            if error is not None:
                self._errors.append(error)


_EXIT_PATIENCE_S = 1.0
_pools: weakref.WeakSet[MultiThreadedExecutor] = weakref.WeakSet()


def _stop_at_exit(pool: MultiThreadedExecutor) -> None:
    if not _pools:
        threading._register_atexit(_stop_pools)  # type: ignore[attr-defined]
    _pools.add(pool)


def _stop_pools() -> None:
    """Gives callbacks that are running a moment to end: cut off by the interpreter's end, they could crash
    it."""
    for context in live_contexts():
        context._interrupt()
    pools = list(_pools)
    for pool in pools:
        pool.shutdown(0, wait_for_threads=False)
    end = time.monotonic() + _EXIT_PATIENCE_S
    for pool in pools:
        for thread in pool._threads:
            thread.join(max(0.0, end - time.monotonic()))
