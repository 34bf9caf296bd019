"""What all executors share: which nodes, what is ready, and waiting for it.

Nothing polls: an executor sleeps until an entity wakes it or the next timer is due. What is ready is found by
looking at the entities, whose queues say so; a wakeup only says "look again", so that none can be lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._entity import Entity
from ._wakeup import Wakeup
from .constants import S_TO_NS
from .context import Context
from .task import CallbackRun, Future, Task
from .utilities import get_default_context

if TYPE_CHECKING:
    from .node import Node


class TimeoutException(Exception):
    """Nothing became ready in time."""


class ShutdownException(Exception):
    """The executor was shut down while it waited."""


class ExternalShutdownException(Exception):
    """The context was shut down while the executor waited, for instance by SIGTERM."""

    def __init__(self) -> None:
        super().__init__("the context was shut down")


class ConditionReachedException(Exception):
    """What a spin was waiting for has come true."""


class Deadline:
    """A timeout that is shared by the waits of one spin."""

    def __init__(self, timeout_sec: float | None) -> None:
        self._end = None if timeout_sec is None or timeout_sec < 0 else time.monotonic() + timeout_sec

    def remaining_s(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


class Executor:
    """Base of the executors. A custom one gets its work from `wait_for_ready_callbacks`.

    One thread at a time may spin an executor.
    """

    # Whether work can be found while a callback runs; if not, its end needs no wakeup.
    _callbacks_overlap = True

    def __init__(self, *, context: Context | None = None) -> None:
        self._context = get_default_context() if context is None else context
        # Replaced as a whole under the lock, read without it.
        self._nodes: tuple[Node, ...] = ()
        self._nodes_lock = threading.RLock()
        self._wakeup = Wakeup()
        # Tasks that can go on now: new ones, and those whose awaited future has settled.
        self._runnable: deque[Task[Any]] = deque()
        # What the last look found ready. One turn each, so that neither a busy topic nor a busy task starves
        # anybody.
        self._batch: deque[tuple[Task[Any], None, None] | tuple[None, Entity, Node]] = deque()
        self._sleep_s: float | None = None
        self._is_shutdown = False
        self._in_progress = 0
        self._idle = threading.Condition()
        self._context._add_waker(self._wakeup.set)

    @property
    def context(self) -> Context:
        return self._context

    def add_node(self, node: Node) -> bool:
        """Runs the node's callbacks from now on; takes it from the executor it was in.

        :return: False if the node was here already.
        """
        with self._nodes_lock:
            if node in self._nodes:
                return False
            self._nodes = (*self._nodes, node)
        node.executor = self
        self.wake()
        return True

    def remove_node(self, node: Node) -> None:
        """Runs the node's callbacks no longer."""
        with self._nodes_lock:
            if node not in self._nodes:
                return
            self._nodes = tuple(other for other in self._nodes if other is not node)
        node._forget_executor(self)
        self.wake()

    def get_nodes(self) -> list[Node]:
        return list(self._nodes)

    def create_task(
        self, callback: Callable[..., Any] | Coroutine[Any, Any, Any], *args: Any, **kwargs: Any
    ) -> Task[Any]:
        """Runs a function or coroutine while the executor spins.

        :return: a future for what it returns.
        """
        task: Task[Any] = Task(callback, args, kwargs, executor=self)
        self._enqueue(task)
        return task

    def wake(self) -> None:
        """Makes the executor look for work again. Any thread, and any signal handler, may call it."""
        self._wakeup.set()

    def spin(self) -> None:
        """Runs callbacks until the context or the executor is shut down. What a callback raises comes out
        here.

        :raises ExternalShutdownException: when the context was shut down during the wait.
        """
        while self._context.ok() and not self._is_shutdown:
            self.spin_once()

    def spin_until_future_complete(self, future: Future[Any], timeout_sec: float | None = None) -> None:
        """Runs callbacks until the future is settled, the time is over, or the context is shut down."""
        deadline = Deadline(timeout_sec)
        future._add_waiter(self.wake)
        try:
            while self._context.ok() and not settled(future) and not self._is_shutdown:
                self.spin_once_until_future_complete(future, deadline.remaining_s())
                if deadline.is_over():
                    return
        finally:
            future._remove_waiter(self.wake)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Waits for one callback and runs it.

        :param timeout_sec: how long to wait; None or negative for ever, 0 not at all.
        """
        raise NotImplementedError

    def spin_once_until_future_complete(self, future: Future[Any], timeout_sec: float | None = None) -> None:
        """Like `spin_once`, and does not wait once the future is settled."""
        raise NotImplementedError

    def wait_for_ready_callbacks(
        self,
        timeout_sec: float | None = None,
        nodes: list[Node] | None = None,
        condition: Callable[[], bool] = lambda: False,
    ) -> tuple[Task[Any] | CallbackRun, Entity | None, Node | None]:
        """Waits for work: a task to call, with the entity and node it is for (None for tasks of
        `create_task`).

        :param nodes: only these; None for all.
        :raises TimeoutException: when there was nothing in time.
        :raises ShutdownException: when the executor was shut down.
        :raises ExternalShutdownException: when the context was shut down.
        :raises ConditionReachedException: when `condition()` is true.
        """
        deadline = Deadline(timeout_sec)
        while True:
            if self._is_shutdown:
                raise ShutdownException
            if not self._context.ok():
                raise ExternalShutdownException
            if condition():
                raise ConditionReachedException
            work = self._next_work(nodes)
            if work is not None:
                return work
            remaining_s = deadline.remaining_s()
            if remaining_s is not None and remaining_s <= 0:
                raise TimeoutException
            waits = [wait for wait in (remaining_s, self._sleep_s) if wait is not None]
            self._wakeup.wait(min(waits) if waits else None)

    def can_execute(self, entity: Entity) -> bool:
        """True if the entity's callback may start now."""
        return entity.callback_group is not None and entity.callback_group.can_execute(entity)

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stops spinning, and waits for the callbacks that other threads are running.

        :param timeout_sec: how long to wait; None or negative for ever.
        :return: False if the time was not enough.
        """
        self._is_shutdown = True
        self.wake()
        deadline = Deadline(timeout_sec)
        with self._idle:
            if not self._idle.wait_for(lambda: self._in_progress <= self._own_work(), deadline.remaining_s()):
                return False
        for node in self.get_nodes():
            self.remove_node(node)
        self._batch.clear()
        self._context._remove_waker(self._wakeup.set)
        return True

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.shutdown()

    # Finding work

    def _enqueue(self, task: Task[Any]) -> None:
        self._runnable.append(task)
        self.wake()

    def _accepts(self, entity: Entity | None) -> bool:
        """True if work for this entity (None: a task) could start now."""
        return True

    def _next_work(
        self, nodes: list[Node] | None
    ) -> tuple[Task[Any] | CallbackRun, Entity | None, Node | None] | None:
        """Takes one piece of work, or notes in `_sleep_s` how long there is none."""
        while self._batch or self._look(nodes):
            task, entity, node = self._batch.popleft()
            if task is not None:
                if self._accepts(None):
                    return task, None, None
                self._runnable.appendleft(task)
                continue
            assert entity is not None and node is not None
            if (
                node not in self._nodes
                or (nodes is not None and node not in nodes)
                or not self._accepts(entity)
            ):
                continue
            work = self._begin(entity)
            if work is not None:
                return work, entity, node
        return None

    def _look(self, nodes: list[Node] | None) -> bool:
        """Fills the batch with the tasks that can go on and the entities that are ready and may run."""
        if self._accepts(None):
            for _ in range(len(self._runnable)):
                self._batch.append((self._runnable.popleft(), None, None))
        sleep_ns: int | None = None
        for node in self._nodes:
            if nodes is not None and node not in nodes:
                continue
            for entity in node._entities:
                ready_ns = entity._ns_until_ready()
                if ready_ns is None or not self._accepts(entity) or not self.can_execute(entity):
                    continue
                if ready_ns == 0:
                    self._batch.append((None, entity, node))
                elif sleep_ns is None or ready_ns < sleep_ns:
                    sleep_ns = ready_ns
        self._sleep_s = None if sleep_ns is None else sleep_ns / S_TO_NS
        return bool(self._batch)

    def _begin(self, entity: Entity) -> CallbackRun | None:
        """Claims the entity's callback group and takes its data; None if it is not ready any more."""
        group = entity.callback_group
        if group is None or not group.beginning_execution(entity):
            return None
        try:
            work = entity._take()
        except BaseException:
            group.ending_execution(entity)
            raise
        if work is None:
            group.ending_execution(entity)
            return None

        def at_end() -> None:
            group.ending_execution(entity)
            if self._callbacks_overlap:
                # The next member of the group may be waiting for this.
                self.wake()

        return CallbackRun(work, self, at_end)

    def _run(self, task: Task[Any] | CallbackRun) -> None:
        """Runs the task in this thread, and keeps count for `shutdown`."""
        with self._idle:
            self._in_progress += 1
        _running.stack = (*_stack(), self)
        try:
            task()
        finally:
            _running.stack = _stack()[:-1]
            with self._idle:
                self._in_progress -= 1
                self._idle.notify_all()

    def _own_work(self) -> int:
        """How many callbacks of this executor are running in this very thread; `shutdown` must not wait for
        them."""
        return sum(executor is self for executor in _stack())


_running = threading.local()


def _stack() -> tuple[Executor, ...]:
    return getattr(_running, "stack", ())


def settled(future: Future[Any]) -> bool:
    return future.done() or future.cancelled()
