"""What an encoder is asked for, checked and turned into a header: widths, granularity, clipping."""

from __future__ import annotations

import math
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
Clip = Literal["auto", "range", "mse"] | tuple[float, float]

MSE_BITS = 4
"""Up to this width `auto` clips by squared error: there the full range wastes most levels on rare values."""
MAX_MAGNITUDE = 2.0**126


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
