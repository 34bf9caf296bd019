"""One MCAP file that is whole after every chunk: https://mcap.dev/spec, the records that a log needs.

Each chunk is written together with an end of file, which the next chunk overwrites. So whatever happens to
the process in between, what lies on the disk is a complete file that every MCAP reader opens; `close` adds
the index that lets them seek. What a kill in the middle of a write leaves is mended by `repair`.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Channel", "McapFile", "repair"]

_MAGIC = b"\x89MCAP0\r\n"
_LIBRARY = "qeil_ros"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX = range(1, 9)
_STATISTICS, _SUMMARY_OFFSET, _DATA_END = 0x0B, 0x0E, 0x0F
_LONGEST_RECORD = 1 << 32


@dataclass(frozen=True)
class Channel:
    """A topic: name, type as "pkg/msg/Name", the `.msg` text of the type and all that it uses, and the QoS
    that was offered, as rosbag2 writes it (may be empty)."""

    topic: str
    type_name: str
    definition: str
    qos: str = ""


@dataclass
class _Chunk:
    """What is gathered for the next chunk; `index`: (time, offset) of each channel's messages."""

    data: bytearray = field(default_factory=bytearray)
    first_ns: int = 0
    last_ns: int = 0
    index: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


class McapFile:
    """A new file at `path`, which must not exist yet.

    Not for several threads at a time. OSError comes from the constructor, `flush` and `close`: not possible
    there, no room left. After a failed `flush` the file is as it was before, and what was to be written is
    still there: `flush` may be tried again, or `drop` called.
    """

    def __init__(self, path: Path, *, compress: bool = True) -> None:
        self.path = path
        self.messages = 0
        """Messages written so far."""
        self._compressor = _lz4() if compress else None
        self._channels: dict[Channel, int] = {}
        self._written_channels: set[int] = set()
        self._schemas: dict[str, int] = {}
        self._counts: dict[int, int] = {}
        self._chunk = _Chunk()
        self._chunk_indexes: list[bytes] = []
        self._first_ns, self._last_ns = 0, 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._end = 0
        try:
            self._append(_MAGIC + _record(_HEADER, _text("ros2") + _text(_LIBRARY)))
        except OSError:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise

    @property
    def size_bytes(self) -> int:
        """Of the file; what is gathered counts when it is written."""
        return self._end + len(_END)

    @property
    def gathered_bytes(self) -> int:
        return len(self._chunk.data)

    @property
    def gathered_messages(self) -> int:
        return sum(map(len, self._chunk.index.values()))

    def add(self, channel: Channel, message: bytes, time_ns: int) -> None:
        """Gathers a serialized message (CDR); nothing is written before `flush`."""
        chunk = self._chunk
        number = self._channels.get(channel)
        if number is None:
            number = self._channels[channel] = len(self._channels) + 1
            self._schemas.setdefault(channel.type_name, len(self._schemas) + 1)
        if number not in self._written_channels:
            self._written_channels.add(number)
            chunk.data += self._described(channel, number)
        if not chunk.index:
            chunk.first_ns = chunk.last_ns = time_ns
        chunk.first_ns, chunk.last_ns = min(chunk.first_ns, time_ns), max(chunk.last_ns, time_ns)
        chunk.index.setdefault(number, []).append((time_ns, len(chunk.data)))
        chunk.data += _record(_MESSAGE, struct.pack("<HIQQ", number, 0, time_ns, time_ns) + message)

    def drop(self) -> int:
        """Forgets what is gathered; how many messages that were."""
        lost = self.gathered_messages
        self._chunk = _Chunk()
        # Their descriptions went with them, unless an earlier chunk has them.
        self._written_channels = set(self._counts)
        return lost

    def flush(self) -> None:
        """Writes what is gathered as one chunk."""
        chunk = self._chunk
        if not chunk.index:
            return
        data = bytes(chunk.data)
        packed = self._compressor(data) if self._compressor else data
        compression = _text("lz4" if self._compressor else "")
        times = struct.pack("<QQ", chunk.first_ns, chunk.last_ns)
        record = _record(
            _CHUNK,
            times
            + struct.pack("<QI", len(data), zlib.crc32(data))
            + compression
            + struct.pack("<Q", len(packed))
            + packed,
        )
        offsets, indexes = b"", b""
        start = self._end
        for number, entries in chunk.index.items():
            offsets += struct.pack("<HQ", number, start + len(record) + len(indexes))
            listed = b"".join(struct.pack("<QQ", *entry) for entry in entries)
            indexes += _record(_MESSAGE_INDEX, struct.pack("<HI", number, len(listed)) + listed)
        self._append(record + indexes)
        self._chunk_indexes.append(
            times
            + struct.pack("<QQI", start, len(record), len(offsets))
            + offsets
            + struct.pack("<Q", len(indexes))
            + compression
            + struct.pack("<QQ", len(packed), len(data))
        )
        if not self.messages:
            self._first_ns = self._last_ns = chunk.first_ns
        self._first_ns = min(self._first_ns, chunk.first_ns)
        self._last_ns = max(self._last_ns, chunk.last_ns)
        for number, entries in chunk.index.items():
            self._counts[number] = self._counts.get(number, 0) + len(entries)
            self.messages += len(entries)
        self._chunk = _Chunk()

    def close(self) -> None:
        """Writes what is gathered and the index. The file is closed even where that fails."""
        try:
            self.flush()
            self._write(self._data_end_and_summary())
        finally:
            os.close(self._descriptor)

    def _described(self, channel: Channel, number: int) -> bytes:
        """Schema and channel, as they stand before the channel's first message and in the summary."""
        return self._schema(channel) + self._channel(channel, number)

    def _schema(self, channel: Channel) -> bytes:
        text = channel.definition.encode()
        content = struct.pack("<H", self._schemas[channel.type_name]) + _text(channel.type_name)
        return _record(_SCHEMA, content + _text("ros2msg") + struct.pack("<I", len(text)) + text)

    def _channel(self, channel: Channel, number: int) -> bytes:
        metadata = _text("offered_qos_profiles") + _text(channel.qos) if channel.qos else b""
        content = struct.pack("<HH", number, self._schemas[channel.type_name]) + _text(channel.topic)
        return _record(_CHANNEL, content + _text("cdr") + struct.pack("<I", len(metadata)) + metadata)

    def _data_end_and_summary(self) -> bytes:
        found = {channel: number for channel, number in self._channels.items() if number in self._counts}
        by_type = {channel.type_name: channel for channel in found}
        counts = b"".join(struct.pack("<HQ", *entry) for entry in sorted(self._counts.items()))
        statistics = struct.pack(
            "<QHIIIIQQI",
            self.messages,
            len(by_type),
            len(found),
            0,
            0,
            len(self._chunk_indexes),
            self._first_ns,
            self._last_ns,
            len(counts),
        )
        groups = (
            (_SCHEMA, b"".join(map(self._schema, by_type.values()))),
            (_CHANNEL, b"".join(self._channel(channel, number) for channel, number in found.items())),
            (_CHUNK_INDEX, b"".join(_record(_CHUNK_INDEX, index) for index in self._chunk_indexes)),
            (_STATISTICS, _record(_STATISTICS, statistics + counts)),
        )
        data_end = _record(_DATA_END, struct.pack("<I", 0))
        start = self._end + len(data_end)
        summary, offsets = b"", b""
        for code, group in groups:
            if group:
                offsets += _record(
                    _SUMMARY_OFFSET, struct.pack("<BQQ", code, start + len(summary), len(group))
                )
            summary += group
        footer = _record(_FOOTER, struct.pack("<QQI", start, start + len(summary), 0))
        return data_end + summary + offsets + footer + _MAGIC

    def _append(self, records: bytes) -> None:
        """Puts records in the place of the present end of file, and an end of file behind them."""
        self._write(records + _END)
        self._end += len(records)

    def _write(self, content: bytes) -> None:
        """Writes from `_end` on; where that fails puts the end of file back that stood there."""
        try:
            _write_all(self._descriptor, content, self._end)
        except OSError:
            _write_all(self._descriptor, _END if self._end else b"", self._end)
            os.ftruncate(self._descriptor, self._end + (len(_END) if self._end else 0))
            raise


def repair(path: Path) -> bool:
    """Gives a file that ends in the middle of a record (its writer was killed while it wrote) an end.

    All that stands before that record is kept. Returns whether there was something to repair.

    Raises:
        ValueError: no MCAP file.
        OSError: it cannot be read or written.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{path} is no MCAP file")
        if size >= len(_MAGIC) * 2 and _ends_well(file.fileno(), size):
            return False
        end = len(_MAGIC)
        for code, start, length in _records(file.fileno(), len(_MAGIC), size):
            if code in (_DATA_END, _FOOTER):
                break
            end = start + length
        file.seek(end)
        file.write(_END)
        file.truncate()
    return True


def _ends_well(descriptor: int, size: int) -> bool:
    return os.pread(descriptor, len(_MAGIC), size - len(_MAGIC)) == _MAGIC


def _records(descriptor: int, at: int, size: int) -> Iterator[tuple[int, int, int]]:
    """(opcode, offset, whole length) of each complete record."""
    while True:
        head = os.pread(descriptor, 9, at)
        if len(head) < 9:
            return
        code, length = struct.unpack("<BQ", head)
        if not code or length > _LONGEST_RECORD or at + 9 + length > size:
            return
        yield code, at, 9 + length
        at += 9 + length


def _write_all(descriptor: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


def _record(code: int, content: bytes) -> bytes:
    return struct.pack("<BQ", code, len(content)) + content


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<I", len(encoded)) + encoded


def _lz4() -> Callable[[bytes], bytes] | None:
    """The compressor; None where the module is not installed: the log is then some four times as large."""
    try:
        from lz4 import frame
    except ImportError:
        return None
    return lambda data: bytes(frame.compress(data))


_END = _record(_DATA_END, struct.pack("<I", 0)) + _record(_FOOTER, struct.pack("<QQI", 0, 0, 0)) + _MAGIC
