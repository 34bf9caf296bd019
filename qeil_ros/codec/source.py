"""What the encoder starts from: the header of a tensor, the step of its codes, the tensor made ready."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from .options import Options
from .quantize import MAX_MAGNITUDE
from .stream import DTYPE_IDS, MAX_DIMENSIONS, MAX_ELEMENTS, Granularity, Quantizer, StreamInfo

__all__ = ["Source", "exact", "nominal_step", "plan"]


@dataclass
class Source:
    """A tensor made ready: what is left to choose are levels and codes.

    Attributes:
        data: the tensor that is quantized, flat: of the stream's element type, or float32.
        step: between the levels of symmetric codes that no width bounds, where the options give none.
        near: of `data`'s elements, what codes may be parted by.
        innovation: about what is rounded, where the prediction has a filter.
    """

    info: StreamInfo
    data: NDArray[Any]
    step: float = 0.0
    near: NDArray[np.float32] | None = None
    innovation: NDArray[np.float32] | None = None


def plan(dtype: np.dtype, shape: tuple[int, ...], options: Options) -> StreamInfo:
    """The header of a tensor that is neither masked nor predicted.

    Integer tensors at 8 bits get the identity quantizer, which needs no parameters, unless another is named.
    ValueError or TypeError says what cannot be encoded.
    """
    dtype = dtype.newbyteorder("<")
    if dtype not in DTYPE_IDS:
        raise TypeError(f"a tensor of {dtype} cannot be encoded; use float32, float16, uint8 or int8")
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise ValueError(
            f"a tensor of {len(shape)} dimensions cannot be encoded; 1 to {MAX_DIMENSIONS} are possible"
        )
    if not 1 <= math.prod(shape) <= MAX_ELEMENTS:
        raise ValueError(
            f"a tensor of shape {shape} cannot be encoded; 1 to {MAX_ELEMENTS} elements are possible"
        )
    bits, kind, coder = int(options.bits), options.kind, options.coder_id
    if dtype.kind != "f" and bits == 8 and options.quantizer == "auto" and options.step is None:
        return StreamInfo(dtype, shape, 8, Quantizer.IDENTITY, coder=coder)
    if options.granularity == "channel":
        if not -len(shape) <= options.axis < len(shape):
            raise ValueError(f"axis is {options.axis}; the tensor has {len(shape)} dimensions")
        axis = options.axis % len(shape)
        return StreamInfo(dtype, shape, bits, kind, Granularity.CHANNEL, axis=axis, coder=coder)
    if options.granularity == "group":
        size = options.group_size
        return StreamInfo(dtype, shape, bits, kind, Granularity.GROUP, group_size=size, coder=coder)
    return StreamInfo(dtype, shape, bits, kind, coder=coder)


def exact(info: StreamInfo, options: Options) -> bool:
    """Whether the tensor is to be kept without loss."""
    return info.dtype.kind != "f" and info.bits == 8 and options.step is None


def nominal_step(data: NDArray[Any], values: NDArray[np.float32], bits: int) -> float:
    """That of `bits` over +-4 times the root mean square: of integers, which may lie far from zero, about
    their mean, and not below 1."""
    power = _kernels.products(values, values)[0] / values.size
    if not math.isfinite(power):
        return MAX_MAGNITUDE  # of a tensor that will be refused
    if data.dtype.kind == "f":
        return min(8 * math.sqrt(power) / (1 << bits), MAX_MAGNITUDE)
    mean = float(data.sum(dtype=np.int64)) / data.size
    return max(8 * math.sqrt(max(power - mean * mean, 0.0)) / (1 << bits), 1.0)
