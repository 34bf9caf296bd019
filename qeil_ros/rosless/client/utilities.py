"""The default context, and questions about the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ._arguments import without_ros_arguments
from .constants import S_TO_NS
from .context import Context

_default_context: Context | None = None
_lock = threading.Lock()


def get_default_context(*, shutting_down: bool = False) -> Context:
    """The context of everything that names none.

    :param shutting_down: hand it over for good; the next call makes a fresh one.
    """
    global _default_context
    with _lock:
        if _default_context is None:
            _default_context = Context()
        context = _default_context
        if shutting_down:
            _default_context = None
        return context


def remove_ros_args(args: Sequence[str] | None = None) -> list[str]:
    """The arguments (default `sys.argv`) less everything between `--ros-args` and `--`."""
    import sys

    return without_ros_arguments(sys.argv if args is None else args)


def ok(*, context: Context | None = None) -> bool:
    """True if the context (default: the default one) is initialised and not shut down."""
    return (context or get_default_context()).ok()


def shutdown(*, context: Context | None = None) -> None:
    """Shuts the context down; an error if it was not running."""
    (context or get_default_context(shutting_down=True)).shutdown()


def try_shutdown(*, context: Context | None = None) -> None:
    """Shuts the context down if it is running."""
    if context is not None:
        context.try_shutdown()
        return
    get_default_context(shutting_down=True).try_shutdown()


def get_rmw_implementation_identifier() -> str:
    """The transport whose wire protocol is spoken."""
    return "rmw_zenoh_cpp"


def get_available_rmw_implementations() -> set[str]:
    return {get_rmw_implementation_identifier()}


def timeout_sec_to_nsec(timeout_sec: float | None) -> int:
    """A timeout in ns; -1, to wait forever, for None and negative numbers."""
    if timeout_sec is None or timeout_sec < 0:
        return -1
    return int(float(timeout_sec) * S_TO_NS)
