"""`validate_parameter_name`, under the module name that rclpy has for it."""

from __future__ import annotations

from .exceptions import InvalidParameterException


def validate_parameter_name(name: str) -> bool:
    """True, or InvalidParameterException for an empty name."""
    if not name:
        raise InvalidParameterException(name)
    return True
