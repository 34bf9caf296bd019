"""The entropy coder beside what a user would pick: symbols a second each way, bits over the entropy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qeil_ros.codec.entropy import RansCoder
from qeil_ros.codec.reference.packing import pack

from .harness import Report, Result, against, at_least, at_most, figure, median

DESCRIPTION = "the entropy coder: speed each way, bits over the entropy, beside constriction, zstd and lz4"

SHAPE = (197, 768)
"""A vision transformer's features, in cache with what is coded of them."""
TARGET_MSYMBOLS, TARGET_RATIO, TARGET_EXCESS_BITS = 600.0, 1 / 3, 0.01

Codes = NDArray[np.uint8]
Pair = tuple[Callable[[], object], Callable[[], object]]
"""Encode and decode once."""


@dataclass(frozen=True)
class Peer:
    name: str
    pair: Pair
    size_bytes: int
    limit: float | None = None


def gaussian_codes(bits: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> Codes:
    """What a uniform quantizer over +-4 sigma makes of Gaussian features."""
    x = np.random.default_rng(seed).normal(0, 1, shape)
    codes: Codes = np.clip(np.floor((x / 8 + 0.5) * 2**bits), 0, 2**bits - 1).astype(np.uint8)
    return codes


def entropy_bits(codes: Codes) -> float:
    """A symbol's, by the tensor's own frequencies."""
    share = np.bincount(codes.ravel()) / codes.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def run(quick: bool) -> Report:
    return Report("entropy", {"shape": SHAPE, "source": "Gaussian, seed 0"}, [], results(quick))


def results(quick: bool) -> list[Result]:
    rounds = 15 if quick else 101
    found: list[Result] = []
    for bits in (3, 4, 6):
        found += _speed(bits, rounds)
    for bits in (2, 3, 4, 6):
        codes = gaussian_codes(bits, (250, 400))
        excess = 8 * RansCoder().encode(codes) / codes.size - entropy_bits(codes)
        found.append(at_most(f"rans_{bits}bit_100k_excess", excess, "bit", TARGET_EXCESS_BITS))
    return found


def _speed(bits: int, rounds: int) -> Iterator[Result]:
    """One table for the tensor, chosen anew each time; and, beside it, bands of columns."""
    codes = gaussian_codes(bits)
    whole, banded = _ours(codes.reshape(-1, 1)), _ours(codes)
    size_bytes = RansCoder().encode(codes.reshape(-1, 1))
    peers = [_constriction(codes), *_bytes_coders(codes, bits)]
    for way, what in enumerate(("encode", "decode")):
        calls = [whole[way], banded[way], *(peer.pair[way] for peer in peers)]
        times_s = _interleaved(calls, rounds)
        name = f"rans_{bits}bit_{what}"
        rate = [codes.size / s / 1e6 for s in map(median, times_s)]
        yield at_least(name, rate[0], "Msymbols/s", TARGET_MSYMBOLS)
        yield figure(f"{name}_bands", rate[1], "Msymbols/s")
        for peer, theirs_s in zip(peers, times_s[2:], strict=True):
            ratio = median(a / b for a, b in zip(times_s[0], theirs_s, strict=True))
            ours_us, theirs_us = median(times_s[0]) * 1e6, median(theirs_s) * 1e6
            yield against(
                f"{name}_time_{peer.name.replace(' ', '_')}",
                ours_us,
                "us",
                peer.name,
                theirs_us,
                ratio,
                peer.limit,
            )
    for peer in peers:
        yield against(
            f"rans_{bits}bit_size_{peer.name.replace(' ', '_')}",
            size_bytes,
            "bytes",
            peer.name,
            peer.size_bytes,
            size_bytes / peer.size_bytes,
        )


def _interleaved(calls: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each call in each round, one after another, so that the machine's moods hit all alike."""
    times_s: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, mine_s in zip(calls, times_s, strict=True):
            call()  # brings its data into the cache, from which the others have driven it
            start_s = time.perf_counter()
            call()
            mine_s.append(time.perf_counter() - start_s)
    return times_s


def _ours(codes: Codes) -> Pair:
    coder, back = RansCoder(), np.empty_like(codes)
    payload = bytearray(coder.encode(codes))
    coder.copy_to(payload)
    coder.decode(payload, back)
    assert np.array_equal(back, codes)
    return lambda: coder.encode(codes), lambda: coder.decode(payload, back)


def _constriction(codes: Codes) -> Peer:
    """Its stack coder with the exact frequencies, the model built beforehand and its table not counted."""
    import constriction

    AnsCoder = constriction.stream.stack.AnsCoder
    symbols = codes.ravel().astype(np.int32)
    model = constriction.stream.model.Categorical(np.bincount(symbols) / symbols.size, perfect=False)

    def encode() -> NDArray[np.uint32]:
        coder = AnsCoder()
        coder.encode_reverse(symbols, model)
        compressed: NDArray[np.uint32] = coder.get_compressed()
        return compressed

    words = encode()
    pair = (encode, lambda: AnsCoder(words).decode(model, symbols.size))
    return Peer("constriction", pair, words.nbytes, TARGET_RATIO)


def _bytes_coders(codes: Codes, bits: int) -> Iterator[Peer]:
    """General compressors on the packed codes."""
    import lz4.frame
    import zstandard

    packed = pack(codes.ravel(), bits)
    zstd, unzstd = zstandard.ZstdCompressor(1), zstandard.ZstdDecompressor()
    squeezed = zstd.compress(packed)
    yield Peer("zstd-1", (lambda: zstd.compress(packed), lambda: unzstd.decompress(squeezed)), len(squeezed))
    framed = lz4.frame.compress(packed)
    yield Peer("lz4", (lambda: lz4.frame.compress(packed), lambda: lz4.frame.decompress(framed)), len(framed))
