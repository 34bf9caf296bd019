"""The severities of log messages."""

from __future__ import annotations

from enum import IntEnum


class LoggingSeverity(IntEnum):
    """The numbers are those of rcl_interfaces/msg/Log."""

    UNSET = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    FATAL = 50

    @classmethod
    def from_string(cls, text: str) -> LoggingSeverity:
        """From a name, in any case.

        :raises ValueError: when there is no such severity.
        """
        try:
            return cls[text.upper()]
        except KeyError:
            names = ", ".join(member.name.lower() for member in cls)
            raise ValueError(f"unknown log severity '{text}'; known: {names}") from None
