"""Whole streams: the header, and what follows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, MissingReferenceError, TruncatedError, UnsupportedError
from . import entropy, filters, levels, quantizers
from .packing import crc32c, pack, unpack

_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("i1"),
}
_QUANTIZERS = ("identity", "uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian")


def decode(stream: bytes, references: Mapping[int, NDArray[Any]] | None = None) -> NDArray[Any]:
    """`references`: decoded tensors by the checksum of their streams."""
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
    if (
        flags > 3
        or tensor & 15 not in _DTYPES
        or coding >> 5
        or granularity > 2
        or quantizer > 6
        or coder > 1
    ):
        raise UnsupportedError("flags or identifier")
    dtype, dimensions, bits = _DTYPES[tensor & 15], tensor >> 4, (coding & 7) + 1
    if not 1 <= dimensions <= 8:
        raise CorruptError("dimensions")
    at, shape = 8, []
    for _ in range(dimensions):
        size, at = _varint_at(body, at)
        shape.append(size)
    if not 1 <= math.prod(shape) < 2**31:
        raise CorruptError("shape")
    axis = group = factor = 0
    if granularity == 1:
        (axis,), at = _bytes_at(body, at, 1)
        if axis >= dimensions:
            raise CorruptError("axis")
    elif granularity == 2:
        group, at = _varint_at(body, at)
        if not 8 <= group <= 65535:
            raise CorruptError("group size")
    kept, merged, coded = [True] * shape[0], False, list(shape)
    if flags & 2:
        if dimensions < 2:
            raise CorruptError("mask")
        kept, merged, at = _mask_at(body, at, shape[0])
        coded[0] = sum(kept) + merged
    near, parted, filtered = None, False, None
    if flags & 1:
        checksum, at = _bytes_at(body, at, 4)
        (how,), at = _bytes_at(body, at, 1)
        if how >> 7:
            raise UnsupportedError("prediction")
        factor, parted = (how & 15) + 1, bool(how & 16)
        if how & 32:
            if how & 15:
                raise CorruptError("filter and factor")
            filtered, at = _filter_at(body, at, shape, bool(how & 64))
        elif how & 64:
            raise CorruptError("second reference")
    if quantizer == 0 and (dtype.kind == "f" or bits != 8 or granularity or flags & 1):
        raise CorruptError("identity")
    signed = coder == 1 and quantizer == 2 and bits > 1
    if (parted or filtered) and (not signed or granularity or flags & 2):
        raise CorruptError("parted or filtered")

    n = math.prod(coded)
    inner, count = n, 1
    if granularity == 1:
        inner, count = math.prod(coded[axis + 1 :]), coded[axis]
    elif granularity == 2:
        inner, count = group, -(-n // group)
    parameters, at = _bytes_at(
        body, at, 0 if quantizer == 0 else quantizers.parameter_bytes(quantizer, count)
    )
    payload, packed = body[at:], -(-n * bits // 8)
    if len(payload) < (1 if coder else packed):
        raise TruncatedError("payload")
    if not coder and len(payload) > packed:
        raise CorruptError("length")
    if flags & 1:
        near = _reference(int.from_bytes(checksum, "little"), references or {}, tuple(shape), dtype)
        if filtered is not None:
            second = None
            if filtered.second is not None:
                second = _reference(filtered.second, references or {}, tuple(shape), dtype)
            near = filters.predict(filtered, near, second, shape)
    p = quantizers.read_parameters(parameters, quantizer, bits, wide=signed) if quantizer else None
    quiet = None
    if parted:
        assert near is not None and p is not None
        quiet = np.abs(near) <= np.float32(0.5) * p.unit[0]
    codes = _codes(payload, coded, bits, coder, signed, quiet)
    sets = np.arange(n) // inner % count
    if p is None:
        values = codes.astype(np.uint8).view(dtype).astype(np.float32)
    elif signed:
        values = quantizers.index_values(codes.astype(np.int16), sets, p)
    else:
        values = quantizers.values(codes.astype(np.uint8), sets, p)
    if flags & 2:
        values = _rows(values.reshape(coded), kept, merged).reshape(-1)
    if near is not None and filtered is not None:
        values = filters.restore(filtered, values, shape) + near
    elif near is not None:
        with np.errstate(over="ignore"):
            values = values + np.float32(factor / 16) * near
        limit = np.finfo(np.float32).max
        values = np.clip(values, -limit, limit)
    return _to_dtype(values, dtype).reshape(shape)


def _reference(
    checksum: int, references: Mapping[int, NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[np.float32]:
    found = references.get(checksum)
    if found is None:
        raise MissingReferenceError(checksum, len(references))
    if found.shape != shape or found.dtype != dtype:
        raise CorruptError("reference")
    return found.astype(np.float32).reshape(-1)


def _filter_at(body: bytes, at: int, shape: list[int], has_second: bool) -> tuple[filters.Filter, int]:
    (axis,), at = _bytes_at(body, at, 1)
    if axis and (axis >= len(shape) or shape[axis - 1] < 2 or shape[axis] < 2):
        raise CorruptError("filter axis")
    weights, at = _bytes_at(body, at, 9 if axis else 1)
    spatial = 0
    if axis:
        (spatial,), at = _bytes_at(body, at, 1)
        if spatial > 64:
            raise CorruptError("spatial weight")
    second, second_weight = None, b"\0"
    if has_second:
        checksum, at = _bytes_at(body, at, 4)
        second = int.from_bytes(checksum, "little")
        second_weight, at = _bytes_at(body, at, 1)
    signed = [int.from_bytes(bytes([weight]), "little", signed=True) for weight in (*weights, *second_weight)]
    return filters.Filter(axis, tuple(signed[:-1]), spatial, second, signed[-1]), at


def _codes(
    payload: bytes, shape: list[int], bits: int, coder: int, signed: bool, quiet: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    n = math.prod(shape)
    if coder == 0:
        return unpack(payload, n, bits).astype(np.int64)
    if quiet is None:
        codes = np.array(entropy.decode(payload, shape, signed)[0])
        if not signed and codes.max() >= 1 << bits:
            raise CorruptError("code")
        return codes
    count = int(quiet.sum())
    if not 0 < count < n:
        raise CorruptError("parts")
    size, at = _varint_at(payload, 0)
    if at + size >= len(payload):
        raise TruncatedError("first part")
    codes = np.zeros(n, np.int64)
    codes[quiet] = entropy.decode(payload[at : at + size], [count], True)[0]
    codes[~quiet] = entropy.decode(payload[at + size :], [n - count], True)[0]
    return codes


def _mask_at(body: bytes, at: int, rows: int) -> tuple[list[bool], bool, int]:
    """(kept, whether the others are one merged row, where the mask ends)."""
    (how,), at = _bytes_at(body, at, 1)
    form = how >> 2
    if how & 3 > 1 or form > 2:
        raise UnsupportedError("mask")
    if form == 0:
        data, at = _bytes_at(body, at, -(-rows // 8))
        if int.from_bytes(data, "little") >> rows:
            raise CorruptError("mask bits")
        marked = [bool(data[row // 8] >> row % 8 & 1) for row in range(rows)]
    else:
        size, at = _varint_at(body, at)
        data, at = _bytes_at(body, at, size)
        marked, row = [False] * rows, 0
        if not data or data[-1] == 255:
            raise CorruptError("mask gaps")
        for gap in data:
            row += gap
            if gap < 255:
                if row >= rows:
                    raise CorruptError("mask rows")
                marked[row] = True
                row += 1
    kept = [not mark for mark in marked] if form == 2 else marked
    if not any(kept) or all(kept):
        raise CorruptError("mask of all or none")
    return kept, how & 3 == 1, at


def _rows(coded: NDArray[np.float32], kept: list[bool], merged: bool) -> NDArray[np.float32]:
    out = np.zeros((len(kept), *coded.shape[1:]), np.float32)
    source = iter(coded)
    for row, here in enumerate(kept):
        if here:
            out[row] = next(source)
    if merged:
        out[[not here for here in kept]] = next(source)
    return out


def _bytes_at(body: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(body):
        raise TruncatedError(f"{size} bytes")
    return body[at : at + size], at + size


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
