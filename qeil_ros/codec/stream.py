"""The header of a stream: written, read and checked as docs/bitstream.md says, field by field."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np

from .errors import CorruptError, LimitError, TruncatedError, UnsupportedError

MAGIC = b"\xc5\x51"
VERSION = 1
CHECKSUM_BYTES = 4
MIN_STREAM_BYTES = 14
"""Eight fixed bytes, one dimension, one byte of payload, the checksum."""
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 2**31 - 1
MIN_GROUP_SIZE, MAX_GROUP_SIZE = 8, 65535
PARAMETER_BYTES = 4
"""A unit and a zero; one byte of exponent goes before all sets."""


Known = TypeVar("Known", bound=IntEnum)


class Granularity(IntEnum):
    """How many elements share a parameter set."""

    TENSOR = 0
    CHANNEL = 1
    GROUP = 2


class Quantizer(IntEnum):
    """How codes stand for values."""

    IDENTITY = 0
    UNIFORM = 1


class Coder(IntEnum):
    """How codes become bytes."""

    PACKED = 0


DTYPES: dict[int, np.dtype] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("i1"),
}
DTYPE_IDS: dict[np.dtype, int] = {dtype: identifier for identifier, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Limits:
    """What a decoder is willing to handle; anything larger raises LimitError before memory is taken.

    The defaults allow a float32 tensor of 64 MiB. A node should set `max_elements` to what its model expects.
    """

    max_bytes: int = 1 << 26
    max_elements: int = 1 << 24
    max_dimensions: int = MAX_DIMENSIONS
    max_parameter_sets: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")


@dataclass(frozen=True)
class StreamInfo:
    """The fields of a header, and the sizes that follow. `axis`, `group_size`: 0 where not applicable."""

    dtype: np.dtype
    shape: tuple[int, ...]
    bits: int
    quantizer: Quantizer
    granularity: Granularity = Granularity.TENSOR
    axis: int = 0
    group_size: int = 0
    coder: Coder = Coder.PACKED
    flags: int = 0
    version: int = VERSION

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def inner(self) -> int:
        """Neighbouring elements that share a set: element i uses set (i // inner) % parameter_sets."""
        if self.granularity is Granularity.CHANNEL:
            return math.prod(self.shape[self.axis + 1 :])
        return self.group_size if self.granularity is Granularity.GROUP else self.elements

    @property
    def parameter_sets(self) -> int:
        if self.granularity is Granularity.CHANNEL:
            return self.shape[self.axis]
        return -(-self.elements // self.group_size) if self.granularity is Granularity.GROUP else 1

    @property
    def header_bytes(self) -> int:
        return len(pack_header(self))

    @property
    def parameter_bytes(self) -> int:
        return 0 if self.quantizer is Quantizer.IDENTITY else 1 + PARAMETER_BYTES * self.parameter_sets

    @property
    def payload_bytes(self) -> int:
        return (self.elements * self.bits + 7) // 8

    @property
    def stream_bytes(self) -> int:
        return self.header_bytes + self.parameter_bytes + self.payload_bytes + CHECKSUM_BYTES


def pack_header(info: StreamInfo) -> bytes:
    """Everything before the quantizer's parameters."""
    head = bytearray(MAGIC)
    head += bytes(
        (
            info.version,
            info.flags,
            DTYPE_IDS[info.dtype] | len(info.shape) << 4,
            (info.bits - 1) | info.granularity << 3,
            info.quantizer,
            info.coder,
        )
    )
    for size in info.shape:
        head += _varint(size)
    if info.granularity is Granularity.CHANNEL:
        head.append(info.axis)
    elif info.granularity is Granularity.GROUP:
        head += _varint(info.group_size)
    return bytes(head)


def check_frame(buffer: memoryview, limits: Limits) -> None:
    """What every version shares: length, magic, version. Step 1 of reading, less the checksum."""
    if len(buffer) > limits.max_bytes:
        raise LimitError(f"the stream has {len(buffer)} bytes; the limit is {limits.max_bytes}")
    if len(buffer) < MIN_STREAM_BYTES:
        raise TruncatedError(f"the stream has {len(buffer)} bytes; the shortest has {MIN_STREAM_BYTES}")
    if buffer[:2] != MAGIC:
        raise CorruptError(
            f"the stream begins with {buffer[:2].hex(' ')}, not with the magic {MAGIC.hex(' ')}"
        )
    if buffer[2] != VERSION:
        raise UnsupportedError(
            f"the stream has format version {buffer[2]}; this decoder knows version {VERSION}"
        )


def stored_checksum(buffer: memoryview) -> int:
    """The last four bytes."""
    return int(struct.unpack_from("<I", buffer, len(buffer) - CHECKSUM_BYTES)[0])


def parse_header(buffer: memoryview, limits: Limits) -> StreamInfo:
    """Reads and checks the header of a stream whose frame was checked; the length must be what it says."""
    flags, tensor, coding, quantizer, coder = buffer[3:8]
    if flags:
        raise UnsupportedError(
            f"flags are 0x{flags:02x}; this decoder knows none (inter-frame, mask and table are reserved)"
        )
    dtype = DTYPES.get(tensor & 15)
    if dtype is None:
        raise UnsupportedError(f"element type {tensor & 15} is unknown")
    if coding >> 5:
        raise UnsupportedError(f"reserved bits of the coding byte 0x{coding:02x} are set")
    bits = (coding & 7) + 1
    granularity = _known(Granularity, coding >> 3 & 3, "granularity")
    known_quantizer = _known(Quantizer, quantizer, "quantizer")
    known_coder = _known(Coder, coder, "coder")

    dimensions = tensor >> 4
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise CorruptError(f"{dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible")
    if dimensions > limits.max_dimensions:
        raise LimitError(f"{dimensions} dimensions; the limit is {limits.max_dimensions}")
    end = len(buffer) - CHECKSUM_BYTES
    at, shape, elements = 8, [], 1
    max_elements = min(limits.max_elements, MAX_ELEMENTS)
    for axis in range(dimensions):
        size, at = _read_varint(buffer, at, end, f"dimension {axis}")
        if size == 0:
            raise CorruptError(f"dimension {axis} is 0")
        elements *= size
        if elements > max_elements:
            raise LimitError(f"at least {elements} elements; the limit is {max_elements}")
        shape.append(size)

    axis = group_size = 0
    if granularity is Granularity.CHANNEL:
        if at >= end:
            raise TruncatedError("the stream ends before the channel axis")
        axis, at = buffer[at], at + 1
        if axis >= dimensions:
            raise CorruptError(f"channel axis {axis} of a tensor with {dimensions} dimensions")
    elif granularity is Granularity.GROUP:
        group_size, at = _read_varint(buffer, at, end, "group size")
        if not MIN_GROUP_SIZE <= group_size <= MAX_GROUP_SIZE:
            raise CorruptError(f"group size {group_size}; {MIN_GROUP_SIZE} to {MAX_GROUP_SIZE} are possible")
    if known_quantizer is Quantizer.IDENTITY and (
        dtype.kind == "f" or bits != 8 or granularity is not Granularity.TENSOR
    ):
        raise CorruptError(
            f"the identity quantizer with {dtype}, {bits} bits, granularity {granularity.name}"
        )

    info = StreamInfo(
        dtype, tuple(shape), bits, known_quantizer, granularity, axis, group_size, known_coder, flags
    )
    if info.parameter_sets > limits.max_parameter_sets:
        raise LimitError(f"{info.parameter_sets} parameter sets; the limit is {limits.max_parameter_sets}")
    needed = at + info.parameter_bytes + info.payload_bytes + CHECKSUM_BYTES
    if len(buffer) < needed:
        raise TruncatedError(f"the stream has {len(buffer)} bytes; its header announces {needed}")
    if len(buffer) > needed:
        raise CorruptError(
            f"the stream has {len(buffer) - needed} bytes more than the {needed} that its header announces"
        )
    return info


def _known(kind: type[Known], value: int, name: str) -> Known:
    try:
        return kind(value)
    except ValueError:
        raise UnsupportedError(f"{name} {value} is unknown") from None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(buffer: memoryview, at: int, end: int, name: str) -> tuple[int, int]:
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
