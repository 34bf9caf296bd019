"""Streams to arrays. The bytes are a stranger's: all is checked before memory is taken or a kernel runs."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _kernels
from .entropy import RansCoder
from .errors import CorruptError, MissingReferenceError, TruncatedError
from .prediction import FACTOR_ONE, SPATIAL_ONE, WEIGHT_ONE
from .predictor import Filtering
from .scratch import Scratch
from .stream import (
    CHECKSUM_BYTES,
    DTYPE_IDS,
    Coder,
    Limits,
    Quantizer,
    StreamInfo,
    check_frame,
    parse_header,
    stored_checksum,
    unit_of,
)
from .tokens import scatter
from .varint import read_varint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Buffer = bytes | bytearray | memoryview | np.ndarray | Sequence[int]

REFERENCES = 8
"""Decoded tensors that a receiver of inter-frame streams keeps: how far back a stream may refer."""
_FLOAT32 = np.dtype("<f4")
_FLOAT16_MAX = 65504.0


class Decoder:
    """Decodes streams within `limits`. Not for several threads at once; a decoder each is cheap.

    Args:
        references: how many of the last decoded tensors it keeps, so that streams may be differences from
            them; 8 is what encoders count on (`REFERENCES`). 0: only streams that stand by themselves.
    """

    def __init__(self, limits: Limits | None = None, references: int = 0) -> None:
        self.limits = limits or Limits()
        self._most = references
        self._references: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._quantizer = _kernels.Quantizer()
        self._coder = RansCoder()
        self._codes, self._parted, self._bytes = Scratch(np.int16), Scratch(np.int16), Scratch(np.uint8)
        self._values, self._rows = Scratch(np.float32), Scratch(np.float32)
        self._filtering = Filtering()
        self._referred, self._second, self._filtered = (Scratch(np.float32) for _ in range(3))

    def decode(self, stream: Buffer, out: np.ndarray | None = None) -> np.ndarray:
        """The tensor as it was encoded, element type and shape; in `out` if given, else in new memory.

        Raises:
            BitstreamError: the stream is truncated, corrupt, of an unknown kind or over the limits, or
                (MissingReferenceError) a difference from a tensor that is not held.
            ValueError: `out` is not of the stream's element type and shape, or not contiguous and writable.
        """
        buffer = _bytes_of(stream)
        check_frame(buffer, self.limits)
        end = len(buffer) - CHECKSUM_BYTES
        stored, computed = stored_checksum(buffer), _kernels.crc32c(buffer[:end])
        if stored != computed:
            raise CorruptError(f"the stream's checksum is 0x{stored:08x}; its bytes give 0x{computed:08x}")
        info = parse_header(buffer, self.limits)
        references = self._references_of(info)
        payload_at = end - info.payload_bytes
        parameters = buffer[payload_at - info.parameter_bytes : payload_at]
        if info.quantizer is not Quantizer.IDENTITY:
            self._load(info, parameters)
        out = _output(info, out)
        payload = buffer[payload_at:end]
        if info.mask is None and info.prediction is None:
            self._read(info, payload, out.dtype, out.reshape(-1).view(np.uint8), None, 0.0)
        else:
            self._rebuild(
                info, payload, references, float(unit_of(parameters)) / 2 if parameters else 0.0, out
            )
        if self._most:
            self.remember(stored, out)
        return out

    def remember(self, checksum: int, tensor: np.ndarray) -> None:
        """Keeps a copy of a decoded tensor for streams that refer to it; the oldest gives way."""
        kept = self._references.pop(checksum, None)
        if kept is None and len(self._references) >= self._most:
            kept = self._references.popitem(last=False)[1]
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            kept = np.empty(tensor.shape, tensor.dtype)
        np.copyto(kept, tensor)
        self._references[checksum] = kept

    def reference(self, checksum: int) -> np.ndarray | None:
        """The decoded tensor of the stream with that checksum, if it is held. Not to be written to."""
        return self._references.get(checksum)

    def forget(self) -> None:
        """Drops all references."""
        self._references.clear()

    # --- the steps of decoding

    def _references_of(self, info: StreamInfo) -> list[NDArray[Any]]:
        references = []
        for checksum in info.prediction.references if info.prediction else ():
            found = self._references.get(checksum)
            if found is None:
                raise MissingReferenceError(checksum, len(self._references))
            if found.shape != info.shape or found.dtype != info.dtype:
                raise CorruptError(
                    f"the stream holds {info.dtype} {info.shape}, its reference {found.dtype} {found.shape}"
                )
            references.append(found)
        return references

    def _load(self, info: StreamInfo, parameters: memoryview) -> None:
        exponent = int.from_bytes(parameters[:1], "little", signed=True)
        if not -100 <= exponent <= 111:
            raise CorruptError(f"the exponent is {exponent}; -100 to 111 are possible")
        wrong = self._quantizer.load(
            parameters, info.parameter_sets, info.quantizer, info.bits, wide=info.signed
        )
        if wrong >= 0:
            size = (len(parameters) - 1) // info.parameter_sets
            words = np.frombuffer(parameters, "<i2", size // 2, 1 + size * wrong)
            zero = f", zero {words[1]}" if len(words) > 1 else ""
            raise CorruptError(
                f"parameter set {wrong} is not valid: unit {words[:1].view('<f2')[0]} * 2**{exponent}{zero}"
            )

    def _read(
        self,
        info: StreamInfo,
        payload: memoryview,
        dtype: np.dtype[Any],
        out: NDArray[np.uint8],
        parted_by: NDArray[np.float32] | None,
        threshold: float,
    ) -> None:
        """The values that the payload stands for, into the bytes of `out`, elements of `dtype`."""
        identity, kind = info.quantizer is Quantizer.IDENTITY, DTYPE_IDS[dtype]
        if info.coder is Coder.PACKED:
            if identity:
                out[:] = payload
            elif not self._quantizer.decode(payload, kind, info.inner, out):
                raise CorruptError("unused bits at the end of the payload are set")
        elif identity:
            self._coder.decode(payload, out.reshape(info.coded_shape))
        elif info.signed:
            codes = self._codes.take(info.coded_elements)
            if parted_by is None:
                self._coder.decode(payload, codes.reshape(info.coded_shape))
            else:
                self._join(payload, parted_by, threshold, codes)
            self._quantizer.index_values(codes, kind, info.inner, out)
        else:
            small = self._bytes.take(info.coded_elements)
            self._coder.decode(payload, small.reshape(info.coded_shape))
            if int(small.max()) >> info.bits:
                raise CorruptError(f"a code of {small.max()} with {info.bits} bits")
            self._quantizer.values(small, kind, info.inner, out)

    def _join(
        self, payload: memoryview, near: NDArray[np.float32], threshold: float, codes: NDArray[np.int16]
    ) -> None:
        quiet = _kernels.count_quiet(near, threshold)
        if not 0 < quiet < near.size:
            raise CorruptError(f"codes are parted, but {quiet} of {near.size} have a small reference")
        size, at = read_varint(payload, 0, len(payload), "the size of the first part")
        if at + size >= len(payload):
            raise TruncatedError("the stream ends within the first part of its codes")
        parted = self._parted.take(near.size)
        self._coder.decode(payload[at : at + size], parted[:quiet])
        self._coder.decode(payload[at + size :], parted[quiet:])
        _kernels.join(parted, near, threshold, codes)

    def _rebuild(
        self,
        info: StreamInfo,
        payload: memoryview,
        references: Sequence[NDArray[Any]],
        threshold: float,
        out: NDArray[Any],
    ) -> None:
        """A tensor with dropped rows or one that is a difference: in binary32, then of the element type."""
        prediction, near = info.prediction, self._predict(info, references)
        floats = out.reshape(-1) if out.dtype == _FLOAT32 else self._values.take(out.size)
        rows = floats if info.mask is None else self._rows.take(info.coded_elements)
        if info.quantizer is Quantizer.IDENTITY:
            small = self._bytes.take(info.coded_elements)
            self._read(info, payload, info.dtype, small, None, 0.0)
            np.copyto(rows, small.view(info.dtype))
        else:
            parted = near if prediction is not None and prediction.parted else None
            self._read(info, payload, _FLOAT32, rows.view(np.uint8), parted, threshold)
        if info.mask is not None:
            scatter(rows.reshape(info.coded_shape), info.mask, floats.reshape(info.shape))
        if near is not None and prediction is not None:
            if prediction.filter is not None:
                grid = self._filtering.grid(info.shape, prediction.filter.axis)
                grid.restore(floats, prediction.filter.spatial / SPATIAL_ONE)
            _kernels.add_prediction(floats, near, prediction.factor / FACTOR_ONE)
        if out.dtype != _FLOAT32:
            _convert(floats.reshape(info.shape), out)

    def _predict(self, info: StreamInfo, references: Sequence[NDArray[Any]]) -> NDArray[np.float32] | None:
        """The reference in binary32, or what the filter makes of both."""
        prediction = info.prediction
        if prediction is None:
            return None
        near, *others = (
            tensor.reshape(-1) if tensor.dtype == _FLOAT32 else scratch.copy(tensor).reshape(-1)
            for tensor, scratch in zip(references, (self._referred, self._second), strict=False)
        )
        chosen = prediction.filter
        if chosen is None:
            return near
        filtered, grid = self._filtered.take(near.size), self._filtering.grid(info.shape, chosen.axis)
        weights = [weight / WEIGHT_ONE for weight in (*chosen.weights, *[chosen.second_weight] * len(others))]
        grid.filter(near, others[0] if others else None, weights, filtered)
        return filtered


def _convert(values: NDArray[np.float32], out: NDArray[Any]) -> None:
    """To the element type: nearest, ties to even, saturating."""
    if out.dtype.kind == "f":
        np.copyto(out, np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX), casting="same_kind")
    else:
        ends = np.iinfo(out.dtype)
        np.copyto(out, np.clip(np.rint(values), ends.min, ends.max), casting="unsafe")


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
