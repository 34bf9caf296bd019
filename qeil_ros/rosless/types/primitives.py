"""Reading the pieces of a CDR message, with every length checked, and how primitives are stored."""

from __future__ import annotations

import array
import sys
from typing import Any, NoReturn

import numpy as np

if sys.byteorder != "little":
    raise ImportError("qeil_ros.rosless runs on little-endian machines only")

#: struct code and size of each primitive of fixed size. "c" gives bytes of length 1, which is rclpy's `byte`.
SCALARS = {
    "bool": ("?", 1),
    "byte": ("c", 1),
    "char": ("B", 1),
    "int8": ("b", 1),
    "uint8": ("B", 1),
    "int16": ("h", 2),
    "uint16": ("H", 2),
    "int32": ("i", 4),
    "uint32": ("I", 4),
    "int64": ("q", 8),
    "uint64": ("Q", 8),
    "float32": ("f", 4),
    "float64": ("d", 8),
}


class SerializationError(ValueError):
    """A message holds something that its type cannot: a list was changed behind the field's back."""


class DeserializationError(ValueError):
    """Bytes that are no message of the type asked for."""


def _truncated(view: memoryview, end: int) -> NoReturn:
    raise DeserializationError(f"truncated: {end + 4} bytes needed")


def check_count(view: memoryview, pos: int, count: int, smallest_bytes: int) -> None:
    if pos + count * smallest_bytes > len(view):
        _truncated(view, pos + count * smallest_bytes)


def check_bound(count: int, bound: int) -> None:
    if count > bound:
        raise DeserializationError(f"a sequence of {count} where at most {bound} are allowed")


def read_text(view: memoryview, pos: int, count: int) -> tuple[str, int]:
    end = pos + count
    if end > len(view):
        _truncated(view, end)
    stop = end - 1 if count and not view[end - 1] else end
    return str(view[pos:stop], "utf-8", "replace"), end


def read_numbers(
    view: memoryview, pos: int, count: int, code: str, swap: bool
) -> tuple[array.array[Any], int]:
    values: array.array[Any] = array.array(code)
    end = pos + count * values.itemsize
    if end > len(view):
        _truncated(view, end)
    values.frombytes(view[pos:end])
    if swap:
        values.byteswap()
    return values, end


def read_fixed(
    view: memoryview, pos: int, count: int, dtype: np.dtype[Any]
) -> tuple[np.ndarray[Any, Any], int]:
    end = pos + count * dtype.itemsize
    if end > len(view):
        _truncated(view, end)
    return np.frombuffer(view, dtype, count, pos).astype(dtype.newbyteorder("=")), end


def read_bools(view: memoryview, pos: int, count: int) -> tuple[list[bool], int]:
    if pos + count > len(view):
        _truncated(view, pos + count)
    return [byte != 0 for byte in view[pos : pos + count]], pos + count


def read_octets(view: memoryview, pos: int, count: int) -> tuple[list[bytes], int]:
    if pos + count > len(view):
        _truncated(view, pos + count)
    return [bytes((byte,)) for byte in view[pos : pos + count]], pos + count


def refuse_item(item: object, wanted: type) -> NoReturn:
    raise SerializationError(f"a list of {wanted.__module__}.{wanted.__qualname__} holds {item!r}")


def refuse_length(value: Any, size: int) -> NoReturn:
    raise SerializationError(f"an array of {size} holds {len(value)} values")
