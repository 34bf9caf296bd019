"""Lets other nodes read and set the levels of this process's loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .impl.logging_severity import LoggingSeverity
from .logging import get_logger_level, set_logger_level
from .qos import qos_profile_services_default

if TYPE_CHECKING:
    from .node import Node


class LoggingService:
    """The services `~/get_logger_levels` and `~/set_logger_levels`."""

    def __init__(self, node: Node) -> None:
        from rcl_interfaces.srv import GetLoggerLevels, SetLoggerLevels

        name, qos = node.get_name(), qos_profile_services_default
        node.create_service(GetLoggerLevels, f"{name}/get_logger_levels", self._get_levels, qos_profile=qos)
        node.create_service(SetLoggerLevels, f"{name}/set_logger_levels", self._set_levels, qos_profile=qos)

    def _get_levels(self, request: Any, response: Any) -> Any:
        from rcl_interfaces.msg import LoggerLevel

        response.levels = [
            LoggerLevel(name=name, level=int(get_logger_level(name))) for name in request.names
        ]
        return response

    def _set_levels(self, request: Any, response: Any) -> Any:
        from rcl_interfaces.msg import SetLoggerLevelsResult

        known = {int(severity) for severity in LoggingSeverity}
        results = []
        for wanted in request.levels:
            valid = wanted.level in known
            if valid:
                set_logger_level(wanted.name, wanted.level)
            reason = "" if valid else f"Failed reason: Invalid logger level {wanted.level}."
            results.append(SetLoggerLevelsResult(successful=valid, reason=reason))
        response.results = results
        return response
