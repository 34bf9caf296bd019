"""Streams to arrays. The bytes are a stranger's: all is checked before memory is taken or a kernel runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _kernels
from .errors import CorruptError
from .stream import (
    CHECKSUM_BYTES,
    DTYPE_IDS,
    Limits,
    Quantizer,
    StreamInfo,
    check_frame,
    parse_header,
    stored_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    Buffer = bytes | bytearray | memoryview | np.ndarray | Sequence[int]


class Decoder:
    """Decodes streams within `limits`. Not for several threads at once; a decoder each is cheap."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._uniform = _kernels.Uniform()

    def decode(self, stream: Buffer, out: np.ndarray | None = None) -> np.ndarray:
        """The tensor as it was encoded, element type and shape; in `out` if given, else in new memory.

        Raises:
            BitstreamError: the stream is truncated, corrupt, of an unknown kind or over the limits.
            ValueError: `out` is not of the stream's element type and shape, or not contiguous and writable.
        """
        buffer = _bytes_of(stream)
        check_frame(buffer, self.limits)
        end = len(buffer) - CHECKSUM_BYTES
        stored, computed = stored_checksum(buffer), _kernels.crc32c(buffer[:end])
        if stored != computed:
            raise CorruptError(f"the stream's checksum is 0x{stored:08x}; its bytes give 0x{computed:08x}")
        info = parse_header(buffer, self.limits)
        payload_at = end - info.payload_bytes
        if info.quantizer is not Quantizer.IDENTITY:
            parameters = buffer[payload_at - info.parameter_bytes : payload_at]
            self._check_parameters(info, parameters)
        out = _output(info, out)
        data = out.reshape(-1).view(np.uint8)
        if info.quantizer is Quantizer.IDENTITY:
            data[:] = buffer[payload_at:end]
        elif not self._uniform.decode(buffer[payload_at:end], DTYPE_IDS[info.dtype], info.inner, data):
            raise CorruptError("unused bits at the end of the payload are set")
        return out

    def _check_parameters(self, info: StreamInfo, parameters: memoryview) -> None:
        exponent = int.from_bytes(parameters[:1], "little", signed=True)
        if not -100 <= exponent <= 111:
            raise CorruptError(f"the exponent is {exponent}; -100 to 111 are possible")
        wrong = self._uniform.load(parameters, info.parameter_sets, info.bits)
        if wrong >= 0:
            unit, zero = np.frombuffer(parameters[1 + 4 * wrong : 5 + 4 * wrong], np.int16)
            raise CorruptError(
                f"parameter set {wrong} is not valid: unit {unit.view(np.float16)} * 2**{exponent}, "
                f"zero {zero}"
            )


def decode(stream: Buffer, limits: Limits | None = None) -> np.ndarray:
    """The tensor in new memory; see Decoder.decode."""
    return Decoder(limits).decode(stream)


def peek(stream: Buffer, limits: Limits | None = None) -> StreamInfo:
    """What a stream holds, from its header alone: the checksum and the parameters are not checked.

    Raises BitstreamError where the header, or the stream's length, is not valid or over the limits.
    """
    buffer, limits = _bytes_of(stream), limits or Limits()
    check_frame(buffer, limits)
    return parse_header(buffer, limits)


def _bytes_of(stream: Buffer) -> memoryview:
    """A flat view, without a copy, of anything with the buffer protocol (bytes, array.array, numpy)."""
    try:
        view = memoryview(stream)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"a stream must have the buffer protocol, as bytes has; got {type(stream).__name__}"
        ) from None
    if not view.c_contiguous:
        raise TypeError("a stream must be contiguous in memory")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _output(info: StreamInfo, out: np.ndarray | None) -> np.ndarray:
    if out is None:
        return np.empty(info.shape, info.dtype)
    if out.dtype != info.dtype or out.shape != info.shape:
        raise ValueError(f"out is {out.dtype} {out.shape}; the stream holds {info.dtype} {info.shape}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError("out must be contiguous, aligned and writable")
    return out
