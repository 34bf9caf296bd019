"""Where log messages go: the console, and `/rosout` of the node that the logger belongs to.

The console format and its environment variables are those of rcutils: `RCUTILS_CONSOLE_OUTPUT_FORMAT`,
`RCUTILS_COLORIZED_OUTPUT` (0, 1 or unset), `RCUTILS_LOGGING_USE_STDOUT` (0, 1 or unset).
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .logging_severity import LoggingSeverity

if TYPE_CHECKING:
    from .._arguments import Arguments

DEFAULT_FORMAT = "[{severity}] [{time}] [{name}]: {message}"
DEFAULT_LEVEL = LoggingSeverity.INFO

_FIELD = re.compile(
    r"\{(severity|name|message|function_name|file_name|line_number|time|time_as_nanoseconds|date_time_with_ms)\}"
)
_COLORS = {LoggingSeverity.DEBUG: "\033[32m", LoggingSeverity.WARN: "\033[33m"}
_RED, _RESET = "\033[31m", "\033[0m"

# (severity, logger, message, function, file, line, stamp in ns)
Sink = Callable[[LoggingSeverity, str, str, str, str, int, int], None]

_lock = threading.Lock()
_levels: dict[str, LoggingSeverity] = {}
_default_level = DEFAULT_LEVEL
_console_enabled = True
_rosout: dict[str, Sink] = {}
# The effective level of each logger asked for, until any level changes.
_effective: dict[str, LoggingSeverity] = {}


def configure(arguments: Arguments) -> None:
    """Takes over what the command line says about logging."""
    global _console_enabled
    _console_enabled = arguments.log_outputs["stdout"]
    if arguments.log_level is not None:
        set_level("", arguments.log_level)
    for name, level in arguments.logger_levels.items():
        set_level(name, level)


def reset() -> None:
    """Forgets all levels that were set."""
    global _default_level, _console_enabled
    with _lock:
        _levels.clear()
        _effective.clear()
        _default_level = DEFAULT_LEVEL
        _console_enabled = True


def set_level(name: str, level: LoggingSeverity) -> None:
    """Sets the level of a logger; the empty name is the default of all, UNSET takes a level back."""
    global _default_level
    with _lock:
        if not name:
            _default_level = level or DEFAULT_LEVEL
        elif level is LoggingSeverity.UNSET:
            _levels.pop(name, None)
        else:
            _levels[name] = level
        _effective.clear()


def get_level(name: str) -> LoggingSeverity:
    """The level set for exactly this logger, or UNSET."""
    return _levels.get(name, LoggingSeverity.UNSET) if name else _default_level


def get_effective_level(name: str) -> LoggingSeverity:
    """The level that counts: the logger's own, else that of the nearest ancestor, else the default."""
    level = _effective.get(name)
    if level is None:
        with _lock:
            level = next(
                (_levels[ancestor] for ancestor in _lineage(name) if ancestor in _levels), _default_level
            )
            _effective[name] = level
    return level


def attach_rosout(logger_name: str, sink: Sink) -> None:
    """Sends what this logger and its children say to `sink` too."""
    with _lock:
        _rosout[logger_name] = sink


def detach_rosout(logger_name: str, sink: Sink) -> None:
    with _lock:
        if _rosout.get(logger_name) == sink:
            del _rosout[logger_name]


def write(severity: LoggingSeverity, name: str, message: str, function: str, file: str, line: int) -> None:
    """Puts a message out, whatever the levels are."""
    stamp_ns = time.time_ns()
    if _console_enabled:
        _write_console(severity, name, message, function, file, line, stamp_ns)
    if _rosout:
        sink = next((_rosout[ancestor] for ancestor in _lineage(name) if ancestor in _rosout), None)
        if sink is not None:
            sink(severity, name, message, function, file, line, stamp_ns)


def format_message(
    pattern: str,
    severity: LoggingSeverity,
    name: str,
    message: str,
    function: str,
    file: str,
    line: int,
    stamp_ns: int,
) -> str:
    """`pattern` with its `{fields}` filled in; unknown fields stay as they are."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)

    def value(match: re.Match[str]) -> str:
        field = match[1]
        if field == "date_time_with_ms":
            date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sec))
            return f"{date}.{nanosec // 1_000_000:03d}"
        return {
            "severity": severity.name,
            "name": name,
            "message": message,
            "function_name": function,
            "file_name": file,
            "line_number": str(line),
            "time": f"{sec}.{nanosec:09d}",
            "time_as_nanoseconds": str(stamp_ns),
        }[field]

    return _FIELD.sub(value, pattern)


def _write_console(
    severity: LoggingSeverity, name: str, message: str, function: str, file: str, line: int, stamp_ns: int
) -> None:
    stream = sys.stdout if os.environ.get("RCUTILS_LOGGING_USE_STDOUT") == "1" else sys.stderr
    if stream is None or stream.closed:
        return
    pattern = os.environ.get("RCUTILS_CONSOLE_OUTPUT_FORMAT") or DEFAULT_FORMAT
    text = format_message(pattern, severity, name, message, function, file, line, stamp_ns)
    colorize = os.environ.get("RCUTILS_COLORIZED_OUTPUT")
    if colorize == "1" or (colorize != "0" and stream.isatty()):
        color = _COLORS.get(severity, _RED if severity >= LoggingSeverity.ERROR else "")
        text = f"{color}{text}{_RESET}" if color else text
    # One write per line, so that the lines of several threads do not mix.
    stream.write(f"{text}\n")
    stream.flush()


def _lineage(name: str) -> list[str]:
    """`a.b.c` -> `a.b.c`, `a.b`, `a`"""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
