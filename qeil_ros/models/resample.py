"""Which source samples make which output sample: the tables that the image kernel works from. Pure numpy.

`window` (first, count) asks for some of the output samples only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHT_BITS = 22
"""Fractional bits of filter weights: 8-bit values times such weights still sum within 32 bits."""

PairTaps = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
FilterTaps = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
Window = tuple[int, int]


def nearest(source: int, target: int, window: Window | None = None) -> PairTaps:
    """The sample under the output sample's left edge, as OpenCV's INTER_NEAREST rounds it."""
    wanted = _wanted(target, window)
    first = np.minimum(np.floor(wanted * (1.0 / (target / source))), source - 1).astype(np.int32)
    return first, first, np.zeros(len(wanted), np.float32)


def bilinear(source: int, target: int, window: Window | None = None) -> PairTaps:
    """The two samples around each half-pixel centre and the second one's weight (OpenCV's INTER_LINEAR)."""
    position = (_wanted(target, window) + 0.5) * (source / target) - 0.5
    first = np.floor(position)
    weight = np.where((first < 0) | (first >= source - 1), 0.0, position - first)
    first = np.clip(first, 0, source - 1)
    second = np.minimum(first + 1, source - 1)
    return first.astype(np.int32), second.astype(np.int32), weight.astype(np.float32)


def antialiased(source: int, target: int, kernel: str, window: Window | None = None) -> FilterTaps:
    """A filter that widens as the image shrinks, as Pillow's BILINEAR and BICUBIC do.

    Returns:
        start [n], count [n], weights [n, widest] in fixed point; those past the count are 0.
    """
    function, support = _KERNELS[kernel]
    scale = source / target
    stretch = max(scale, 1.0)
    reach = support * stretch
    widest = int(np.ceil(reach)) * 2 + 1
    centre = (_wanted(target, window) + 0.5) * scale
    start = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + reach + 0.5).astype(np.int64), source) - start
    taps = np.arange(widest)
    distance = (taps[None, :] + start[:, None] - centre[:, None] + 0.5) * (1.0 / stretch)
    weights = np.where(taps[None, :] < count[:, None], function(distance), 0.0)
    total = np.zeros(len(centre))
    for tap in range(widest):  # in this order, so that the last bit is the same everywhere
        total += weights[:, tap]
    weights /= np.where(total == 0, 1.0, total)[:, None]
    fixed = np.trunc(weights * (1 << WEIGHT_BITS) + np.copysign(0.5, weights))
    return start.astype(np.int32), count.astype(np.int32), np.ascontiguousarray(fixed, np.int32)


def needed(taps: Any, filtered: bool) -> tuple[int, int, Any]:
    """(first, count) of the source samples that the taps touch, and the taps counted from that first one."""
    first, second, weights = taps
    low = int(first.min())
    high = int((first + second).max()) if filtered else int(second.max()) + 1
    return low, high - low, (first - low, second if filtered else second - low, weights)


def _wanted(target: int, window: Window | None) -> NDArray[np.int64]:
    first, count = window or (0, target)
    return np.arange(first, first + count)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution with a = -1/2."""
    a, x = -0.5, np.abs(x)
    inner = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    outer = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


_KERNELS = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}
