"""How fast a device is: peak FLOP/s by a matrix product, memory bandwidth as STREAM measures it.

STREAM: J. D. McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers", 1995:
the best of several passes over arrays that no cache holds, bytes counted as the program names them.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from .product import Precision, Work, product

__all__ = ["Speed", "flops", "read_bandwidth", "stream"]

_LEAST_ARRAY = 16 << 20
_MOST_ARRAY = 512 << 20
_TIMES_CACHE = 4
"""STREAM's rule, here of all arrays together."""
_SHARE_OF_MEMORY = 8
_LEAST_SIDE, _MOST_SIDE, _LONG_ENOUGH_S = 512, 8192, 0.01
_INNER = 4096
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


@dataclass(frozen=True)
class Speed:
    """A speed as measured.

    Attributes:
        best: of all runs, in `unit`: what the device can do. median: what it did here and now.
        what: that was run.
    """

    best: float
    median: float
    unit: str
    what: str

    def __str__(self) -> str:
        factor, prefix = next((pair for pair in _PREFIXES if self.median >= pair[0]), (1.0, ""))
        return f"{self.what}; best of runs with a median of {self.median / factor:.3g} {prefix}{self.unit}"


def flops(
    runtime: str,
    precision: Precision = "fp32",
    *,
    threads: int = 1,
    seconds: float = 0.3,
    prepare: Callable[..., Work] = product,
) -> Speed:
    """FLOP/s of a square matrix product, large enough to take some time.

    Args:
        prepare: as `product.product`; another one is for devices that it does not know.

    Raises:
        ProductError: as `product.product`.
    """
    side = _LEAST_SIDE
    while True:
        work = prepare(runtime, (side, side, side), precision, threads)
        work()
        took_s = min(_repeated(work, 0.0))
        if took_s >= _LONG_ENOUGH_S or side == _MOST_SIDE:
            break
        side *= 2
    times = _repeated(work, seconds)
    counted = 2.0 * side**3
    return Speed(
        counted / min(times),
        counted / statistics.median(times),
        "FLOP/s",
        f"{runtime}, {precision} product of {side} x {side} matrices, {_threads(threads)}",
    )


def read_bandwidth(
    runtime: str,
    precision: Precision = "fp16",
    *,
    matrix_bytes: int = 256 << 20,
    seconds: float = 0.3,
    prepare: Callable[..., Work] = product,
) -> Speed:
    """Bytes/s at which a device reads weights: one row times a matrix that no cache of its should hold.

    Raises:
        ProductError: as `product.product`.
    """
    width = 2 if precision == "fp16" else 4
    columns = max(matrix_bytes // (width * _INNER), 1)
    work = prepare(runtime, (1, _INNER, columns), precision, 1)
    work()
    times = _repeated(work, seconds)
    size = float(_INNER * columns * width)
    what = f"{runtime}, {precision} vector times a matrix of {size / 1e6:.0f} MB"
    return Speed(size / min(times), size / statistics.median(times), "B/s", what)


def stream(
    threads: int = 1, cache_bytes: int = 0, memory_bytes: float = math.inf, seconds: float = 1.0
) -> Speed:
    """Bytes/s between the processor and its memory: the fastest of copy, add and dot product.

    Args:
        cache_bytes: of the largest caches together; the arrays are several times as large.
        memory_bytes: that are available; of these an eighth is taken at most.
        seconds: for all three together, beyond the first pass of each.
    """
    wanted = max(_TIMES_CACHE * cache_bytes / 3, _LEAST_ARRAY)
    size = int(min(wanted, _MOST_ARRAY, memory_bytes / _SHARE_OF_MEMORY / 3))
    count = max(size // 8 // threads, 1) * threads
    a, b, c = (np.full(count, value) for value in (1.0, 2.0, 0.0))
    part = count // threads
    pieces = [slice(at, at + part) for at in range(0, count, part)]
    kernels: dict[str, tuple[float, Callable[[slice], object]]] = {
        "copy": (16.0, lambda at: np.copyto(c[at], a[at])),
        "add": (24.0, lambda at: np.add(a[at], b[at], out=c[at])),
        "dot": (16.0, lambda at: np.dot(a[at], b[at])),
    }
    found: dict[str, tuple[float, float]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for name, (element_bytes, kernel) in kernels.items():
            work = partial(_all, pool, kernel, pieces)
            work()
            times = _repeated(work, seconds / len(kernels))
            moved = element_bytes * count
            found[name] = (moved / min(times), moved / statistics.median(times))
    name = max(found, key=lambda key: found[key])
    held = 3 * 8 * count
    what = f"STREAM {name}, arrays of {held / 1e6:.0f} MB, {_threads(threads)}"
    if held < 0.99 * _TIMES_CACHE * cache_bytes:
        what += f" of which caches may hold {cache_bytes / 1e6:.0f}: may be too high"
    return Speed(*found[name], "B/s", what)


def _all(pool: ThreadPoolExecutor, kernel: Callable[[slice], object], pieces: list[slice]) -> None:
    for _ in pool.map(kernel, pieces):
        pass


def _threads(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _repeated(work: Callable[[], object], seconds: float, least: int = 3) -> list[float]:
    end_s = time.monotonic() + seconds
    times: list[float] = []
    while len(times) < least or time.monotonic() < end_s:
        times.append(_timed(work))
    return times


def _timed(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s
