"""The container of packed weights (docs/weights.md): a JSON header and arrays of bytes behind it.

    0   4 bytes  magic 89 51 57 54 ("\\x89QWT")
    4   u16      version, 1
    6   u16      zero
    8   u32      bytes of the header
    12  u32      CRC32C of the header
    16           the header: a JSON object, UTF-8; its "arrays" lists [bytes, CRC32C] of each array
    ...          the arrays, back to back, to the end of the file

A file is a stranger's: sizes are checked against the file's before memory is taken, every array against its
CRC when it is read. Nothing here knows what the arrays mean.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from qeil_ros import _kernels

from .schema import ModelError, shown

__all__ = ["ArrayFile", "write"]

MAGIC = b"\x89QWT"
VERSION = 1
MAX_HEADER_BYTES = 16 << 20
MAX_ARRAYS = 1 << 16

_START = struct.Struct("<4sHHII")


def write(path: Path, header: Mapping[str, Any], arrays: Sequence[bytes | memoryview]) -> int:
    """Writes the file and returns its size. `header` must not have the key "arrays"."""
    listed = [[len(array), _kernels.crc32c(array)] for array in arrays]
    text = json.dumps({**header, "arrays": listed}, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_HEADER_BYTES or len(arrays) > MAX_ARRAYS:
        raise ValueError(
            f"a header of {len(text)} bytes and {len(arrays)} arrays; "
            f"{MAX_HEADER_BYTES} and {MAX_ARRAYS} are possible"
        )
    with path.open("wb") as stream:
        stream.write(_START.pack(MAGIC, VERSION, 0, len(text), _kernels.crc32c(text)))
        stream.write(text)
        for array in arrays:
            stream.write(array)
        return stream.tell()


class ArrayFile:
    """An open file: its header, and its arrays on demand.

    It holds on to the file it opened: one that is put in its place later does not disturb it. Several threads
    may read at once.

    Attributes:
        header: the JSON object without "arrays".
        sizes: bytes of each array.

    Raises:
        ModelError: it cannot be read or is no such file; what is wrong is in the message.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stream = path.open("rb", buffering=0)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self.header, listed, start = self._open()
            self.sizes = [size for size, _ in listed]
            self._crcs = [crc for _, crc in listed]
            self._offsets = [start, *accumulate(self.sizes, initial=start)][1:]
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        self._stream.close()

    def read(self, index: int) -> bytes:
        """The bytes of an array. ModelError: there is no such array, or it is damaged."""
        if not 0 <= index < len(self.sizes):
            raise self.error(f"names array {index}, has {len(self.sizes)}")
        data = self._bytes(self._offsets[index], self.sizes[index])
        if _kernels.crc32c(data) != self._crcs[index]:
            raise self.error(f"array {index} is damaged: its CRC32C is not the one in the header")
        return data

    def error(self, problem: str) -> ModelError:
        return ModelError(f"{self.path}: {problem}")

    def _open(self) -> tuple[dict[str, Any], list[tuple[int, int]], int]:
        size = os.fstat(self._stream.fileno()).st_size
        magic, version, reserved, length, crc = _START.unpack(self._bytes(0, _START.size))
        if magic != MAGIC:
            raise self.error("is no file of packed weights (wrong magic)")
        if version != VERSION or reserved:
            raise self.error(f"is of version {version}.{reserved}; this program reads version {VERSION}.0")
        if length > MAX_HEADER_BYTES:
            raise self.error(f"claims a header of {length} bytes; at most {MAX_HEADER_BYTES} are read")
        text = self._bytes(_START.size, length)
        if _kernels.crc32c(text) != crc:
            raise self.error("the header is damaged: its CRC32C is wrong")
        try:
            header = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise self.error(f"the header is not JSON: {error}") from error
        if not isinstance(header, dict):
            raise self.error(f"the header is {shown(header)}, want an object")
        listed = self._list(header.pop("arrays", None))
        start = _START.size + length
        if (total := start + sum(bytes_ for bytes_, _ in listed)) != size:
            raise self.error(f"has {size} bytes, its header tells of {total}; copy it again")
        return header, listed, start

    def _list(self, listed: Any) -> list[tuple[int, int]]:
        if not isinstance(listed, list) or len(listed) > MAX_ARRAYS:
            raise self.error(f"arrays: want a list of at most {MAX_ARRAYS}, got {shown(listed)}")
        for entry in listed:
            if not isinstance(entry, list) or len(entry) != 2 or not all(_is_count(n) for n in entry):
                raise self.error(f"arrays: want [bytes, CRC32C], got {shown(entry)}")
        return [(size, crc) for size, crc in listed]

    def _bytes(self, offset: int, size: int) -> bytes:
        end = os.fstat(self._stream.fileno()).st_size
        if offset + size > end:
            raise self.error(f"ends after {end} bytes; {offset + size} are needed. Copy it again")
        pieces = []
        while size:  # one call gives 2 GiB at most
            piece = os.pread(self._stream.fileno(), size, offset)
            if not piece:
                raise self.error(f"ends at byte {offset}, in the middle of an array")
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number that JSON has")
