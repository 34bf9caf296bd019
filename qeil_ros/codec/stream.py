"""The header of a stream: written, read and checked as docs/bitstream.md says, field by field."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import TypeVar

import numpy as np

from .. import _kernels
from .errors import CorruptError, LimitError, TruncatedError, UnsupportedError
from .prediction import Prediction, pack_prediction, parse_prediction
from .tokens import Mask, pack_mask, parse_mask
from .varint import read_varint, varint

MAGIC = b"\xc5\x51"
VERSION = 1
CHECKSUM_BYTES = 4
MIN_STREAM_BYTES = 14
"""Eight fixed bytes, one dimension, one byte of payload, the checksum."""
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 2**31 - 1
MIN_GROUP_SIZE, MAX_GROUP_SIZE = 8, 65535


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
    SYMMETRIC = 2
    SIGN_MAGNITUDE = 3
    POWER_OF_TWO = 4
    LAPLACIAN = 5
    GAUSSIAN = 6


class Coder(IntEnum):
    """How codes become bytes."""

    PACKED = 0
    RANS = 1


class Flag(IntFlag):
    """What follows the fixed part of a header."""

    INTER = 1
    """The tensor is coded as the difference from that of an earlier stream."""
    MASK = 2
    """Some rows were dropped."""


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
    mask: Mask | None = None
    prediction: Prediction | None = None
    entropy_bytes: int = 0
    """Size of the payload where the coder's is not a fixed one."""
    version: int = VERSION

    @property
    def flags(self) -> Flag:
        return (Flag.INTER if self.prediction else Flag(0)) | (Flag.MASK if self.mask else Flag(0))

    @property
    def key(self) -> bool:
        """Whether the stream can be decoded by itself."""
        return self.prediction is None

    @property
    def signed(self) -> bool:
        """Whether codes are multiples of the step that no width bounds: symmetric, entropy-coded."""
        return self.coder is Coder.RANS and self.quantizer is Quantizer.SYMMETRIC and self.bits > 1

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def coded_shape(self) -> tuple[int, ...]:
        """Of the tensor that is quantized: without the rows that were dropped, with the merged one."""
        return (self.mask.coded_rows, *self.shape[1:]) if self.mask else self.shape

    @property
    def coded_elements(self) -> int:
        return math.prod(self.coded_shape)

    @property
    def inner(self) -> int:
        """Neighbouring elements that share a set: element i uses set (i // inner) % parameter_sets."""
        if self.granularity is Granularity.CHANNEL:
            return math.prod(self.shape[self.axis + 1 :])
        return self.group_size if self.granularity is Granularity.GROUP else self.coded_elements

    @property
    def parameter_sets(self) -> int:
        if self.granularity is Granularity.CHANNEL:
            return self.coded_shape[self.axis]
        return -(-self.coded_elements // self.group_size) if self.granularity is Granularity.GROUP else 1

    @property
    def header_bytes(self) -> int:
        return len(pack_header(self))

    @property
    def parameter_bytes(self) -> int:
        if self.quantizer is Quantizer.IDENTITY:
            return 0
        return _kernels.parameter_bytes(self.quantizer, self.parameter_sets)

    @property
    def payload_bytes(self) -> int:
        return (
            (self.coded_elements * self.bits + 7) // 8 if self.coder is Coder.PACKED else self.entropy_bytes
        )

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
        head += varint(size)
    if info.granularity is Granularity.CHANNEL:
        head.append(info.axis)
    elif info.granularity is Granularity.GROUP:
        head += varint(info.group_size)
    if info.mask is not None:
        head += pack_mask(info.mask)
    if info.prediction is not None:
        head += pack_prediction(info.prediction)
    return bytes(head)


def is_key(stream: bytes | bytearray | memoryview) -> bool:
    """Whether a stream that an encoder made can be decoded by itself."""
    return not stream[3] & Flag.INTER


def unit_of(parameters: bytes | bytearray | memoryview) -> np.float32:
    """The unit of the first parameter set."""
    (half,) = np.frombuffer(parameters, "<f2", 1, 1)
    exponent = int.from_bytes(parameters[:1], "little", signed=True)
    unit: np.float32 = np.float32(math.ldexp(float(half), exponent))
    return unit


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
    version, flags, tensor, coding, quantizer, coder = buffer[2:8]
    if flags & ~int(Flag.INTER | Flag.MASK):
        raise UnsupportedError(f"flags are 0x{flags:02x}; this decoder knows 0x01 (inter) and 0x02 (mask)")
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
        size, at = read_varint(buffer, at, end, f"dimension {axis}")
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
        group_size, at = read_varint(buffer, at, end, "group size")
        if not MIN_GROUP_SIZE <= group_size <= MAX_GROUP_SIZE:
            raise CorruptError(f"group size {group_size}; {MIN_GROUP_SIZE} to {MAX_GROUP_SIZE} are possible")
    mask = prediction = None
    if flags & Flag.MASK:
        if dimensions < 2:
            raise CorruptError("a token mask on a tensor of one dimension")
        mask, at = parse_mask(buffer, at, end, shape[0])
    if flags & Flag.INTER:
        prediction, at = parse_prediction(buffer, at, end, shape)
    _check_combination(known_quantizer, known_coder, dtype, bits, granularity, prediction, mask is not None)
    info = StreamInfo(
        dtype,
        tuple(shape),
        bits,
        known_quantizer,
        granularity,
        axis,
        group_size,
        known_coder,
        mask,
        prediction,
        version=version,
    )
    if info.parameter_sets > limits.max_parameter_sets:
        raise LimitError(f"{info.parameter_sets} parameter sets; the limit is {limits.max_parameter_sets}")
    fixed = at + info.parameter_bytes + CHECKSUM_BYTES
    if known_coder is not Coder.PACKED:
        if len(buffer) <= fixed:
            raise TruncatedError(f"the stream has {len(buffer)} bytes and no room for a payload")
        return replace(info, entropy_bytes=len(buffer) - fixed)
    needed = fixed + info.payload_bytes
    if len(buffer) < needed:
        raise TruncatedError(f"the stream has {len(buffer)} bytes; its header announces {needed}")
    if len(buffer) > needed:
        raise CorruptError(
            f"the stream has {len(buffer) - needed} bytes more than the {needed} that its header announces"
        )
    return info


def _check_combination(
    quantizer: Quantizer,
    coder: Coder,
    dtype: np.dtype,
    bits: int,
    granularity: Granularity,
    prediction: Prediction | None,
    masked: bool,
) -> None:
    if quantizer is Quantizer.IDENTITY and (
        dtype.kind == "f" or bits != 8 or granularity is not Granularity.TENSOR or prediction
    ):
        raise CorruptError(
            f"the identity quantizer with {dtype}, {bits} bits, granularity {granularity.name}"
            + (", predicted" if prediction else "")
        )
    if (
        prediction
        and (prediction.parted or prediction.filter)
        and (
            coder is Coder.PACKED
            or quantizer is not Quantizer.SYMMETRIC
            or bits == 1
            or granularity is not Granularity.TENSOR
            or masked
        )
    ):
        raise CorruptError(
            f"codes parted or filtered by the reference with coder {coder.name}, quantizer {quantizer.name}, "
            f"{bits} bits, granularity {granularity.name}, " + ("a mask" if masked else "no mask")
        )


def _known(kind: type[Known], value: int, name: str) -> Known:
    try:
        return kind(value)
    except ValueError:
        raise UnsupportedError(f"{name} {value} is unknown") from None
