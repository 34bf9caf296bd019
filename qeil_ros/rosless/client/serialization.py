"""Messages as bytes."""

from __future__ import annotations

from typing import Any

from ..types import deserialize, serialize
from .type_support import check_for_type_support


def serialize_message(message: Any) -> bytes:
    """The message in CDR, with its 4 bytes of header."""
    check_for_type_support(type(message))
    return serialize(message)


def deserialize_message(serialized_message: bytes, message_type: Any) -> Any:
    """The message in the bytes.

    :raises ValueError: when the bytes are not such a message.
    """
    check_for_type_support(message_type)
    return deserialize(serialized_message, message_type)
