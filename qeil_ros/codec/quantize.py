"""What an encoder is asked for, checked: widths, granularity, clipping; and the table of what quantizes.

The quantizers themselves are `_kernels.Quantizer`: one object serves tensor after tensor, of any quantizer
(`kind`: its id) and width (`width`: its bits). `data` and `out` are a tensor's bytes; element i uses
parameter set `i // inner % count`; sizes that do not fit raise ValueError.

| call | does |
|---|---|
| `choose(data, dtype, inner, count, kind, width, *clip_rule(...), parameters)` | writes parameters |
| `load(parameters, count, kind, width, wide=False)` | checks and takes them; -1, or the index of a bad set |
| `weigh(costs, rate)` | until load(): codes of least error^2 + rate * cost (uint16 a code, in 1/256 bit) |
| `encode(data, dtype, inner, out, seed=None)` | quantizes and packs at once; a seed rounds stochastically |
| `decode(payload, dtype, inner, out)` | the inverse; False if unused bits of the payload are set |
| `codes(data, dtype, inner, out, seed=None)` | the codes, a uint8 each |
| `values(codes, dtype, inner, out)` | the inverse; ignores bits over the width |
| `indices(data, dtype, inner, out)` | int16 multiples of the step, code - 2**(width - 1), bound by no width |
| `index_values(indices, dtype, inner, out)` | the inverse; both: kind 2, 2 bits or more, load(wide=True) |
| `_kernels.parameter_bytes(kind, count)` | 1 and 4 a set with a zero (kinds 1, 5, 6), 1 and 2 a set without |
| `_kernels.quantizer_levels(kind, width)` | the integers T that the codes stand for |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .stream import (
    DTYPE_IDS,
    MAX_DIMENSIONS,
    MAX_ELEMENTS,
    MAX_GROUP_SIZE,
    MIN_GROUP_SIZE,
    Granularity,
    Quantizer,
    StreamInfo,
)

GranularityName = Literal["tensor", "channel", "group"]


@dataclass(frozen=True)
class Percentile:
    """Clip where `percent` of a set's values are kept: as many are cut at either end.

    Where the levels are symmetric about zero, it is the percentage of the magnitudes.
    """

    percent: float = 99.9

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"percent is {self.percent}; above 0 and up to 100 are possible")


Clip = Literal["auto", "range", "mse", "percentile", "exponential"] | tuple[float, float] | Percentile

MSE_BITS = 4
"""Up to this width `auto` clips uniform levels by squared error: the range wastes most on rare values."""
MAX_MAGNITUDE = 2.0**126
EVENLY_SPACED = (1, 2, 3)
"""Ids of the quantizers with a step: uniform, symmetric, sign_magnitude."""


def plan(
    x: np.ndarray, bits: int, granularity: GranularityName = "tensor", axis: int = -1, group_size: int = 64
) -> StreamInfo:
    """The header for `x`.

    Integer tensors at 8 bits get the identity quantizer, which needs no parameters, whatever the granularity.
    ValueError or TypeError says which argument is wrong and what is possible.
    """
    dtype = x.dtype.newbyteorder("<")
    if dtype not in DTYPE_IDS:
        raise TypeError(f"a tensor of {x.dtype} cannot be encoded; use float32, float16, uint8 or int8")
    if not 1 <= x.ndim <= MAX_DIMENSIONS:
        raise ValueError(
            f"a tensor of {x.ndim} dimensions cannot be encoded; 1 to {MAX_DIMENSIONS} are possible"
        )
    if not 1 <= x.size <= MAX_ELEMENTS:
        raise ValueError(
            f"a tensor of shape {x.shape} cannot be encoded; 1 to {MAX_ELEMENTS} elements are possible"
        )
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 8:
        raise ValueError(f"bits is {bits!r}; whole numbers from 1 to 8 are possible")
    if granularity not in ("tensor", "channel", "group"):
        raise ValueError(f"granularity is {granularity!r}; tensor, channel and group are possible")
    if dtype.kind != "f" and bits == 8:
        return StreamInfo(dtype, x.shape, 8, Quantizer.IDENTITY)
    if granularity == "channel":
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"axis is {axis}; the tensor has {x.ndim} dimensions")
        return StreamInfo(
            dtype, x.shape, int(bits), Quantizer.UNIFORM, Granularity.CHANNEL, axis=axis % x.ndim
        )
    if granularity == "group":
        if not MIN_GROUP_SIZE <= group_size <= MAX_GROUP_SIZE:
            raise ValueError(f"group_size is {group_size}; {MIN_GROUP_SIZE} to {MAX_GROUP_SIZE} are possible")
        return StreamInfo(
            dtype, x.shape, int(bits), Quantizer.UNIFORM, Granularity.GROUP, group_size=group_size
        )
    return StreamInfo(dtype, x.shape, int(bits), Quantizer.UNIFORM)


def clip_rule(clip: Clip, kind: int, bits: int, step: float | None = None) -> tuple[str, float, float]:
    """`rule`, `low` and `high` of the kernel's choose() for quantizer `kind`.

    "auto" minimises the squared error, except for the uniform quantizer of more than four bits, which covers
    the range, so that no value is far off. A `step` fixes the distance of evenly spaced levels instead.
    """
    if step is not None:
        if kind not in EVENLY_SPACED:
            raise ValueError(f"a step was given for quantizer {kind}, whose levels are not evenly spaced")
        if not 0 < step <= MAX_MAGNITUDE:
            raise ValueError(f"step is {step}; it must be positive, finite and at most 2**126")
        return "step", float(step), 0.0
    if isinstance(clip, Percentile):
        return "percentile", clip.percent, 0.0
    if isinstance(clip, tuple):
        if len(clip) != 2:
            raise ValueError(f"clip is {clip!r}; a pair (low, high) is possible")
        low, high = (float(end) for end in clip)
        if not (
            math.isfinite(low) and math.isfinite(high) and low < high and max(-low, high) <= MAX_MAGNITUDE
        ):
            raise ValueError(
                f"clip is ({low}, {high}); it must be finite, ascending and at most 2**126 in magnitude"
            )
        return "pair", low, high
    if clip == "auto":
        return ("range" if kind == 1 and bits > MSE_BITS else "mse"), 0.0, 0.0
    if clip == "percentile":
        return "percentile", Percentile().percent, 0.0
    if clip not in ("range", "mse", "exponential"):
        raise ValueError(
            f"clip is {clip!r}; auto, range, mse, percentile, exponential or a pair (low, high) are possible"
        )
    return clip, 0.0, 0.0


def resolve_clip(clip: Clip, bits: int) -> tuple[bool, tuple[float, float] | None]:
    """(search for the least squared error?, given ends of the range or None)."""
    if isinstance(clip, tuple):
        if len(clip) != 2:
            raise ValueError(f"clip is {clip!r}; a pair (low, high) is possible")
        low, high = (float(end) for end in clip)
        if not (
            math.isfinite(low) and math.isfinite(high) and low < high and max(-low, high) <= MAX_MAGNITUDE
        ):
            raise ValueError(
                f"clip is ({low}, {high}); it must be finite, ascending and at most 2**126 in magnitude"
            )
        return False, (low, high)
    if clip not in ("auto", "range", "mse"):
        raise ValueError(f"clip is {clip!r}; auto, range, mse or a pair (low, high) are possible")
    return clip == "mse" or (clip == "auto" and bits <= MSE_BITS), None
