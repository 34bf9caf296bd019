"""docs/bitstream.md, slowly and literally, both ways: what the kernels are tested against.

decode() reads what the specification calls valid; encode() makes the very bytes that the fast encoder makes,
levels included. Numpy only; nothing but the exceptions is shared with the fast path.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptError, TruncatedError, UnsupportedError

Floats = NDArray[np.float32]

_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("i1"),
}
_LANES = 64
_SUMS, _SAMPLES, _PASSES = 16, 4096, 12
_GAUSSIAN_STEP = (0, 1.5958, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)
_LAPLACIAN_STEP = (0, 1.4142, 1.0874, 0.7309, 0.4610, 0.2800, 0.1657, 0.0961, 0.0549)


# --- checksum and packing ---


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pack(codes: NDArray[np.uint8], bits: int) -> bytes:
    out = bytearray()
    for first, lanes, rows in _blocks(len(codes)):
        strings = [0] * lanes
        for row in range(rows):
            for lane in range(lanes):
                strings[lane] |= int(codes[first + row * lanes + lane]) << row * bits
        size = -(-rows * bits // 8)
        out += bytes(strings[lane] >> 8 * k & 255 for k in range(size) for lane in range(lanes))
    return bytes(out)


def unpack(payload: bytes, n: int, bits: int) -> NDArray[np.uint8]:
    codes = np.zeros(n, np.uint8)
    at = 0
    for first, lanes, rows in _blocks(n):
        size = -(-rows * bits // 8)
        for lane in range(lanes):
            string = sum(payload[at + k * lanes + lane] << 8 * k for k in range(size))
            if string >> rows * bits:
                raise CorruptError("unused bits are set")
            for row in range(rows):
                codes[first + row * lanes + lane] = string >> row * bits & (1 << bits) - 1
        at += size * lanes
    return codes


def _blocks(n: int) -> list[tuple[int, int, int]]:
    """(first code, lanes, rows) of every block."""
    whole, rest = divmod(n, 8 * _LANES)
    blocks = [(8 * _LANES * k, _LANES, 8) for k in range(whole)]
    if rest >= 8:
        blocks.append((n - rest, rest // 8, 8))
    if rest % 8:
        blocks.append((n - rest % 8, 1, rest % 8))
    return blocks


# --- decoding ---


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
    if flags or tensor & 15 not in _DTYPES or coding >> 5 or granularity > 2 or quantizer > 1 or coder:
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
    parameters = 0 if quantizer == 0 else 1 + 4 * count
    size = at + parameters + -(-n * bits // 8)
    if len(body) < size:
        raise TruncatedError("payload")
    if len(body) > size:
        raise CorruptError("length")
    if quantizer == 0:
        raw: NDArray[Any] = np.frombuffer(body[at:], dtype)
        return np.array(raw).reshape(shape)
    unit, zero = _parameters_at(body[at : at + parameters], bits)
    codes = unpack(body[at + parameters :], n, bits).astype(np.int32)
    sets = np.arange(n) // inner % count
    values = ((codes << (8 - bits)) + zero[sets]).astype(np.float32) * unit[sets]
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


def _parameters_at(data: bytes, bits: int) -> tuple[Floats, NDArray[np.int32]]:
    exponent = int.from_bytes(data[:1], "little", signed=True)
    if not -100 <= exponent <= 111:
        raise CorruptError("exponent")
    table = np.frombuffer(data[1:], np.dtype([("unit", "<f2"), ("zero", "<i2")]))
    half, zero = table["unit"], table["zero"].astype(np.int32)
    if not np.isfinite(half).all() or np.signbit(half).any():
        raise CorruptError("unit")
    unit = (half.astype(np.float64) * 2.0**exponent).astype(np.float32)
    top = ((1 << bits) - 1) << (8 - bits)
    if (
        np.maximum(np.abs(zero), np.abs(zero + top)) * unit.astype(np.float64) >= 2.0**128 * (1 - 2.0**-25)
    ).any():
        raise CorruptError("levels")
    return unit, zero


def _to_dtype(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == np.float32:
        return values
    if dtype == np.float16:
        return np.clip(values, -65504, 65504).astype(np.float16)
    limits = np.iinfo(dtype)
    return np.rint(np.clip(values, limits.min, limits.max)).astype(dtype)


# --- encoding ---


def encode(
    x: NDArray[Any],
    bits: int = 8,
    granularity: str = "tensor",
    axis: int = -1,
    group_size: int = 64,
    clip: str | tuple[float, float] = "auto",
) -> bytes:
    flat = x.astype(np.float32).reshape(-1)
    n, code = flat.size, {dtype: key for key, dtype in _DTYPES.items()}[x.dtype.newbyteorder("<")]
    identity = x.dtype.kind != "f" and bits == 8
    kind = 0 if identity else ("tensor", "channel", "group").index(granularity)
    head = bytearray((0xC5, 0x51, 1, 0, code | x.ndim << 4, bits - 1 | kind << 3, 0 if identity else 1, 0))
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

    sets = np.arange(n) // inner % count
    levels, ranges = [], []
    for j in range(count):
        values = flat[sets == j]
        low, high = (np.float32(clip[0]), np.float32(clip[1])) if isinstance(clip, tuple) else _range(values)
        search = clip == "mse" or (clip == "auto" and bits <= 4)
        levels.append(_clip(values, low, high, bits) if search and low < high else _cover(low, high, bits))
        ranges.append((float(low), float(high)))
    parameters = _parameters(levels, ranges, bits)
    unit, zero = _parameters_at(parameters, bits)
    step, grid = np.float32(1 << (8 - bits)) * unit, np.float32(1 << (8 - bits))
    inverse = np.where(unit > 0, np.float32(1) / np.where(unit > 0, step, np.float32(1)), np.float32(0))
    offset = zero.astype(np.float32) / grid
    with np.errstate(over="ignore"):
        position = flat * inverse[sets] - offset[sets]
    codes = np.rint(np.clip(position, 0, (1 << bits) - 1)).astype(np.uint8)
    body = bytes(head) + parameters + pack(codes, bits)
    return body + crc32c(body).to_bytes(4, "little")


def _varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + _varint(value >> 7) if value > 127 else bytes([value])


def _range(values: Floats) -> tuple[np.float32, np.float32]:
    """Minimum and maximum, with -0 below 0."""
    order = values.view(np.int32)
    order = order ^ (order >> 31 & 0x7FFFFFFF)
    return values[order.argmin()], values[order.argmax()]


Levels = tuple[float, float, str]
"""Level 0, the step, what rounding must keep: "" (searched), "cover", "zero" (covers, and 0 is a level)."""


def _cover(low: np.float32, high: np.float32, bits: int) -> Levels:
    span = float(high) - float(low)
    if bits >= 5 and low <= 0 <= high:
        step = span / ((1 << bits) - 1)
        return (step * math.floor(float(low) / step + 0.5) if step > 0 else 0.0), step, "zero"
    step = span / ((1 << bits) - 1.0 / (1 << (8 - bits)))
    return float(low) + step / 2, step, "cover"


def _parameters(levels: list[Levels], ranges: list[tuple[float, float]], bits: int) -> bytes:
    grid, m = 1 << (8 - bits), (1 << bits) - 1
    wanted = [
        max(step / grid, max(abs(low), abs(high)) / 32750.0)
        for (_, step, _), (low, high) in zip(levels, ranges, strict=True)
    ]
    exponent = math.frexp(max(wanted))[1] - 1 - 14 if max(wanted) > 0 else 0
    exponent = min(max(exponent, -100), 111)
    out = bytearray(exponent.to_bytes(1, "little", signed=True))
    for (first, wide, keep), (low, high), u in zip(levels, ranges, wanted, strict=True):
        scaled = math.ldexp(u, -exponent)
        half = int(np.float16(np.float32(scaled)).view(np.uint16))
        if (keep and float(np.uint16(half).view(np.float16)) < scaled) or (half == 0 and scaled > 0):
            half += 1
        unit = math.ldexp(float(np.uint16(half).view(np.float16)), exponent)
        step = grid * unit
        if half == 0:
            zero = 0
        elif not low < high:
            zero = round(low / unit)
        elif keep == "zero":
            zero = grid * math.floor((low + step / 2) / step)
        elif keep == "cover":
            zero = math.floor((low + step / 2) / unit)
        else:
            zero = round((first + m * (wide - step) / 2) / unit)
        out += half.to_bytes(2, "little") + min(max(zero, -32767), 32767).to_bytes(2, "little", signed=True)
    return bytes(out)


def _clip(values: Floats, low: np.float32, high: np.float32, bits: int) -> Levels:
    sample = values
    if values.size > _SAMPLES:
        spread = np.arange(_SAMPLES, dtype=np.uint64) * 2654435769 & 0xFFFFFFFF
        sample = values[(spread * values.size >> np.uint64(32)).astype(np.int64)]
    best = _least_squares(sample, low, high, bits)
    if values.size <= _SAMPLES or best[2]:
        return best
    cover = _cover(low, high, bits)
    return best if _set_error(values, best, bits) < _set_error(values, cover, bits) else cover


def _set_error(values: Floats, levels: Levels, bits: int) -> float:
    error = 0.0
    for at in range(0, values.size, 8 * _LANES):
        error += _assign(values[at : at + 8 * _LANES], levels[0], levels[1], bits)[0]
    return error


def _least_squares(x: Floats, low: np.float32, high: np.float32, bits: int) -> Levels:
    m, k = (1 << bits) - 1, x.size
    centre = np.float32(_lanes(x) / k)
    y = x - centre
    total = _lanes(y)
    with np.errstate(over="ignore"):
        spread = math.sqrt(_lanes(y * y) / k)
    cover, c = _cover(low, high, bits), float(centre)
    one_sided = float(low) - c
    starts = [
        (cover[0] - c, cover[1]),
        *(
            (-m * (table[bits] * spread) / 2, table[bits] * spread)
            for table in (_GAUSSIAN_STEP, _LAPLACIAN_STEP)
        ),
        (one_sided, (3 * spread - one_sided) / (m + 0.5)),
    ]
    best, best_error = cover, math.inf
    for number, (first, step) in enumerate(starts):
        previous = math.inf
        for turn in range(_PASSES):
            if not (step > 0 and np.float32(step) > np.float32(1e-37)):
                break
            error, codes, squares, products = _assign(y, first, step, bits)
            if error < best_error:
                best_error = error
                best = (first + c, step, cover[2] if number == 0 and turn == 0 else "")
            if not error < 0.999 * previous:
                break
            previous = error
            determinant = k * squares - codes * codes
            if not determinant > 0:
                break
            step = (k * products - codes * total) / determinant
            first = (total - step * codes) / k
    return best


def _assign(y: Floats, first: float, step: float, bits: int) -> tuple[float, float, float, float]:
    """Sums of e^2, q, q^2 and y*q with every value at its nearest level."""
    with np.errstate(over="ignore", invalid="ignore"):
        base, wide = np.float32(first), np.float32(step)
        inverse = np.float32(1) / wide
        position = y * inverse - base * inverse
        q = np.rint(
            np.clip(np.where(np.isnan(position), np.float32(0), position), 0, (1 << bits) - 1)
        ).astype(np.float32)
        e = y - (base + wide * q)
        return (
            _lanes(e * e),
            float(q.astype(np.float64).sum()),
            float((q * q).astype(np.float64).sum()),
            _lanes(y * q),
        )


def _lanes(values: Floats) -> float:
    """A sum in 16 lanes of binary32, which are then added in order in binary64."""
    rows = np.zeros((-(-values.size // _SUMS), _SUMS), np.float32)
    rows.reshape(-1)[: values.size] = values
    lanes = np.zeros(_SUMS, np.float32)
    with np.errstate(over="ignore"):
        for row in rows:
            lanes += row
    total = 0.0
    for lane in lanes:
        total += float(lane)
    return total
