"""Loggers with filters: once, throttled, all but the first."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from ..clock import Clock
from ..constants import S_TO_NS
from . import log_output
from .logging_severity import LoggingSeverity

_FILTER_OPTIONS = ("throttle_duration_sec", "throttle_time_source_type", "skip_first", "once")


class _CallSite:
    """What the filters remember about one place in the program."""

    def __init__(self, severity: LoggingSeverity, name: str, options: dict[str, Any]) -> None:
        self.severity = severity
        self.name = name
        self.options = options
        self.clock: Clock = options.get("throttle_time_source_type") or Clock()
        if not isinstance(self.clock, Clock):
            raise ValueError(f"throttle_time_source_type must be a clock, got {self.clock!r}")
        self.seen = False
        self.logged = False
        self.last_ns: int | None = None

    def check_unchanged(self, severity: LoggingSeverity, name: str, options: dict[str, Any]) -> None:
        if severity != self.severity:
            raise ValueError("Logger severity cannot be changed between calls.")
        if name != self.name:
            raise ValueError("Logger name cannot be changed between calls.")
        if options != self.options:
            raise ValueError("Logging filter parameters cannot be changed between calls.")

    def should_log(self) -> bool:
        throttle_s = self.options.get("throttle_duration_sec")
        if throttle_s:
            now_ns = self.clock.now().nanoseconds
            # A clock that went back starts a new interval.
            if self.last_ns is not None and 0 <= now_ns - self.last_ns < throttle_s * S_TO_NS:
                return False
            self.last_ns = now_ns
        if self.options.get("skip_first") and not self.seen:
            self.seen = True
            return False
        if self.options.get("once"):
            if self.logged:
                return False
            self.logged = True
        return True


class RcutilsLogger:
    """A named logger. Names form a tree by dots; a level counts for the whole branch."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._call_sites: dict[tuple[str, int, int], _CallSite] = {}

    def get_child(self, name: str) -> RcutilsLogger:
        """The logger `<this>.<name>`."""
        if not name:
            raise ValueError("Child logger name must not be empty.")
        return RcutilsLogger(f"{self.name}.{name}" if self.name else name)

    def set_level(self, level: LoggingSeverity | int) -> None:
        log_output.set_level(self.name, LoggingSeverity(level))

    def get_effective_level(self) -> LoggingSeverity:
        return log_output.get_effective_level(self.name)

    def is_enabled_for(self, severity: LoggingSeverity | int) -> bool:
        return LoggingSeverity(severity) >= log_output.get_effective_level(self.name)

    def log(self, message: str, severity: LoggingSeverity | int, **kwargs: Any) -> bool:
        """Logs, unless the level or a filter is against it.

        :keyword name: the name to log under, default this logger's.
        :keyword throttle_duration_sec: at most one message in this time from this place in the program.
        :keyword throttle_time_source_type: the clock that measures it, default the system's.
        :keyword skip_first: leave the first message from this place out.
        :keyword once: only the first message from this place.
        :return: True if the message was logged.
        :raises TypeError: for an unknown option.
        :raises ValueError: when a place in the program changes its severity or options between calls.
        """
        severity = LoggingSeverity(severity)
        if severity < log_output.get_effective_level(self.name):
            return False
        name = kwargs.pop("name", self.name)
        frame = _caller()
        code = frame.f_code
        if not self._passes_filters(frame, severity, name, kwargs):
            return False
        log_output.write(severity, name, str(message), code.co_name, code.co_filename, frame.f_lineno)
        return True

    def _passes_filters(
        self, frame: FrameType, severity: LoggingSeverity, name: str, options: dict[str, Any]
    ) -> bool:
        for option in options:
            if option not in _FILTER_OPTIONS:
                raise TypeError(f"'{option}' is not a logging option; known: {', '.join(_FILTER_OPTIONS)}")
        if options.get("throttle_time_source_type") is not None and "throttle_duration_sec" not in options:
            raise TypeError("throttle_time_source_type needs throttle_duration_sec")
        # The instruction tells two calls on one line apart.
        key = (frame.f_code.co_filename, frame.f_lineno, frame.f_lasti)
        site = self._call_sites.get(key)
        if site is None:
            site = self._call_sites[key] = _CallSite(severity, name, options)
        else:
            site.check_unchanged(severity, name, options)
        return site.should_log()

    def debug(self, message: str, **kwargs: Any) -> bool:
        """`log` with severity DEBUG."""
        return self.log(message, LoggingSeverity.DEBUG, **kwargs)

    def info(self, message: str, **kwargs: Any) -> bool:
        """`log` with severity INFO."""
        return self.log(message, LoggingSeverity.INFO, **kwargs)

    def warning(self, message: str, **kwargs: Any) -> bool:
        """`log` with severity WARN."""
        return self.log(message, LoggingSeverity.WARN, **kwargs)

    def warn(self, message: str, **kwargs: Any) -> bool:
        """The old name of `warning`."""
        return self.warning(message, **kwargs)

    def error(self, message: str, **kwargs: Any) -> bool:
        """`log` with severity ERROR."""
        return self.log(message, LoggingSeverity.ERROR, **kwargs)

    def fatal(self, message: str, **kwargs: Any) -> bool:
        """`log` with severity FATAL."""
        return self.log(message, LoggingSeverity.FATAL, **kwargs)


def _caller() -> FrameType:
    """The frame outside of this module that logs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    assert frame is not None
    return frame
