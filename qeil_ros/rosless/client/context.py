"""The life of a client library between init and shutdown."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from inspect import ismethod
from typing import TYPE_CHECKING

from ._arguments import Arguments, parse_arguments
from ._rclpy_pybind11 import RCLError
from .exceptions import NotInitializedException

if TYPE_CHECKING:
    from ..session import Session
    from .node import Node

_ALREADY_SHUT_DOWN = "failed to shutdown: rcl_shutdown already called on the given context"

# Replaced as a whole, never changed in place: a signal handler may read it at any instruction.
_live: tuple[Context, ...] = ()
_live_lock = threading.Lock()


class Context:
    """Holds the arguments of a process and its connection to the graph, which opens with the first node.

    A context serves once: after shutdown a new one is needed. `with Context() as context:` initialises and
    shuts down.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._initialized = False
        # Read by signal handlers and executors without a lock.
        self._ok = False
        self._released = False
        self._domain_id = 0
        self._arguments = Arguments()
        self._session: Session | None = None
        self._nodes: weakref.WeakSet[Node] = weakref.WeakSet()
        self._callbacks: list[Callable[[], Callable[[], None] | None]] = []
        # Replaced as a whole, never changed in place: a signal handler may read it at any instruction.
        self._wakers: tuple[Callable[[], None], ...] = ()

    def init(
        self,
        args: list[str] | None = None,
        *,
        initialize_logging: bool = True,
        domain_id: int | None = None,
    ) -> None:
        """Reads the ROS arguments in `args` (default `sys.argv`).

        :param domain_id: which graph to join; None for the environment's `ROS_DOMAIN_ID`, or 0.
        :raises RuntimeError: when called twice, for a bad domain id, or for ROS arguments that are wrong.
        """
        with self._lock:
            if domain_id is not None and domain_id < 0:
                raise RuntimeError(f"Domain id ({domain_id}) should not be lower than zero.")
            if self._initialized:
                raise RuntimeError("Context.init() must only be called once")
            from .. import config

            self._arguments = parse_arguments(sys.argv if args is None else args)
            self._domain_id = config.domain_id(os.environ) if domain_id is None else domain_id
            self._initialized = True
            self._ok = True
            _set_live(self, True)
            if initialize_logging:
                from .impl import log_output

                log_output.configure(self._arguments)

    def ok(self) -> bool:
        """True between init and shutdown."""
        return self._ok

    def get_domain_id(self) -> int:
        if not self._initialized:
            raise RuntimeError("Context must be initialized before it can have a domain id")
        return self._domain_id

    def shutdown(self) -> None:
        """Ends everything that belongs to this context and wakes everybody who waits.

        :raises RuntimeError: when it was never initialised.
        :raises RCLError: when it was shut down before, be it by a signal.
        """
        if not self._initialized:
            raise RuntimeError("Context must be initialized before it can be shutdown")
        was_ok = self._ok
        self._release()
        if not was_ok:
            raise RCLError(_ALREADY_SHUT_DOWN)

    def try_shutdown(self) -> None:
        """Like `shutdown`, but nothing happens to a context that is not running."""
        if self._initialized:
            self._release()

    def on_shutdown(self, callback: Callable[[], None]) -> None:
        """Calls `callback` at shutdown, or now if that has happened. Bound methods are held weakly."""
        if not callable(callback):
            raise TypeError(f"callback should be a callable, got {type(callback)}")
        with self._lock:
            if not self._released:
                self._callbacks.append(
                    weakref.WeakMethod(callback) if ismethod(callback) else lambda: callback
                )
                return
        callback()

    def destroy(self) -> None:
        """Shuts down, if need be."""
        self.try_shutdown()

    def track_node(self, node: Node) -> None:
        self._nodes.add(node)

    def __enter__(self) -> Context:
        self.init()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.try_shutdown()

    # What the other modules use.

    def _get_session(self) -> Session:
        """The connection to the graph, opened on first use."""
        with self._lock:
            if not self._ok:
                raise NotInitializedException("the context is not initialised, or was shut down")
            if self._session is None:
                from ..session import Session

                self._session = Session.open(self._domain_id)
                # Exit handlers run last in, first out: whoever blocks is woken before the session closes.
                threading._register_atexit(self._at_exit)  # type: ignore[attr-defined]
            return self._session

    def _interrupt(self) -> None:
        """What a signal does: mark as shut down and wake everybody. Takes no lock, runs no foreign code."""
        self._ok = False
        for waker in self._wakers:
            waker()

    def _add_waker(self, waker: Callable[[], None]) -> None:
        """Calls `waker`, which takes no lock, as soon as the context is shut down."""
        with self._lock:
            self._wakers = (*self._wakers, waker)
        if self._initialized and not self._ok:
            waker()

    def _remove_waker(self, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers = tuple(other for other in self._wakers if other != waker)

    def _release(self) -> None:
        with self._lock:
            if self._released:
                return
            self._released = True
            callbacks, self._callbacks = self._callbacks, []
            session, self._session = self._session, None
        self._interrupt()
        _set_live(self, False)
        try:
            for reference in callbacks:
                callback = reference()
                if callback is not None:
                    callback()
        finally:
            if session is not None:
                session.close()

    def _at_exit(self) -> None:
        self.try_shutdown()


def live_contexts() -> tuple[Context, ...]:
    """The contexts that signals shut down."""
    return tuple(context for context in _live if context.ok())


def _set_live(context: Context, live: bool) -> None:
    global _live
    with _live_lock:
        others = tuple(other for other in _live if other is not context)
        _live = (*others, context) if live else others
