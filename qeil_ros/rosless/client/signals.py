"""SIGINT and SIGTERM shut the contexts down.

After SIGINT the handler that was there before runs too, so that Python raises KeyboardInterrupt in the main
thread. SIGTERM ends waits with `ExternalShutdownException`. The handlers take no lock, whatever the main
thread was doing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from enum import IntFlag
from types import FrameType
from typing import Any

from .context import live_contexts


class SignalHandlerOptions(IntFlag):
    """Which signals shut the contexts down."""

    NO = 0
    SIGINT = 1
    SIGTERM = 2
    ALL = 3


_SIGNALS = {SignalHandlerOptions.SIGINT: signal.SIGINT, SignalHandlerOptions.SIGTERM: signal.SIGTERM}
_previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}


def install_signal_handlers(options: SignalHandlerOptions = SignalHandlerOptions.ALL) -> None:
    """Installs the handlers. Python lets only the main thread do that; elsewhere nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        return
    for option, signum in _SIGNALS.items():
        if option in options and signum not in _previous:
            _previous[signum] = signal.signal(signum, _on_signal)


def uninstall_signal_handlers() -> None:
    """Puts back the handlers that were there before. Only the main thread can; elsewhere nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in list(_previous):
        handler = _previous.pop(signum)
        # Somebody else's handler, installed since, stays.
        if signal.getsignal(signum) is _on_signal:
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)


def get_current_signal_handlers_options() -> SignalHandlerOptions:
    """Which handlers are installed."""
    options = SignalHandlerOptions.NO
    for option, signum in _SIGNALS.items():
        if signum in _previous:
            options |= option
    return options


def _on_signal(signum: int, frame: FrameType | None) -> None:
    contexts = live_contexts()
    for context in contexts:
        context._interrupt()
    previous = _previous.get(signum)
    if callable(previous):
        previous(signum, frame)
    elif previous == signal.SIG_DFL and not contexts:
        # Nobody is left to shut down: the signal means what it means to any process.
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
