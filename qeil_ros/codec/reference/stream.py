"""Whole streams: the header, and what follows it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, TruncatedError, UnsupportedError
from . import levels, quantizers
from .packing import crc32c, pack, unpack

_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("i1"),
}
_QUANTIZERS = ("identity", "uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian")


def decode(stream: bytes) -> NDArray[Any]:
    if len(stream) < 14:
        raise TruncatedError(f"{len(stream)} bytes")
    if stream[:2] != b"\xc5\x51":
        raise CorruptError("magic")
    if stream[2] != 1:
        raise UnsupportedError(f"version {stream[2]}")
    body = stream[:-4]
    if int.from_bytes(stream[-4:], "little") != crc32c(body):
        raise CorruptError("checksum")
    flags, tensor, coding, quantizer, coder = body[3:8]
    granularity = coding >> 3 & 3
    if flags or tensor & 15 not in _DTYPES or coding >> 5 or granularity > 2 or quantizer > 6 or coder:
        raise UnsupportedError("flags or identifier")
    dtype, dimensions, bits = _DTYPES[tensor & 15], tensor >> 4, (coding & 7) + 1
    if not 1 <= dimensions <= 8:
        raise CorruptError("dimensions")
    at, shape = 8, []
    for _ in range(dimensions):
        size, at = _varint_at(body, at)
        shape.append(size)
    n = math.prod(shape)
    if not 1 <= n < 2**31:
        raise CorruptError("shape")
    inner, count = n, 1
    if granularity == 1:
        if at >= len(body):
            raise TruncatedError("axis")
        axis, at = body[at], at + 1
        if axis >= dimensions:
            raise CorruptError("axis")
        inner, count = math.prod(shape[axis + 1 :]), shape[axis]
    elif granularity == 2:
        inner, at = _varint_at(body, at)
        if not 8 <= inner <= 65535:
            raise CorruptError("group size")
        count = -(-n // inner)
    if quantizer == 0 and (dtype.kind == "f" or bits != 8 or granularity):
        raise CorruptError("identity")
    parameters = 0 if quantizer == 0 else quantizers.parameter_bytes(quantizer, count)
    size = at + parameters + -(-n * bits // 8)
    if len(body) < size:
        raise TruncatedError("payload")
    if len(body) > size:
        raise CorruptError("length")
    if quantizer == 0:
        raw: NDArray[Any] = np.frombuffer(body[at:], dtype)
        return np.array(raw).reshape(shape)
    p = quantizers.read_parameters(body[at : at + parameters], quantizer, bits)
    codes = unpack(body[at + parameters :], n, bits)
    values = quantizers.values(codes, np.arange(n) // inner % count, p)
    decoded: NDArray[Any] = _to_dtype(values, dtype).reshape(shape)
    return decoded


def _varint_at(body: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if at >= len(body):
            raise TruncatedError("varint")
        byte, at = body[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            if (byte == 0 and shift) or value >= 2**32:
                raise CorruptError("varint")
            return value, at
        shift += 7
        if shift > 28:
            raise CorruptError("varint")


def _to_dtype(values: quantizers.Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == np.float32:
        return values
    if dtype == np.float16:
        return np.clip(values, -65504, 65504).astype(np.float16)
    limits = np.iinfo(dtype)
    return np.rint(np.clip(values, limits.min, limits.max)).astype(dtype)


def encode(
    x: NDArray[Any],
    bits: int = 8,
    granularity: str = "tensor",
    axis: int = -1,
    group_size: int = 64,
    clip: str | tuple[float, float] = "auto",
    quantizer: str = "uniform",
    step: float | None = None,
    percent: float = 99.9,
    seed: int | None = None,
) -> bytes:
    flat = x.astype(np.float32).reshape(-1)
    n, code = flat.size, {dtype: key for key, dtype in _DTYPES.items()}[x.dtype.newbyteorder("<")]
    identity = x.dtype.kind != "f" and bits == 8 and quantizer == "uniform"
    number = 0 if identity else _QUANTIZERS.index(quantizer)
    kind = 0 if identity else ("tensor", "channel", "group").index(granularity)
    head = bytearray((0xC5, 0x51, 1, 0, code | x.ndim << 4, bits - 1 | kind << 3, number, 0))
    for size in x.shape:
        head += _varint(size)
    inner, count = n, 1
    if kind == 1:
        head.append(axis % x.ndim)
        inner, count = math.prod(x.shape[axis % x.ndim + 1 :]), x.shape[axis]
    elif kind == 2:
        head += _varint(group_size)
        inner, count = group_size, -(-n // group_size)
    if identity:
        body = bytes(head) + x.tobytes()
        return body + crc32c(body).to_bytes(4, "little")

    low = high = 0.0
    if step is not None:
        rule, low = "step", step
    elif isinstance(clip, tuple):
        rule, (low, high) = "pair", clip
    elif clip == "auto":
        rule = "range" if quantizer == "uniform" and bits > 4 else "mse"
    else:
        rule, low = clip, percent
    sets = np.arange(n) // inner % count
    parameters = levels.choose(flat, sets, count, number, bits, rule, low, high)
    p = quantizers.read_parameters(parameters, number, bits)
    codes = quantizers.codes(flat, sets, p, seed)
    body = bytes(head) + parameters + pack(codes, bits)
    return body + crc32c(body).to_bytes(4, "little")


def _varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + _varint(value >> 7) if value > 127 else bytes([value])
