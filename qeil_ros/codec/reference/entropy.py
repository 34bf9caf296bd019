"""The coder `rans`: integer models, lanes, the layout that precedes the codes.

decode() finds the codes and what the payload says of itself; encode() writes the codes with a given layout.
Which layout is best is the encoder's affair: a payload that it made, decoded and encoded again here, is the
same to the byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..errors import CorruptError

SLOTS, LOW = 4096, 1 << 15
LAPLACIAN = (
    (0, 0), (65472, 3), (65445, 5), (65408, 9), (65355, 14), (65280, 24), (65174, 39), (65024, 64),
    (64813, 105), (64515, 172), (64094, 281), (63502, 459), (62673, 748), (61516, 1215), (59917, 1961),
    (57736, 3133), (54822, 4930), (51049, 7587), (46367, 11318), (40878, 16219), (34861, 22155),
    (28736, 28736), (22939, 35415), (17803, 41670), (13500, 47138), (10051, 51665), (7379, 55255),
    (5361, 58014), (3865, 60085), (2771, 61613), (1979, 62727), (1409, 63532),
)  # fmt: skip
_EIGHTHS = (32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097)


@dataclass(frozen=True)
class Model:
    """Slots of each symbol; `escape` is the index of the last one where it is an escape, else None."""

    frequencies: tuple[int, ...]
    escape: int | None

    def start(self, symbol: int) -> int:
        return sum(self.frequencies[:symbol])

    def find(self, slot: int) -> int:
        symbol = 0
        while slot >= self.frequencies[symbol]:
            slot -= self.frequencies[symbol]
            symbol += 1
        return symbol


@dataclass(frozen=True)
class Sent:
    """A table's definition: an exponent for each symbol, and for the escape of fewer than 256."""

    symbols: int
    resolution: int
    spread: int
    exponents: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    family: int
    grid: int
    axis: int
    sent: tuple[Sent, ...] = ()
    tables: tuple[int, ...] = field(default=())

    def model(self, table: int) -> Model:
        if table < len(self.sent):
            return sent_model(self.sent[table])
        return static_model(self.family, table - len(self.sent))


# --- models ---


def frequencies(weights: Sequence[int]) -> tuple[int, ...]:
    total = sum(weights)
    if total == 0:
        raise CorruptError("a table without symbols")
    least = 9 * total // 32768 + 1
    raised = [max(weight, least) if weight else 0 for weight in weights]
    bounds = [sum(raised[:i]) * SLOTS // sum(raised) for i in range(len(raised) + 1)]
    return tuple(end - start for start, end in pairwise(bounds))


def static_model(family: int, scale: int) -> Model:
    if scale == 0:
        return Model((SLOTS,), None)
    zero, ratio = LAPLACIAN[scale]
    sides = 2 if family == 0 else 1
    weights = [zero << 12]
    tail = (65536 - zero << 12) // sides
    while True:
        following = tail * ratio >> 16
        if tail - following < 32768 or len(weights) + sides > 255:
            break
        weights += [tail - following] * sides
        tail = following
    return Model(frequencies([*weights, tail * sides + 1]), len(weights))


def sent_model(sent: Sent) -> Model:
    weights = []
    for exponent in sent.exponents:
        octave, eighth = divmod(exponent - 1 << 3 - sent.resolution, 8)
        weights.append(_EIGHTHS[eighth] << octave if exponent else 0)
    return Model(frequencies(weights), sent.symbols if sent.symbols < 256 else None)


SMALL = static_model(1, 17)
STEPS = static_model(0, 21)


# --- order ---


def lanes_of(n: int) -> int:
    return 1 if n < 1 << 15 else 16 if n < 1 << 17 else 32


def cells_of(grid: int, size: int) -> list[tuple[int, int]]:
    """(first, end) of each cell along the axis."""
    cells, first = [], 0
    while first < size:
        if grid == 0:
            end = first + max(1, (1 << first.bit_length() - 1 if first else 0) // 2)
        else:
            end = size if grid == 1 else first + (1 << grid - 2)
        cells.append((first, min(end, size)))
        first = end
    return cells


def bands_of(layout: Layout, shape: Sequence[int]) -> Iterator[tuple[Model, list[int]]]:
    """Each band's model and the places of its elements in C order."""
    at = len(shape) - 1 - layout.axis
    size, inner, outer = shape[at], math.prod(shape[at + 1 :]), math.prod(shape[:at])
    cells = cells_of(layout.grid, size)
    cell = 0
    while cell < len(cells):
        last = cell
        while last + 1 < len(cells) and layout.tables[last + 1] == layout.tables[cell]:
            last += 1
        within = range(cells[cell][0] * inner, cells[last][1] * inner)
        places = [o * size * inner + i for o in range(outer) for i in within]
        yield layout.model(layout.tables[cell]), places
        cell = last + 1


# --- decoding ---


class Reader:
    def __init__(self, payload: bytes, lanes: int) -> None:
        if lanes == 1:
            first = len(payload) if len(payload) <= 4 else 3 if len(payload) % 2 else 4
            if first == 0:
                raise CorruptError("size")
            self.states = [int.from_bytes(payload[:first], "little")]
            words = payload[first:]
            state, long = self.states[0], len(payload) > 4
            shortest = (1 << 24 if first == 4 else LOW) if long else 1 << 8 * (first - 1)
            if state >> 31 or (state < shortest and (long or first > 1)):
                raise CorruptError("state")
        else:
            if len(payload) < 4 * lanes or len(payload) % 2:
                raise CorruptError("size")
            self.states = [int.from_bytes(payload[4 * k : 4 * k + 4], "little") for k in range(lanes)]
            words = payload[4 * lanes :]
            if any(not LOW <= state < 1 << 31 for state in self.states):
                raise CorruptError("state")
        self.words = [int.from_bytes(words[i : i + 2], "little") for i in range(0, len(words), 2)]
        self.at = 0

    def symbol(self, model: Model, lane: int = 0) -> int:
        state = self.states[lane]
        slot = state % SLOTS
        symbol = model.find(slot)
        frequency = model.frequencies[symbol]
        if frequency == SLOTS:
            return symbol
        state = frequency * (state // SLOTS) + slot - model.start(symbol)
        if state < LOW and self.at < len(self.words):
            state = state << 16 | self.words[self.at]
            self.at += 1
        elif state < LOW and len(self.states) > 1:
            raise CorruptError("the words end too early")
        self.states[lane] = state
        return symbol

    def bits(self, count: int) -> int:
        return self.symbol(Model((SLOTS >> count,) * (1 << count), None))

    def number(self) -> int:
        count = self.bits(4)
        value = 1
        if count > 8:
            value = value << count - 8 | self.bits(count - 8)
        if count > 0:
            value = value << min(count, 8) | self.bits(min(count, 8))
        return value - 1

    def index(self, model: Model) -> int:
        symbol = self.symbol(model)
        return symbol + self.number() if symbol == model.escape else symbol

    def difference(self, model: Model) -> int:
        return unzigzag(self.index(model))

    def finish(self) -> None:
        start = 0 if len(self.states) == 1 else LOW
        if self.at != len(self.words) or any(state != start for state in self.states):
            raise CorruptError("the payload does not end where its codes do")


def unzigzag(index: int) -> int:
    return -(index + 1) // 2 if index % 2 else index // 2


def zigzag(code: int) -> int:
    return 2 * code if code >= 0 else -2 * code - 1


def expected(exponents: Sequence[int], symbols: int, resolution: int, family: int) -> int:
    """What the next exponent is a difference from."""
    i = len(exponents)
    if i == 0:
        return 10 << resolution
    if i == symbols:
        return 0
    return exponents[i - 1 if family == 1 or i < 3 else i - 2]


def spread_model(spread: int) -> Model:
    return static_model(0, 17 + 2 * spread)


def read_layout(reader: Reader, shape: Sequence[int]) -> Layout:
    family, grid = reader.index(SMALL), reader.index(SMALL)
    if family > 1 or grid > 22:
        raise CorruptError("family or grid")
    axis = 0 if grid == 1 else reader.index(SMALL)
    count = reader.index(SMALL)
    if axis >= len(shape) or count > 15:
        raise CorruptError("axis or tables")
    size = shape[len(shape) - 1 - axis]
    cells = -(-size >> grid - 2) if grid >= 2 else len(cells_of(grid, size))
    if cells > 4096:
        raise CorruptError("cells")
    sent = []
    for _ in range(count):
        symbols, resolution, spread = reader.bits(8) + 1, reader.bits(2), reader.bits(3)
        exponents: list[int] = []
        while len(exponents) < min(symbols + 1, 256):
            exponent = expected(exponents, symbols, resolution, family)
            exponent += reader.difference(spread_model(spread))
            if not 0 <= exponent <= 13 << resolution:
                raise CorruptError("exponent")
            exponents.append(exponent)
        if not any(exponents):
            raise CorruptError("a table without symbols")
        sent.append(Sent(symbols, resolution, spread, tuple(exponents)))
    tables: list[int] = []
    table = 0 if sent else 20
    for _ in range(cells):
        table += reader.difference(STEPS)
        if not 0 <= table < count + 32:
            raise CorruptError("table")
        tables.append(table)
    return Layout(family, grid, axis, tuple(sent), tuple(tables))


def decode(payload: bytes, shape: Sequence[int], signed: bool) -> tuple[list[int], Layout]:
    """The codes in C order, and the layout."""
    n = math.prod(shape)
    lanes = lanes_of(n)
    reader = Reader(payload, lanes)
    layout = read_layout(reader, shape)
    if not signed and layout.family == 0:
        raise CorruptError("unsigned codes in a signed family")
    codes, escaped, i = [0] * n, [], 0
    most = 255 if not signed else 65534 if layout.family == 0 else 32767
    for model, places in bands_of(layout, shape):
        for place in places:
            symbol = reader.symbol(model, i % lanes)
            codes[place] = unzigzag(symbol) if layout.family == 0 else symbol
            if symbol == model.escape:
                escaped.append((place, symbol))
            i += 1
    for place, escape in escaped:
        index = escape + reader.number()
        if index > most:
            raise CorruptError("an escaped code")
        codes[place] = unzigzag(index) if layout.family == 0 else index
    reader.finish()
    return codes, layout


# --- encoding ---

Interval = tuple[int, int, int]  # lane, start, frequency


def _symbol(model: Model, symbol: int, lane: int = 0) -> Interval:
    return lane, model.start(symbol), model.frequencies[symbol]


def _bits(count: int, value: int) -> Interval:
    return 0, value * (SLOTS >> count), SLOTS >> count


def _number(value: int) -> list[Interval]:
    count = (value + 1).bit_length() - 1
    low = value + 1 - (1 << count)
    out = [_bits(4, count)]
    if count > 8:
        out.append(_bits(count - 8, low >> 8))
    if count > 0:
        out.append(_bits(min(count, 8), low & 255))
    return out


def _index(model: Model, index: int) -> list[Interval]:
    if model.escape is None or index < model.escape:
        return [_symbol(model, index)]
    return [_symbol(model, model.escape), *_number(index - model.escape)]


def _layout(layout: Layout) -> list[Interval]:
    out = _index(SMALL, layout.family) + _index(SMALL, layout.grid)
    if layout.grid != 1:
        out += _index(SMALL, layout.axis)
    out += _index(SMALL, len(layout.sent))
    for sent in layout.sent:
        out += [_bits(8, sent.symbols - 1), _bits(2, sent.resolution), _bits(3, sent.spread)]
        for i, exponent in enumerate(sent.exponents):
            difference = exponent - expected(sent.exponents[:i], sent.symbols, sent.resolution, layout.family)
            out += _index(spread_model(sent.spread), zigzag(difference))
    last = 0 if layout.sent else 20
    for table in layout.tables:
        out += _index(STEPS, zigzag(table - last))
        last = table
    return out


def encode(codes: Sequence[int], shape: Sequence[int], signed: bool, layout: Layout) -> bytes:
    """The payload of codes in C order."""
    lanes = lanes_of(len(codes))
    intervals, numbers, i = _layout(layout), [], 0
    for model, places in bands_of(layout, shape):
        for place in places:
            code = codes[place]
            index = zigzag(code) if layout.family == 0 else code
            if model.escape is None or index < model.escape:
                intervals.append(_symbol(model, index, i % lanes))
            else:
                intervals.append(_symbol(model, model.escape, i % lanes))
                numbers += _number(index - model.escape)
            i += 1
    states, words = [0 if lanes == 1 else LOW] * lanes, []
    for lane, start, frequency in reversed(intervals + numbers):
        if frequency == SLOTS:
            continue
        state = states[lane]
        if state >= frequency << 19:
            words.append(state & 65535)
            state >>= 16
        states[lane] = state // frequency * SLOTS + state % frequency + start
    head = b"".join(state.to_bytes(4, "little") for state in states)
    if lanes == 1:
        size = max((states[0].bit_length() + 7) // 8, 3 if words else 1)
        head = states[0].to_bytes(size, "little")
    return head + b"".join(word.to_bytes(2, "little") for word in reversed(words))
