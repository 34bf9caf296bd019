"""CDR (XCDR1) as Fast-CDR writes it: bytes from messages, messages from bytes.

Payloads come from the network: every length is checked against the bytes that are there before anything is
allocated, and whatever is wrong raises `DeserializationError`. Strings that are no UTF-8 decode with U+FFFD
in the place of each bad byte, as rclpy does; a string of length 0 (some writers omit the end) is empty.
"""

from __future__ import annotations

import struct
from typing import Any

from .codegen import codec_of, codecs, name_of
from .primitives import DeserializationError, SerializationError

#: Encapsulation header of what we write: plain CDR, little-endian.
ENCAPSULATION = b"\x00\x01\x00\x00"
#: Bytes that may follow a message: writers round up to four.
MAX_PADDING_BYTES = 3


def serialize(message: Any) -> bytes:
    """The message as CDR with its encapsulation header; what `rmw_serialize` gives.

    Raises:
        SerializationError: a list in the message holds values of another type.
    """
    cls = message.__class__
    codec = codecs.get(cls) or codec_of(cls)
    parts: list[Any] = [ENCAPSULATION]
    try:
        codec.encode(message, parts.append, 0)
        return b"".join(parts)
    except (struct.error, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise SerializationError(f"cannot serialize {name_of(cls)}: {error}") from error


def deserialize(buffer: Any, cls: type, *, allow_trailing: bool = False) -> Any:
    """The message in `buffer`, any bytes-like object. The message keeps no reference to it.

    Args:
        allow_trailing: accept more than `MAX_PADDING_BYTES` after the message. Recordings contain such
            messages, written with a newer version of the type; on the wire it means that the types differ.

    Raises:
        DeserializationError: truncated, an impossible length, an unknown encapsulation, or trailing bytes.
    """
    codec = codecs.get(cls) or codec_of(cls)
    view = memoryview(buffer).cast("B") if not isinstance(buffer, bytes) else memoryview(buffer)
    if len(view) < 4 or view[0] != 0 or view[1] > 1:
        raise DeserializationError(
            f"cannot deserialize {name_of(cls)}: encapsulation {bytes(view[:4]).hex(' ') or 'missing'};"
            " expected 00 01 (CDR, little-endian) or 00 00 (big-endian)"
        )
    body = view[4:]
    try:
        message, end = (codec.decode_little if view[1] else codec.decode_big)(body, 0)
    except (struct.error, ValueError, OverflowError) as error:
        raise DeserializationError(
            f"cannot deserialize {name_of(cls)} from {len(view)} bytes: {error}"
        ) from None
    if len(body) - end > MAX_PADDING_BYTES and not allow_trailing:
        raise DeserializationError(
            f"cannot deserialize {name_of(cls)}: {len(body) - end} bytes after the message;"
            " is it of another type?"
        )
    return message
