"""The checksum, and fixed-width codes as bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError

_LANES = 64


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
