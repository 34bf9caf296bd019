"""From valid inputs to hostile ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_INTERESTING = (0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 129, 191, 192, 254, 255)
_LONG = 1 << 14


def mutated(corpus: Sequence[bytes], draw: random.Random, seal: Callable[[bytearray], None]) -> bytes:
    """One input: mostly a valid one with a few changes, sometimes pure noise.

    `seal` mends a checksum in place. Most inputs are sealed, since otherwise the checksum would turn them all
    away at the door and nothing behind it would be tried.
    """
    kind = draw.random()
    if kind < 0.02:
        data = bytearray(draw.randbytes(draw.randrange(64)))
    elif kind < 0.04:
        data = bytearray(draw.choice(corpus)[:4] + draw.randbytes(draw.randrange(200)))
    else:
        data = bytearray(draw.choice(corpus))
        for _ in range(1 + int(draw.expovariate(0.7))):
            _CHANGES[int(draw.random() * len(_CHANGES))](data, corpus, draw)
    if draw.random() < 0.9:
        seal(data)
    return bytes(data[:_LONG])


def _at(data: bytearray, draw: random.Random) -> int:
    """A position; the header's more often than the payload's."""
    span = min(len(data), 32) if draw.random() < 0.6 else len(data)
    return int(draw.random() * span)


def _flip(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    if data:
        data[_at(data, draw)] ^= 1 << int(draw.random() * 8)


def _set(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    if data:
        data[_at(data, draw)] = _INTERESTING[int(draw.random() * len(_INTERESTING))]


def _noise(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    if data:
        at = _at(data, draw)
        data[at : at + 1 + int(draw.random() * 8)] = draw.randbytes(1 + int(draw.random() * 8))


def _insert(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    at = _at(data, draw)
    data[at:at] = draw.randbytes(1 + int(draw.random() * 4))


def _remove(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    at = _at(data, draw)
    del data[at : at + 1 + int(draw.random() * 4)]


def _truncate(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    del data[int(draw.random() * (len(data) + 1)) :]


def _splice(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    other = draw.choice(corpus)
    at = int(draw.random() * (len(data) + 1))
    data[at:] = other[int(draw.random() * len(other)) :]


def _copy(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    if data:
        source, target, size = _at(data, draw), _at(data, draw), 1 + int(draw.random() * 16)
        data[target : target + size] = data[source : source + size]


_CHANGES = (_flip, _flip, _set, _set, _noise, _insert, _remove, _truncate, _splice, _copy)
