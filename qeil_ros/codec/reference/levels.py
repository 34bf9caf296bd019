"""Which levels the encoder chooses: docs/bitstream.md, *Writing a stream*. Not needed to read one."""

from __future__ import annotations

import math

import numpy as np

from .quantizers import (
    LAPLACIAN,
    POWER_OF_TWO,
    SIGN_MAGNITUDE,
    SYMMETRIC,
    UNIFORM,
    Floats,
    Integers,
    evenly_spaced,
    has_zero,
    integer_levels,
    ladder,
)
from .tables import MID_RISE_CLIP, POWER_OF_TWO_CLIP, SIGMA, SYMMETRIC_CLIP

_SUMS, _SAMPLES, _PASSES, _BLOCK = 16, 4096, 6, 512
_LAPLACIAN_STEP = (0, 1.4142, 1.0874, 0.7309, 0.4610, 0.2800, 0.1657, 0.0961, 0.0549)
_FACTORS = (
    1.4142135623730951,
    1.1892071150027210,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
)
_HUGE = 2.0**126

Levels = tuple[float, float, str]
"""Uniform: level 0 and the step; others: what T = 0 stands for and the unit.
Then what rounding must keep: "" (searched), "cover", "zero" (covers, and 0 is a level), "step" (given)."""


def choose(
    x: Floats, sets: Integers, count: int, kind: int, bits: int, rule: str, low: float, high: float
) -> bytes:
    """The parameters of every set, by one of the rules range, mse, percentile, exponential, pair and step."""
    levels: list[Levels] = []
    ends: list[tuple[float, float]] = []
    for j in range(count):
        values = x[sets == j]
        lowest, highest = _range(values)
        if rule == "mse":
            levels.append(_least_squares(values, lowest, highest, kind, bits))
        elif rule == "step":
            levels.append(_fixed_step(lowest, kind, bits, low))
        else:
            if rule == "pair":
                lowest, highest = np.float32(low), np.float32(high)
            elif rule == "percentile":
                lowest, highest = _percentile(values, kind, low)
            elif rule == "exponential":
                lowest, highest = _exponential(values, lowest, highest, kind, bits)
            levels.append(_cover_ends(lowest, highest, kind, bits))
        ends.append((float(lowest), float(highest)))
    return _write(levels, ends, kind, bits)


# --- ends ---


def _range(values: Floats) -> tuple[np.float32, np.float32]:
    return values.min(), values.max()


def _percentile(values: Floats, kind: int, percent: float) -> tuple[np.float32, np.float32]:
    n = values.size
    if has_zero(kind):
        ordered = np.sort(values)
        cut = int(n * (100.0 - percent) / 200.0)
        kept = cut if 2 * cut < n else (n - 1) // 2
        return ordered[kept], ordered[n - 1 - kept]
    ordered = np.sort(np.abs(values))
    clip = ordered[n - 1 - min(int(n * (100.0 - percent) / 100.0), n - 1)]
    return -clip, clip


def _exponential(
    values: Floats, low: np.float32, high: np.float32, kind: int, bits: int
) -> tuple[np.float32, np.float32]:
    centred = kind >= LAPLACIAN
    centre = np.float32(_set_sum(values) / values.size) if centred else np.float32(0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _set_sum(np.abs(values - centre)) / values.size
    clip = _exponential_clip(kind, bits, bool(low >= 0 or high <= 0)) * mean
    if not clip <= _HUGE:
        return low, high
    if centred:
        return np.float32(float(centre) - clip), np.float32(float(centre) + clip)
    return (np.float32(-clip) if low < -clip else low), (np.float32(clip) if high > clip else high)


def _exponential_clip(kind: int, bits: int, one_sided: bool) -> float:
    """Of least squared error for exponential magnitudes of mean 1."""
    if kind == UNIFORM:
        return MID_RISE_CLIP[bits + one_sided]
    if kind == SYMMETRIC:
        return SYMMETRIC_CLIP[bits]
    if kind == SIGN_MAGNITUDE:
        return MID_RISE_CLIP[bits]
    if kind == POWER_OF_TWO:
        return POWER_OF_TWO_CLIP[bits]
    return 1.4142135623730951 / SIGMA * int(integer_levels(kind, bits)[-1])


def _reach(kind: int, bits: int) -> int:
    """A clip in units."""
    if kind == SIGN_MAGNITUDE or (kind == SYMMETRIC and bits == 1):
        return 1 << bits
    return (1 << (bits - 1)) - 1 if kind == SYMMETRIC else int(integer_levels(kind, bits)[-1])


# --- levels over given ends, or with a given step ---


def _cover_ends(low: np.float32, high: np.float32, kind: int, bits: int) -> Levels:
    if kind == UNIFORM:
        return _cover(low, high, bits)
    centre = (float(low) + float(high)) / 2 if has_zero(kind) else 0.0
    clip = (float(high) - float(low)) / 2 if has_zero(kind) else max(abs(float(low)), abs(float(high)))
    return centre, clip / _reach(kind, bits), "cover"


def _cover(low: np.float32, high: np.float32, bits: int) -> Levels:
    span = float(high) - float(low)
    if bits >= 5 and low <= 0 <= high:
        step = span / ((1 << bits) - 1)
        return (step * math.floor(float(low) / step + 0.5) if step > 0 else 0.0), step, "zero"
    step = span / ((1 << bits) - 1.0 / (1 << (8 - bits)))
    return float(low) + step / 2, step, "cover"


def _fixed_step(low: np.float32, kind: int, bits: int, step: float) -> Levels:
    if kind == UNIFORM:
        return step * math.floor(float(low) / step + 0.5), step, "step"
    levels = integer_levels(kind, bits)
    return 0.0, step / int(levels[1] - levels[0]), "step"


# --- levels as parameters ---


def _write(levels: list[Levels], ends: list[tuple[float, float]], kind: int, bits: int) -> bytes:
    wanted = [_wanted_unit(one, low, high, kind, bits) for one, (low, high) in zip(levels, ends, strict=True)]
    exponent = math.frexp(max(wanted))[1] - 1 - 14 if max(wanted) > 0 else 0
    exponent = min(max(exponent, -100), 111)
    out = bytearray(exponent.to_bytes(1, "little", signed=True))
    for one, (low, high), u in zip(levels, ends, wanted, strict=True):
        scaled = math.ldexp(u, -exponent)
        half = int(np.float16(min(np.float32(scaled), np.float32(65504))).view(np.uint16))
        short = float(np.uint16(half).view(np.float16)) < scaled
        if (one[2] in ("cover", "zero") and short) or (half == 0 and scaled > 0):
            half += 1
        out += half.to_bytes(2, "little")
        if has_zero(kind):
            unit = math.ldexp(float(np.uint16(half).view(np.float16)), exponent)
            zero = 0 if half == 0 else _zero(one, low, high, kind, bits, unit)
            out += min(max(zero, -32767), 32767).to_bytes(2, "little", signed=True)
    return bytes(out)


def _wanted_unit(levels: Levels, low: float, high: float, kind: int, bits: int) -> float:
    first, step, keep = levels
    if kind != UNIFORM:
        return max(step, abs(first) / 32750.0 if has_zero(kind) else 0.0)
    unit = step / (1 << (8 - bits))
    return unit if keep == "step" else max(unit, max(abs(low), abs(high)) / 32750.0)


def _zero(levels: Levels, low: float, high: float, kind: int, bits: int, unit: float) -> int:
    first, wide, keep = levels
    if kind != UNIFORM:
        return round(first / unit)
    grid = 1 << (8 - bits)
    step = grid * unit
    if keep == "step":
        return grid * round(first / step)
    if not low < high:
        return round(low / unit)
    if keep == "zero":
        return grid * math.floor((low + step / 2) / step)
    if keep == "cover":
        return math.floor((low + step / 2) / unit)
    return round((first + ((1 << bits) - 1) * (wide - step) / 2) / unit)


# --- levels of least squared error ---


class _Sample:
    """At most 4096 values of a set, centred; if not all, its extremes count a little for those left out."""

    def __init__(self, values: Floats, low: np.float32, high: np.float32, centre: np.float32) -> None:
        sample = values
        if values.size > _SAMPLES:
            spread = np.arange(_SAMPLES, dtype=np.uint64) * 2654435769 & 0xFFFFFFFF
            sample = values[(spread * values.size >> np.uint64(32)).astype(np.int64)]
        self.values = sample - centre
        self.ends = np.array([low - centre, high - centre], np.float32)
        self.weight = sample.size / values.size if values.size > _SAMPLES else 0.0

    def move(self, centre: np.float32) -> None:
        self.values = self.values - centre
        self.ends = self.ends - centre


def _least_squares(values: Floats, low: np.float32, high: np.float32, kind: int, bits: int) -> Levels:
    if not low < high and (has_zero(kind) or low == 0):
        return _cover_ends(low, high, kind, bits)
    if kind == UNIFORM:
        return _search_uniform(_Sample(values, low, high, np.float32(0)), low, high, bits)
    centre = np.float32(0)
    if has_zero(kind):
        mean = _set_sum(values) / values.size
        if not abs(mean) <= _HUGE:
            return _cover_ends(low, high, kind, bits)
        centre = np.float32(mean)
    sample = _Sample(values, low, high, centre)
    cover = max(abs(float(sample.ends[0])), abs(float(sample.ends[1]))) / _reach(kind, bits)
    _, unit, keep = _search_unit(sample, cover, kind, bits)
    return float(centre), unit, keep


class _Search:
    """The ends below and above the sample's mean that were accepted last, and the best levels tried."""

    def __init__(self, sample: _Sample, bits: int, cover: tuple[float, float]) -> None:
        self.sample, self.top = sample, (1 << bits) - 1
        self.below, self.above = -float(sample.ends[0]), float(sample.ends[1])
        self.levels, self.best = cover, math.inf
        self.error = self.try_levels(*cover)

    def try_levels(self, first: float, step: float) -> float:
        if not np.float32(step) > np.float32(1e-37):
            return math.inf
        error = _even_error(self.sample, first, step, self.top)
        if error < self.best:
            self.best, self.levels = error, (first, step)
        return error

    def try_ends(self, below: float, above: float) -> bool:
        step = (above + below) / (self.top + 1)
        error = self.try_levels(step / 2 - below, step)
        if not error < self.error:
            return False
        self.below, self.above, self.error = below, above, error
        return True


def _search_uniform(sample: _Sample, low: np.float32, high: np.float32, bits: int) -> Levels:
    k = sample.values.size
    centre = np.float32(_lanes(sample.values) / k)
    sample.move(centre)
    y = sample.values
    total = _lanes(y)
    with np.errstate(over="ignore"):
        spread = math.sqrt(_lanes(y * y) / k)
    cover, c = _cover(low, high, bits), float(centre)
    s = _Search(sample, bits, (cover[0] - c, cover[1]))
    lowest, highest, cover_error = s.below, s.above, s.error
    for octave in range(-2, 3):
        clip = (
            _LAPLACIAN_STEP[bits] * spread * (1 << bits) * 2.0 ** (-octave - 1) if octave > -2 else math.inf
        )
        above, below = (clip if clip < end else end for end in (highest, lowest))
        half = (above + below) / (2 * (s.top + 1))
        s.try_ends(below, above)
        s.try_ends(lowest + (lowest + above) / (2 * s.top + 1), above)
        if bits <= 3:
            s.try_ends(below - half, above + half)
    for factor in _FACTORS[:4]:
        for move in range(4):
            ratio = factor if move & 1 else 1 / factor
            while s.try_ends(s.below * (1 if move & 2 else ratio), s.above * (ratio if move & 2 else 1)):
                pass
    for _ in range(_PASSES):
        before = s.best
        codes, squares, products = _assign(sample, *s.levels, s.top)
        determinant = k * squares - codes * codes
        if not determinant > 0:
            break
        step = (k * products - codes * total) / determinant
        if not s.try_levels((total - step * codes) / k, step) < 0.999 * before:
            break
    return (s.levels[0] + c, s.levels[1], "") if s.best < cover_error else cover


def _search_unit(sample: _Sample, cover: float, kind: int, bits: int) -> Levels:
    best: Levels = (0.0, cover, "cover")
    best_error = _unit_error(sample, cover, kind, bits)
    mean = _lanes(np.abs(sample.values)) / sample.values.size
    unit = _exponential_clip(kind, bits, False) * mean / _reach(kind, bits) / (2 * _FACTORS[0])
    tried = []
    for _ in range(6):
        tried.append(unit)
        unit *= _FACTORS[0]
    for round_ in range(5):
        if round_:
            tried = [best[1] / _FACTORS[round_], best[1] * _FACTORS[round_]]
        for unit in tried:
            error = _unit_error(sample, unit, kind, bits)
            if error < best_error:
                best_error, best = error, (0.0, unit, "")
    return best


def _unit_error(sample: _Sample, unit: float, kind: int, bits: int) -> float:
    if not np.float32(unit) > np.float32(1e-37):
        return math.inf
    levels = integer_levels(kind, bits)
    if evenly_spaced(kind):
        lowest = 1 if kind == SYMMETRIC and bits > 1 else 0
        spacing = int(levels[1] - levels[0])
        return _even_error(sample, int(levels[lowest]) * unit, spacing * unit, (1 << bits) - 1 - lowest)
    table, centre = ladder(kind, bits)
    u = np.float32(unit)
    inverse = np.float32(1) / u

    def squares(y: Floats) -> Floats:
        with np.errstate(over="ignore"):
            position = np.clip(y * inverse + np.float32(centre), 0, len(table) - 1)
            e = y - levels[table[np.rint(position).astype(np.int64)]].astype(np.float32) * u
            product: Floats = e * e
        return product

    ends = squares(sample.ends)
    with np.errstate(over="ignore", invalid="ignore"):
        return _lanes(squares(sample.values)) + sample.weight * float(ends[0] + ends[1])


def _nearest(y: Floats, first: float, step: float, top: int) -> tuple[Floats, Floats]:
    """The codes, and the differences from their levels."""
    with np.errstate(over="ignore", invalid="ignore"):
        base, wide = np.float32(first), np.float32(step)
        inverse = np.float32(1) / wide
        position = y * inverse - base * inverse
        clipped = np.clip(np.where(np.isnan(position), np.float32(0), position), 0, top)
        q: Floats = np.rint(clipped).astype(np.float32)
        return q, y - (base + wide * q)


def _even_error(sample: _Sample, first: float, step: float, top: int) -> float:
    """The sum of squared errors."""
    with np.errstate(over="ignore", invalid="ignore"):
        _, e = _nearest(sample.values, first, step, top)
        error = _lanes(e * e)
        if sample.weight:
            _, (low, high) = _nearest(sample.ends, first, step, top)
            error += sample.weight * (float(low * low) + float(high * high))
        return error


def _assign(sample: _Sample, first: float, step: float, top: int) -> tuple[float, float, float]:
    """Sums of q, q^2 and y*q with every value at its nearest level."""
    q, _ = _nearest(sample.values, first, step, top)
    with np.errstate(over="ignore", invalid="ignore"):
        return _lanes(q), _lanes(q * q), _lanes(sample.values * q)


def _set_sum(values: Floats) -> float:
    """A sum in blocks of 512 values."""
    total = 0.0
    for at in range(0, values.size, _BLOCK):
        total += _lanes(values[at : at + _BLOCK])
    return total


def _lanes(values: Floats) -> float:
    """A sum in 16 lanes of binary32, which are then added in order in binary64."""
    rows = np.zeros((-(-values.size // _SUMS), _SUMS), np.float32)
    rows.reshape(-1)[: values.size] = values
    lanes = np.zeros(_SUMS, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:
            lanes += row
    total = 0.0
    for lane in lanes:
        total += float(lane)
    return total
