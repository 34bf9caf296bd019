"""Whether a class is a message or a service."""

from __future__ import annotations

from typing import Any

from ..types import TypeInfo, type_info
from .exceptions import NoTypeSupportImportedException


def check_for_type_support(msg_or_srv_type: Any) -> TypeInfo:
    """What the wire calls a message or service type.

    :raises NoTypeSupportImportedException: when it is none.
    """
    try:
        return type_info(msg_or_srv_type)
    except (TypeError, LookupError, AttributeError) as error:
        raise NoTypeSupportImportedException(
            f"{msg_or_srv_type!r} is not a ROS interface type: {error}"
        ) from None


def check_is_valid_msg_type(msg_type: Any) -> TypeInfo:
    """:raises RuntimeError: when it is not a message type."""
    info = check_for_type_support(msg_type)
    if "/msg/" not in info.name:
        raise RuntimeError(f"The message type provided is not valid: {msg_type!r} is {info.name}")
    return info


def check_is_valid_srv_type(srv_type: Any) -> TypeInfo:
    """:raises RuntimeError: when it is not a service type."""
    info = check_for_type_support(srv_type)
    if not all(hasattr(srv_type, part) for part in ("Request", "Response")):
        raise RuntimeError(f"The service type provided is not valid: {srv_type!r} is {info.name}")
    return info
