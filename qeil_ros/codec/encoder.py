"""Arrays to streams."""

from __future__ import annotations

import struct

import numpy as np

from .. import _kernels
from .quantize import Clip, GranularityName, plan, resolve_clip
from .stream import CHECKSUM_BYTES, DTYPE_IDS, Quantizer, pack_header


class Encoder:
    """Encodes one tensor after another into a buffer of its own, which is reused and only ever grows.

    Not for several threads at once; an encoder each is cheap.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._uniform = _kernels.Uniform()

    def encode(
        self,
        x: np.ndarray,
        *,
        bits: int = 8,
        granularity: GranularityName = "tensor",
        axis: int = -1,
        group_size: int = 64,
        clip: Clip = "auto",
    ) -> memoryview:
        """The stream of `x`, valid until the next call.

        Args:
            x: float32, float16, uint8 or int8, 1 to 8 dimensions, at least one element.
            bits: per element, 1 to 8. An integer tensor at 8 bits is kept without loss.
            granularity: "tensor", "channel" (along `axis`) or "group" (of `group_size` elements in C order):
                what shares a scale.
            clip: "range" covers every value within half a step; "mse" minimises the squared error and lets
                rare values saturate; "auto" takes "mse" up to 4 bits and "range" above; a pair (low, high) is
                the range to cover.

        Raises:
            TypeError, ValueError: an argument or the tensor (NaN, infinity, over 2**126) cannot be encoded.
        """
        x = np.asarray(x)
        info = plan(x, bits, granularity, axis, group_size)
        search, ends = resolve_clip(clip, info.bits)
        data = np.require(x, info.dtype, ["C", "A"]).reshape(-1).view(np.uint8)

        head = pack_header(info)
        parameters_at = len(head)
        payload_at = parameters_at + info.parameter_bytes
        end = payload_at + info.payload_bytes
        size = end + CHECKSUM_BYTES
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        stream = memoryview(self._buffer)[:size]
        stream[:parameters_at] = head
        if info.quantizer is Quantizer.IDENTITY:
            stream[payload_at:end] = data.data
        else:
            dtype, inner, count = DTYPE_IDS[info.dtype], info.inner, info.parameter_sets
            parameters = stream[parameters_at:payload_at]
            self._uniform.choose(data, dtype, inner, count, info.bits, search, ends, parameters)
            wrong = self._uniform.load(parameters, count, info.bits)
            if wrong >= 0:
                raise ValueError(f"parameter set {wrong} overflows float32; scale the tensor down")
            self._uniform.encode(data, dtype, inner, stream[payload_at:end])
        struct.pack_into("<I", stream, end, _kernels.crc32c(stream[:end]))
        return stream


def encode(
    x: np.ndarray,
    *,
    bits: int = 8,
    granularity: GranularityName = "tensor",
    axis: int = -1,
    group_size: int = 64,
    clip: Clip = "auto",
) -> bytes:
    """The stream of `x` as bytes of its own; see Encoder.encode."""
    return bytes(
        Encoder().encode(x, bits=bits, granularity=granularity, axis=axis, group_size=group_size, clip=clip)
    )
