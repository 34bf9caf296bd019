"""Loggers and their levels."""

from __future__ import annotations

import os
from pathlib import Path

from .impl import log_output
from .impl.logging_severity import LoggingSeverity as LoggingSeverity
from .impl.rcutils_logger import RcutilsLogger

_root_logger = RcutilsLogger()


def get_logger(name: str) -> RcutilsLogger:
    """The logger of that name; dots make a hierarchy."""
    if not name:
        raise ValueError("Logger name must not be empty.")
    return _root_logger.get_child(name)


def initialize() -> None:
    """Nothing to prepare."""


def shutdown() -> None:
    """Forgets all levels."""
    log_output.reset()


def clear_config() -> None:
    """Forgets all levels."""
    log_output.reset()


def set_logger_level(name: str, level: int | LoggingSeverity, detailed_error: bool = False) -> None:
    """Sets a logger's level; UNSET takes it back."""
    log_output.set_level(name, LoggingSeverity(level))


def get_logger_effective_level(name: str) -> LoggingSeverity:
    """The level that counts for a logger, its own or inherited."""
    return log_output.get_effective_level(name)


def get_logger_level(name: str) -> LoggingSeverity:
    """The level set for exactly this logger, or UNSET."""
    return log_output.get_level(name)


def get_logging_severity_from_string(log_severity: str) -> LoggingSeverity:
    """:raises RuntimeError: when there is no such severity."""
    try:
        return LoggingSeverity.from_string(log_severity)
    except ValueError as error:
        raise RuntimeError(str(error)) from None


def get_logging_directory() -> Path:
    """Where ROS programs keep log files. Nothing is written there by this client library."""
    home = os.environ.get("ROS_HOME") or str(Path.home() / ".ros")
    return Path(os.environ.get("ROS_LOG_DIR") or Path(home) / "log")
