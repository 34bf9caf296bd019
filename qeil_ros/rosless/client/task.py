"""Results to come, and the work that an executor runs."""

from __future__ import annotations

import inspect
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from .executors import Executor

T = TypeVar("T")


class Future(Generic[T]):
    """A result that arrives later. Any thread may set it; a coroutine run by an executor may await it."""

    def __init__(self, *, executor: Executor | None = None) -> None:
        self._done = False
        self._cancelled = False
        self._result: T | None = None
        self._exception: BaseException | None = None
        self._exception_fetched = False
        self._callbacks: list[Callable[[Future[T]], None]] = []
        # Called at once, in the thread that completes the future: executors and tasks that wait for it.
        self._waiters: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._executor: Callable[[], Executor | None] = _no_executor
        self._set_executor(executor)

    def __del__(self) -> None:
        if self._exception is not None and not self._exception_fetched:
            print(f"The following exception was never retrieved: {self._exception}", file=sys.stderr)

    def __await__(self) -> Generator[Future[T], None, T | None]:
        while not (self._done or self._cancelled):
            yield self
        return self.result()

    def cancel(self) -> None:
        """Gives the result up, if it is not there yet. Done callbacks run and awaiting coroutines resume."""
        with self._lock:
            if self._done:
                return
            self._cancelled = True
        self._settle()

    def cancelled(self) -> bool:
        return self._cancelled

    def done(self) -> bool:
        """True once there is a result or an exception."""
        return self._done

    def result(self) -> T | None:
        """The result, or None where there is none yet.

        :raises Exception: the one that was set instead of a result.
        """
        exception = self.exception()
        if exception is not None:
            raise exception
        return self._result

    def exception(self) -> BaseException | None:
        """The exception that was set instead of a result, if any."""
        self._exception_fetched = True
        return self._exception

    def set_result(self, result: T) -> None:
        with self._lock:
            self._result = result
            self._done = True
            self._cancelled = False
        self._settle()

    def set_exception(self, exception: BaseException) -> None:
        with self._lock:
            self._exception = exception
            self._exception_fetched = False
            self._done = True
            self._cancelled = False
        self._settle()

    def add_done_callback(self, callback: Callable[[Future[T]], None]) -> None:
        """Runs `callback(self)` once the future is settled: in its executor if it has one, else in the
        thread that settles it, or right now when it is settled already."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
            executor = self._executor()
        if executor is not None:
            executor.create_task(callback, self)
        else:
            callback(self)

    def _settle(self) -> None:
        with self._lock:
            executor = self._executor()
            callbacks, self._callbacks = self._callbacks, []
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter()
        for callback in callbacks:
            if executor is not None:
                executor.create_task(callback, self)
                continue
            try:
                callback(self)
            except Exception as error:
                # The remaining callbacks have a right to run as well.
                warnings.warn(f"Unhandled exception in done callback: {error}", stacklevel=3)

    def _set_executor(self, executor: Executor | None) -> None:
        with self._lock:
            self._executor = _no_executor if executor is None else weakref.ref(executor)

    def _add_waiter(self, waiter: Callable[[], None]) -> None:
        """Calls `waiter` in the thread that settles the future, or now if that has happened. It must not
        block."""
        with self._lock:
            if not (self._done or self._cancelled):
                self._waiters.append(waiter)
                return
        waiter()

    def _remove_waiter(self, waiter: Callable[[], None]) -> None:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)


def _no_executor() -> None:
    return None


class Task(Future[T]):
    """A function or coroutine that an executor runs. Made by `Executor.create_task`, not by hand.

    A coroutine that awaits a `Future` sleeps until that is settled; nothing polls.
    """

    def __init__(
        self,
        handler: Callable[..., Any] | Coroutine[Any, Any, T] | None,
        args: tuple[Any, ...] | list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        executor: Executor | None = None,
        *,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        """:param at_end: called when the work is over, however it ended, before anybody sees the result.

        With it set, a coroutine that a plain `handler` returns counts as the rest of the work.
        """
        super().__init__(executor=executor)
        self._at_end = at_end
        self._executing = False
        self._task_lock = threading.Lock()
        self._args = tuple(args or ())
        self._kwargs = kwargs or {}
        self._handler: Any = handler
        if at_end is None and inspect.iscoroutinefunction(handler):
            self._handler = handler(*self._args, **self._kwargs)

    def __call__(self) -> None:
        """Runs the work, or resumes it, in this thread."""
        # What the task awaits may settle before the thread that ran into the await has left this method. The
        # next thread then waits here for the moment that takes, or the wakeup would be lost.
        with self._task_lock:
            if self._done or self._handler is None:
                return
            if self._cancelled:
                if inspect.iscoroutine(self._handler):
                    self._handler.close()
                self._finish()
                return
            self._executing = True
            try:
                self._advance()
            except Exception as error:
                self._finish()
                self.set_exception(error)
            except BaseException:
                self._finish()
                raise
            finally:
                self._executing = False

    def cancel(self) -> None:
        """Gives the work up: what has not begun never begins, and a suspended coroutine is closed."""
        super().cancel()
        self._resume()

    def _advance(self) -> None:
        if not inspect.iscoroutine(self._handler):
            result = self._handler(*self._args, **self._kwargs)
            if self._at_end is None or not inspect.iscoroutine(result):
                self._finish()
                self.set_result(result)
                return
            self._handler = result
        try:
            awaited = self._handler.send(None)
        except StopIteration as stop:
            self._finish()
            self.set_result(stop.value)
            return
        if awaited is not None and not isinstance(awaited, Future):
            self._handler.close()
            raise TypeError(
                f"a callback awaited {awaited!r}; only rclpy futures and tasks can be awaited here"
            )
        if awaited is None:
            self._resume()
        else:
            awaited._add_waiter(self._resume)

    def _resume(self) -> None:
        executor = self._executor()
        if executor is not None:
            executor._enqueue(self)

    def _finish(self) -> None:
        self._handler = None
        self._args = ()
        self._kwargs = {}
        if self._at_end is not None:
            at_end, self._at_end = self._at_end, None
            at_end()

    def executing(self) -> bool:
        """True while some thread is running the work."""
        return self._executing


class CallbackRun:
    """One run of an entity's callback, with as much of a task as executors need.

    Most callbacks are plain functions that nobody awaits; a whole future for each of them would be a good
    part of what receiving a message costs. Only a coroutine gets a `Task`.
    """

    __slots__ = ("_at_end", "_done", "_error", "_executor", "_task", "_work")

    def __init__(self, work: Callable[[], Any], executor: Executor, at_end: Callable[[], None]) -> None:
        """:param at_end: called when the work is over, however it ended."""
        self._work = work
        self._executor = executor
        self._at_end = at_end
        self._done = False
        self._error: Exception | None = None
        self._task: Task[Any] | None = None

    def __call__(self) -> None:
        """Runs the callback in this thread; a coroutine up to its first await."""
        try:
            result = self._work()
        except BaseException as error:
            self._at_end()
            if not isinstance(error, Exception):
                raise
            self._error = error
        else:
            if isinstance(result, CoroutineType):
                self._task = Task(result, executor=self._executor, at_end=self._at_end)
                self._task()
                return
            self._at_end()
        self._done = True

    def done(self) -> bool:
        return self._done if self._task is None else self._task.done()

    def exception(self) -> BaseException | None:
        """What the callback raised."""
        return self._error if self._task is None else self._task.exception()

    def result(self) -> Any:
        """None; raises what the callback raised."""
        if self._task is not None:
            return self._task.result()
        if self._error is not None:
            raise self._error
        return None
