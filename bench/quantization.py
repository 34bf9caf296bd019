"""Quantize and pack, unpack and dequantize, beside memcpy and numpy; tables beside np.searchsorted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qeil_ros import _kernels
from qeil_ros.codec import Encoder
from qeil_ros.codec.quantize import clip_rule

from .harness import Report, Result, against, figure, median

DESCRIPTION = "quantize and pack, unpack and dequantize, beside memcpy and numpy"

SHAPE = (197, 768)
"""A vision transformer's features: 605 kB as float32, in cache with what is made of them."""
FLOAT32, WHOLE = 1, SHAPE[0] * SHAPE[1]
UNIFORM, SYMMETRIC, TABLES = 1, 2, {"power_of_two": 4, "laplacian": 5, "gaussian": 6}
MEMCPY_LIMIT = 1.6
NUMPY_LIMITS = {2: 1 / 10, 4: 1 / 10, 8: 1 / 5}
SEARCHSORTED_LIMIT = 1 / 20

Call = Callable[[], object]
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def run(quick: bool) -> Report:
    return Report("quantization", {"shape": SHAPE, "source": "Laplacian, seed 0"}, [], results(quick))


def results(quick: bool) -> list[Result]:
    rounds = 21 if quick else 201
    x = np.random.default_rng(0).laplace(0, 1, SHAPE).astype(np.float32)
    found: list[Result] = []
    for bits in range(1, 9):
        found += _uniform(x, bits, rounds)
    for name, kind in TABLES.items():
        for bits in (2, 4, 8):
            found += _table(x, name, kind, bits, rounds)
    found += _parts(x, rounds)
    return found


def _uniform(x: Floats, bits: int, rounds: int) -> Iterator[Result]:
    """With known parameters: what the packed codes cost, each way."""
    data, copy, out = x.reshape(-1).view(np.uint8), np.empty_like(x), np.empty_like(x)
    quantizer, parameters = _loaded(data, UNIFORM, bits)
    packed = np.empty(-(-WHOLE * bits // 8), np.uint8)
    unit, zero = np.frombuffer(parameters[1:].tobytes(), np.dtype("<f2,<i2"))[0]
    step = np.float32(2.0 ** (8 - bits + int(parameters[:1].view(np.int8)[0])) * float(unit))
    first = np.float32(float(zero) * step / 2 ** (8 - bits))
    theirs = numpy_quantize(x, first, step, bits)
    calls = {
        "quantize_pack": (
            lambda: quantizer.encode(data, FLOAT32, WHOLE, packed),
            lambda: numpy_quantize(x, first, step, bits),
        ),
        "unpack_dequantize": (
            lambda: quantizer.decode(packed, FLOAT32, WHOLE, out.reshape(-1).view(np.uint8)),
            lambda: numpy_dequantize(theirs, first, step, bits),
        ),
    }
    for what, (ours, peer) in calls.items():
        mine, memcpy, numpy = _interleaved([ours, lambda: np.copyto(copy, x), peer], rounds)
        name = f"{what}_{bits}bit"
        yield _compare(name, mine, "memcpy", memcpy, MEMCPY_LIMIT)
        yield _compare(name, mine, "numpy", numpy, NUMPY_LIMITS.get(bits))


def _table(x: Floats, name: str, kind: int, bits: int, rounds: int) -> Iterator[Result]:
    """Codes a byte each, as np.searchsorted gives them (8 bytes each); and each way packed, beside memcpy."""
    data, copy, out = x.reshape(-1).view(np.uint8), np.empty_like(x), np.empty_like(x)
    quantizer, parameters = _loaded(data, kind, bits)
    codes, packed = np.empty(WHOLE, np.uint8), np.empty(-(-WHOLE * bits // 8), np.uint8)
    unit = float(parameters[1:3].view("<f2")[0]) * 2.0 ** int(parameters[:1].view(np.int8)[0])
    levels = np.unique(np.array(_kernels.quantizer_levels(kind, bits)) * unit)
    thresholds = ((levels[1:] + levels[:-1]) / 2).astype(np.float32)
    mine, theirs = _interleaved(
        [
            lambda: quantizer.codes(data, FLOAT32, WHOLE, codes),
            lambda: np.searchsorted(thresholds, x.reshape(-1)),
        ],
        rounds,
    )
    yield _compare(f"{name}_{bits}bit_codes", mine, "np.searchsorted", theirs, SEARCHSORTED_LIMIT)
    encode, decode, memcpy = _interleaved(
        [
            lambda: quantizer.encode(data, FLOAT32, WHOLE, packed),
            lambda: quantizer.decode(packed, FLOAT32, WHOLE, out.reshape(-1).view(np.uint8)),
            lambda: np.copyto(copy, x),
        ],
        rounds,
    )
    yield _compare(f"{name}_{bits}bit_quantize_pack", encode, "memcpy", memcpy)
    yield _compare(f"{name}_{bits}bit_unpack_dequantize", decode, "memcpy", memcpy)


def _parts(x: Floats, rounds: int) -> Iterator[Result]:
    """What else a frame costs: levels by each rule, whole streams, stochastic and optimised codes."""
    data, copy, codes = x.reshape(-1).view(np.uint8), np.empty_like(x), np.empty(WHOLE, np.uint8)
    parameters = np.empty(_kernels.parameter_bytes(UNIFORM, 1), np.uint8)
    chooser, encoder = _kernels.Quantizer(), Encoder()
    quantizer, _ = _loaded(data, SYMMETRIC, 8)
    weighed, _ = _loaded(data, SYMMETRIC, 8)
    weighed.weigh((np.abs(np.arange(256) - 128) * 40 + 256).astype(np.uint16), 0.1)
    calls: dict[str, Call] = {
        f"levels_{rule}_4bit": lambda rule=rule: chooser.choose(  # type: ignore[misc]
            data, FLOAT32, WHOLE, 1, UNIFORM, 4, rule, 99.9, 0.0, parameters
        )
        for rule in ("range", "mse", "exponential", "percentile")
    }
    calls["stochastic_codes_8bit"] = lambda: quantizer.codes(data, FLOAT32, WHOLE, codes, 1)
    calls["rate_distortion_codes_8bit"] = lambda: weighed.codes(data, FLOAT32, WHOLE, codes)
    calls["whole_stream_4bit_range"] = lambda: encoder.encode(x, bits=4, clip="range")
    calls["whole_stream_4bit_mse"] = lambda: encoder.encode(x, bits=4, clip="mse")
    *times, memcpy = _interleaved([*calls.values(), lambda: np.copyto(copy, x)], rounds)
    for name, mine in zip(calls, times, strict=True):
        yield _compare(name, mine, "memcpy", memcpy)
    yield figure("memcpy_605kB", median(memcpy) * 1e6, "us")


def _loaded(data: Bytes, kind: int, bits: int) -> tuple[_kernels.Quantizer, Bytes]:
    quantizer, parameters = _kernels.Quantizer(), np.empty(_kernels.parameter_bytes(kind, 1), np.uint8)
    quantizer.choose(data, FLOAT32, WHOLE, 1, kind, bits, *clip_rule("mse", kind, bits), parameters)
    if quantizer.load(parameters, 1, kind, bits) != -1:
        raise ArithmeticError(f"quantizer {kind} at {bits} bits chose levels that it does not accept")
    return quantizer, parameters


def _compare(
    name: str, mine: Sequence[float], peer: str, theirs: Sequence[float], limit: float | None = None
) -> Result:
    ratio = median(a / b for a, b in zip(mine, theirs, strict=True))
    return against(f"{name}_to_{peer}", median(mine) * 1e6, "us", peer, median(theirs) * 1e6, ratio, limit)


def _interleaved(calls: Sequence[Call], rounds: int) -> list[list[float]]:
    """Seconds of every call in every round, the fastest of three: the machine's moods hit all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, seconds in zip(calls, times, strict=True):
            best = float("inf")
            for _ in range(3):
                start = time.perf_counter()
                call()
                best = min(best, time.perf_counter() - start)
            seconds.append(best)
    return times


def numpy_quantize(x: Floats, first: np.float32, step: np.float32, bits: int) -> Bytes:
    """What one would write: scale, round, clip; then shifts where codes fill bytes, else bits."""
    codes = np.clip(np.rint((x.reshape(-1) - first) * (1 / step)), 0, (1 << bits) - 1).astype(np.uint8)
    if bits == 8:
        return codes
    if 8 % bits:
        return np.packbits((codes[:, None] >> np.arange(bits, dtype=np.uint8)) & 1, bitorder="little")
    if bits == 1:
        return np.packbits(codes, bitorder="little")
    each = 8 // bits
    codes = np.pad(codes, (0, -codes.size % each))
    packed = codes[::each].copy()
    for k in range(1, each):
        packed |= codes[k::each] << np.uint8(k * bits)
    return packed


def numpy_dequantize(packed: Bytes, first: np.float32, step: np.float32, bits: int) -> Floats:
    if bits == 8:
        codes = packed
    elif 8 % bits:
        flags = np.unpackbits(packed, count=WHOLE * bits, bitorder="little").reshape(-1, bits)
        codes = (flags << np.arange(bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)
    elif bits == 1:
        codes = np.unpackbits(packed, count=WHOLE, bitorder="little")
    else:
        each = 8 // bits
        codes = np.empty(packed.size * each, np.uint8)
        for k in range(each):
            codes[k::each] = (packed >> np.uint8(k * bits)) & np.uint8((1 << bits) - 1)
        codes = codes[:WHOLE]
    values: Floats = codes * step + first
    return values.reshape(SHAPE)
