"""The quantizers of docs/bitstream.md, slowly and literally: parameters, codes to values, values to codes.

Arrays here are flat and float32; `sets[i]` is the parameter set of element i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from .tables import GAUSSIAN_LEVELS, LAPLACIAN_LEVELS

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

UNIFORM, SYMMETRIC, SIGN_MAGNITUDE, POWER_OF_TWO, LAPLACIAN, GAUSSIAN = range(1, 7)
POWER_TOP = 14
FRACTION_BITS = 14
FINE = 32
"""Positions to a step when codes are chosen with their cost in mind."""


# --- what codes stand for ---


def integer_levels(kind: int, bits: int) -> Integers:
    """T of every code."""
    half = 1 << (bits - 1)
    code = np.arange(2 * half)
    if kind == UNIFORM:
        return code << (8 - bits)
    if kind == SIGN_MAGNITUDE or (kind == SYMMETRIC and bits == 1):
        return 2 * code + 1 - 2 * half
    if kind == SYMMETRIC:
        return code - half
    if kind == POWER_OF_TWO:
        if bits == 1:
            return np.array([-1, 1]) << POWER_TOP
        rank = np.minimum(np.abs(code - half), half - 1)
        power = POWER_TOP - (half - 1 - rank)
        magnitude = np.where((rank > 0) & (power >= 0), 1 << np.maximum(power, 0), 0)
        return np.where(code < half, -magnitude, magnitude)
    upper = np.array((LAPLACIAN_LEVELS if kind == LAPLACIAN else GAUSSIAN_LEVELS)[bits])
    return np.concatenate((-upper[::-1], upper))


def evenly_spaced(kind: int) -> bool:
    return kind <= SIGN_MAGNITUDE


def has_zero(kind: int) -> bool:
    return kind == UNIFORM or kind >= LAPLACIAN


def parameter_bytes(kind: int, count: int) -> int:
    return 1 + (4 if has_zero(kind) else 2) * count


@dataclass(frozen=True)
class Parameters:
    """`unit` and `zero` of every set."""

    kind: int
    bits: int
    unit: Floats
    zero: Integers


def read_parameters(data: bytes, kind: int, bits: int, wide: bool = False) -> Parameters:
    """CorruptError where the specification calls them invalid. `wide`: every step of 16 bits is a level."""
    exponent = int.from_bytes(data[:1], "little", signed=True)
    if not -100 <= exponent <= 111:
        raise CorruptError("exponent")
    if has_zero(kind):
        table = np.frombuffer(data[1:], np.dtype([("unit", "<f2"), ("zero", "<i2")]))
        half, zero = table["unit"], table["zero"].astype(np.int64)
    else:
        half = np.frombuffer(data[1:], "<f2")
        zero = np.zeros(half.size, np.int64)
    if not np.isfinite(half).all() or np.signbit(half).any():
        raise CorruptError("unit")
    unit = (half.astype(np.float64) * 2.0**exponent).astype(np.float32)
    levels = np.array([-32768, 32767]) if wide else integer_levels(kind, bits)
    largest = np.maximum(np.abs(zero + levels.min()), np.abs(zero + levels.max())) * unit.astype(np.float64)
    if (largest >= 2.0**128 * (1 - 2.0**-25)).any():
        raise CorruptError("levels")
    return Parameters(kind, bits, unit, zero)


def values(codes: NDArray[np.uint8], sets: Integers, p: Parameters) -> Floats:
    levels = integer_levels(p.kind, p.bits)[codes]
    product: Floats = (levels + p.zero[sets]).astype(np.float32) * p.unit[sets]
    return product


def index_values(indices: NDArray[np.int16], sets: Integers, p: Parameters) -> Floats:
    product: Floats = indices.astype(np.float32) * p.unit[sets]
    return product


# --- which code the encoder takes ---


def codes(
    x: Floats,
    sets: Integers,
    p: Parameters,
    seed: int | None = None,
    costs: NDArray[np.uint16] | None = None,
    rate: float = 0.0,
) -> NDArray[np.uint8]:
    top = (1 << p.bits) - 1
    lowest = 1 if p.kind == SYMMETRIC and p.bits > 1 else 0
    if not evenly_spaced(p.kind):
        table, centre = ladder(p.kind, p.bits)
        position = np.rint(_position(x, sets, p, np.float32(1), -centre, 0, len(table) - 1))
        found: NDArray[np.uint8] = table[position.astype(np.int64)]
        return found
    if costs is not None:
        fine = _position(x, sets, p, np.float32(FINE), 0, 0, FINE * top)
        return cheapest_codes(p.kind, p.bits, costs, rate)[np.rint(fine).astype(np.int64)]
    position = _position(x, sets, p, np.float32(1), 0, lowest, top)
    if seed is None:
        return np.rint(position).astype(np.uint8)
    draws = random_bits(seed, np.arange(x.size)) >> (32 - FRACTION_BITS)
    whole = np.rint(position * np.float32(1 << FRACTION_BITS)).astype(np.int64)
    drawn: NDArray[np.uint8] = (whole + draws >> FRACTION_BITS).astype(np.uint8)
    return drawn


def indices(x: Floats, sets: Integers, p: Parameters) -> NDArray[np.int16]:
    """Multiples of the symmetric quantizer's unit."""
    inverse = _inverse(p.unit)
    with np.errstate(over="ignore"):
        found: NDArray[np.int16] = np.rint(np.clip(x * inverse[sets], -32768, 32767)).astype(np.int16)
    return found


def _inverse(step: Floats) -> Floats:
    inverse: Floats = np.where(step > 0, np.float32(1) / np.where(step > 0, step, np.float32(1)), 0).astype(
        np.float32
    )
    return inverse


def _position(
    x: Floats, sets: Integers, p: Parameters, scale: np.float32, shift: int, low: int, top: int
) -> Floats:
    """x * inverse - offset, clamped: among codes, or among the positions of a table."""
    spacing, first = 1, shift
    if evenly_spaced(p.kind):
        levels = integer_levels(p.kind, p.bits)
        spacing, first = int(levels[1] - levels[0]), int(levels[0])
    inverse = np.minimum(
        scale * _inverse(np.float32(spacing) * p.unit), np.float32(3e38 if scale > 1 else np.inf)
    )
    offset = scale * ((p.zero + first).astype(np.float32) / np.float32(spacing))
    with np.errstate(over="ignore", invalid="ignore"):
        position = x * inverse[sets] - offset[sets]
    clamped: Floats = np.clip(np.where(np.isnan(position), np.float32(low), position), low, top)
    return clamped


def ladder(kind: int, bits: int) -> tuple[NDArray[np.uint8], int]:
    """The code of every position round(x / unit - zero), and the index of position 0."""
    half = 1 << (bits - 1)
    upper = integer_levels(kind, bits)[half:]
    middles = (upper[1:] + upper[:-1]) / 2
    centre = int(middles[-1]) + 1 if bits > 1 else 1
    rank = np.searchsorted(middles, np.arange(centre + 1), side="left")  # up to the middle: the lower level
    above = half + rank
    below = half - rank if kind == POWER_OF_TWO and bits > 1 else half - 1 - rank
    return np.concatenate((below[:0:-1], above)).astype(np.uint8), centre


def cheapest_codes(kind: int, bits: int, costs: NDArray[np.uint16], rate: float) -> NDArray[np.uint8]:
    """The code of least (p - code)^2 + rate * cost / 256 for p = 0, 1/32 ..: an envelope of parabolas."""
    survivors: list[int] = []
    begins: list[float] = []
    for code in range(1 if kind == SYMMETRIC and bits > 1 else 0, 1 << bits):
        meets = -math.inf
        while survivors:
            before = survivors[-1]
            difference = rate * int(costs[code]) / 256.0 - rate * int(costs[before]) / 256.0
            meets = (before + code) / 2.0 + difference / (2.0 * (code - before))
            if meets > begins[-1]:
                break
            survivors.pop()
            begins.pop()
            meets = -math.inf
        survivors.append(code)
        begins.append(meets)
    p = np.arange(FINE * ((1 << bits) - 1) + 1) / FINE
    return np.array(survivors, np.uint8)[np.searchsorted(np.array(begins[1:]), p, side="left")]


def random_bits(seed: int, index: Integers) -> Integers:
    """32 bits for each index, as the specification's generator gives them."""
    mask, low = (1 << 64) - 1, np.uint64(0xFFFFFFFF)
    seed = (seed + 0x9E3779B97F4A7C15) & mask
    seed = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
    seed = (seed ^ seed >> 27) * 0x94D049BB133111EB & mask
    seed ^= seed >> 31
    z = (index ^ seed & 0xFFFFFFFF).astype(np.uint64)
    z = (z ^ z >> np.uint64(16)) * np.uint64(0x7FEB352D) & low
    z = (z ^ z >> np.uint64(15)) + np.uint64(seed >> 32) & low
    z = (z ^ z >> np.uint64(13)) * np.uint64(0x846CA68B) & low
    bits: Integers = (z ^ z >> np.uint64(16)).astype(np.int64)
    return bits
