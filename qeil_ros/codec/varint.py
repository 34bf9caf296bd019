"""Whole numbers in as few bytes as they need, as docs/bitstream.md says."""

from __future__ import annotations

from .errors import CorruptError, TruncatedError


def varint(value: int) -> bytes:
    """Of a number from 0 to 2**32 - 1."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(buffer: memoryview, at: int, end: int, name: str) -> tuple[int, int]:
    """(value, where it ends). TruncatedError past `end`, CorruptError for what is no shortest varint."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= end:
            raise TruncatedError(f"the stream ends within {name}")
        byte, at = buffer[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            if (shift and byte == 0) or value >= 1 << 32:
                raise CorruptError(f"{name} is not a shortest varint below 2**32")
            return value, at
    raise CorruptError(f"{name} is not a varint of at most five bytes")
