"""Arrays to streams."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _kernels
from . import rate
from .decoder import Decoder
from .entropy import RansCoder
from .options import Options
from .quantize import MAX_MAGNITUDE, clip_rule
from .scratch import Scratch
from .stream import (
    CHECKSUM_BYTES,
    DTYPE_IDS,
    FACTOR_ONE,
    MAX_DIMENSIONS,
    MAX_ELEMENTS,
    Coder,
    Granularity,
    Prediction,
    Quantizer,
    StreamInfo,
    pack_header,
    unit_of,
)
from .tokens import choose, gather
from .varint import varint

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_FLOAT32 = np.dtype("<f4")
_HIGH_RATE_SLOPE = math.log(2) / 6
"""Squared steps that a bit is worth at high rate: -dD/dR = 2 ln2 D with D = 1/12."""
_MIN_GAIN = 0.9
"""A prediction must leave less of the energy than this to be worth its header and its dependence."""


@dataclass(frozen=True)
class Reference:
    """What a difference may be taken from: a decoded tensor and the checksum of its stream."""

    checksum: int
    tensor: NDArray[Any]


@dataclass
class _Source:
    """A tensor made ready: what is left to choose are levels and codes.

    Attributes:
        data: the tensor that is quantized, flat: of the stream's element type, or float32.
        level: its root mean square before prediction, of which the step is a fraction.
        reference: of `data`'s elements, float32, where codes may be parted by it.
    """

    info: StreamInfo
    data: NDArray[Any]
    level: float
    reference: NDArray[np.float32] | None


class Encoder:
    """Encodes one tensor after another into a buffer of its own, which is reused and only ever grows.

    Not for several threads at once; an encoder each is cheap.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._buffer = bytearray()
        self._parameters = bytearray()
        self._quantizer = _kernels.Quantizer()
        self._whole, self._quiet, self._loud = (RansCoder() for _ in range(3))
        self._values, self._referred, self._difference = (Scratch(np.float32) for _ in range(3))
        self._codes, self._parted, self._bytes = Scratch(np.int16), Scratch(np.float32), Scratch(np.uint8)

    def encode(self, x: ArrayLike, *, scores: ArrayLike | None = None, **options: Any) -> memoryview:
        """The stream of `x`, valid until the next call.

        Args:
            x: float32, float16, uint8 or int8, 1 to 8 dimensions, at least one element.
            scores: with `keep`, what rows are kept by: one number each; by default how much they differ.
            options: other values than this encoder's `options`, by the names of `Options`.

        Raises:
            TypeError, ValueError: an option or the tensor (NaN, infinity, over 2**126) cannot be encoded, or
                not within `max_bytes`.
        """
        return self.write(np.asarray(x), self.options.but(**options), scores=scores)

    def write(
        self,
        x: NDArray[Any],
        options: Options,
        *,
        scores: ArrayLike | None = None,
        reference: Reference | None = None,
    ) -> memoryview:
        """encode(), predicted from a reference of the same type and shape where that pays."""
        if options.max_bytes is not None:
            return self._fit(x, options, scores, reference)
        return self._assemble(self._prepare(x, options, scores, reference), options)

    # --- at most so many bytes

    def _fit(
        self, x: NDArray[Any], options: Options, scores: ArrayLike | None, reference: Reference | None
    ) -> memoryview:
        limit, free = options.max_bytes, options.but(max_bytes=None)
        assert limit is not None
        source = self._prepare(x, free, scores, reference)
        stream = self._assemble(source, free)
        if len(stream) <= limit:
            return stream
        if not free.signed:
            return self._fit_width(x, free, limit, scores, reference)
        if source.info.quantizer is Quantizer.IDENTITY:
            source = self._prepare(x, free.but(quantizer="symmetric"), scores, reference)

        def size_of(step: float) -> int:
            return len(self._assemble(source, free.but(step=step)))

        step = rate.finest_step(size_of, _step(source, free), source.data.size, limit)
        return self._assemble(source, free.but(step=step))

    def _fit_width(
        self,
        x: NDArray[Any],
        options: Options,
        limit: int,
        scores: ArrayLike | None,
        reference: Reference | None,
    ) -> memoryview:
        """The choice of least squared error among the widths that fit and, of more bits, fewer rows."""
        if options.quantizer == "auto":
            options = options.but(quantizer=options.kind.name.lower())
        decoder = Decoder(references=1)
        if reference is not None:
            decoder.remember(reference.checksum, reference.tensor)
        best, best_error, size = None, math.inf, 0
        for bits in range(options.bits, 0, -1):
            whole = options.but(bits=bits)
            tried = [whole]
            if options.keep is None and x.ndim > 1 and options.coder == "packed":
                overhead = plan(x.dtype, x.shape, whole).stream_bytes - _packed_bytes(x.shape, bits)
                overhead += 1 + -(-len(x) // 8) + 5  # of a mask and a prediction
                rows = 8 * (limit - overhead) // (bits * (x.size // len(x))) - (options.fill == "merged")
                if 0 < rows < len(x) - 1:
                    tried.append(whole.but(keep=int(rows)))
            fits = False
            for choice in tried:
                stream = self.write(x, choice, scores=scores, reference=reference)
                size = len(stream)
                if size <= limit:
                    fits |= choice is whole
                    error = float(np.square(decoder.decode(stream).astype(np.float64) - x).sum())
                    if error < best_error:
                        best, best_error = choice, error
            if fits:
                break  # fewer bits for all rows are worse
        if best is None:
            raise ValueError(f"max_bytes is {limit}; this tensor's coarsest stream has {size} bytes")
        return self.write(x, best, scores=scores, reference=reference)

    # --- the steps of encoding

    def _prepare(
        self, x: NDArray[Any], options: Options, scores: ArrayLike | None, reference: Reference | None
    ) -> _Source:
        info = plan(x.dtype, x.shape, options)
        lossless = info.quantizer is Quantizer.IDENTITY
        if lossless and options.coder == "packed":
            reference = None  # a difference of bytes has nine bits
        data = np.require(x, info.dtype, ["C", "A"])
        level, near = 0.0, None
        if reference is not None or (options.signed and not lossless):
            values = data if info.dtype == _FLOAT32 else self._values.copy(data).reshape(x.shape)
            prediction, level, near = self._predict(info, values.reshape(-1), reference)
            if prediction is not None:
                quantizer = Quantizer.SYMMETRIC if lossless else info.quantizer
                info = replace(info, quantizer=quantizer, prediction=prediction)
                data = self._difference.take(x.size).reshape(x.shape)
            elif not lossless and options.signed:
                data = values
        mask = choose(data, options.keep, options.fill, scores)
        if mask is not None:
            info, data, near = replace(info, mask=mask), gather(data, mask), None
        return _Source(info, np.ascontiguousarray(data).reshape(-1), level, near)

    def _predict(
        self, info: StreamInfo, values: NDArray[np.float32], reference: Reference | None
    ) -> tuple[Prediction | None, float, NDArray[np.float32] | None]:
        """(prediction, root mean square of the values, reference); the difference is left in its scratch."""
        if reference is None:
            return None, math.sqrt(_kernels.products(values, values)[0] / values.size), None
        tensor = reference.tensor
        if tensor.shape != info.shape or tensor.dtype != info.dtype:
            raise ValueError(
                f"the reference is {tensor.dtype} {tensor.shape}, the tensor {info.dtype} {info.shape}"
            )
        near = tensor.reshape(-1) if tensor.dtype == _FLOAT32 else self._referred.copy(tensor)
        own, common, other = _kernels.products(values, near)
        level = math.sqrt(own / values.size)
        whole = info.quantizer is Quantizer.IDENTITY
        factor = FACTOR_ONE if whole else round(FACTOR_ONE * common / other) if other > 0 else 0
        share = min(max(factor, 0), FACTOR_ONE) / FACTOR_ONE
        left = own - 2 * share * common + share * share * other
        # `own` bounds every element of the difference, which must not overflow; so NaN and infinity end here.
        if share == 0 or not left < _MIN_GAIN * own or own > MAX_MAGNITUDE**2:
            return None, level, None
        _kernels.difference(values, near, share, self._difference.take(values.size))
        return Prediction(reference.checksum, int(share * FACTOR_ONE)), level, near

    def _assemble(self, source: _Source, options: Options) -> memoryview:
        info = source.info
        if len(self._parameters) < info.parameter_bytes:
            self._parameters = bytearray(info.parameter_bytes)
        parameters = memoryview(self._parameters)[: info.parameter_bytes]
        if info.quantizer is not Quantizer.IDENTITY:
            self._load(source, options, parameters)
        if info.coder is Coder.RANS:
            info = self._entropy_code(source, options, parameters)
        head = pack_header(info)
        payload_at = len(head) + len(parameters)
        end = payload_at + info.payload_bytes
        if len(self._buffer) < end + CHECKSUM_BYTES:
            self._buffer = bytearray(end + CHECKSUM_BYTES)
        stream = memoryview(self._buffer)[: end + CHECKSUM_BYTES]
        stream[: len(head)] = head
        stream[len(head) : payload_at] = parameters
        payload = stream[payload_at:end]
        if info.coder is Coder.RANS:
            self._copy_coded(info, payload)
        elif info.quantizer is Quantizer.IDENTITY:
            payload[:] = source.data.view(np.uint8).data
        else:
            data, dtype = source.data.view(np.uint8), DTYPE_IDS[source.data.dtype]
            self._quantizer.encode(data, dtype, info.inner, payload, _seed(options))
        struct.pack_into("<I", stream, end, _kernels.crc32c(stream[:end]))
        return stream

    def _load(self, source: _Source, options: Options, parameters: memoryview) -> None:
        """Chooses the levels, writes the parameters and loads them."""
        info = source.info
        step = options.step
        if info.signed and info.granularity is Granularity.TENSOR:
            step = _step(source, options) or None
        rule = clip_rule(options.clip, info.quantizer, info.bits, step)
        self._quantizer.choose(
            source.data.view(np.uint8),
            DTYPE_IDS[source.data.dtype],
            info.inner,
            info.parameter_sets,
            info.quantizer,
            info.bits,
            *rule,
            parameters,
        )
        wrong = self._quantizer.load(
            parameters, info.parameter_sets, info.quantizer, info.bits, wide=info.signed
        )
        if wrong >= 0:
            raise ValueError(f"parameter set {wrong} overflows float32; scale the tensor down")

    def _entropy_code(self, source: _Source, options: Options, parameters: memoryview) -> StreamInfo:
        """Codes and payload, which is left in the coders; gives the header with its size."""
        info, data = source.info, source.data
        if not -len(info.shape) <= options.axis < len(info.shape):
            raise ValueError(f"axis is {options.axis}; the tensor has {len(info.shape)} dimensions")
        if not info.signed:
            codes: NDArray[Any] = data.view(np.uint8)
            if info.quantizer is not Quantizer.IDENTITY:
                codes = self._bytes.take(data.size)
                self._quantizer.codes(
                    data.view(np.uint8), DTYPE_IDS[data.dtype], info.inner, codes, _seed(options)
                )
            return replace(
                info, entropy_bytes=self._whole.encode(codes.reshape(info.coded_shape), options.axis)
            )
        codes = self._codes.take(data.size)
        if info.granularity is not Granularity.TENSOR:
            self._quantizer.indices(data.view(np.uint8), DTYPE_IDS[data.dtype], info.inner, codes)
            return replace(
                info, entropy_bytes=self._whole.encode(codes.reshape(info.coded_shape), options.axis)
            )
        unit = unit_of(parameters)
        inverse = 1 / float(unit) if unit else 0.0
        lossless = info.prediction is not None and info.dtype.kind != "f" and info.bits == 8
        rdo = 0.0 if lossless else options.rdo
        axis = options.axis % len(info.shape)
        outer, size = math.prod(info.coded_shape[:axis]), info.coded_shape[axis]
        error = _kernels.round_by_cost(data, outer, size, data.size // (outer * size), inverse, rdo, codes)
        whole = self._whole.encode(codes.reshape(info.coded_shape), options.axis)
        if source.reference is not None and info.prediction is not None:
            parted = self._parted.take(data.size)
            quiet = _kernels.part(data, source.reference, np.float32(0.5) * unit, parted)
            if 0 < quiet < data.size:
                first = self._encode_part(self._quiet, parted[:quiet], inverse, rdo)
                second = self._encode_part(self._loud, parted[quiet:], inverse, rdo)
                parts = len(varint(first[0])) + first[0] + second[0]
                worth = 8 * _HIGH_RATE_SLOPE * (rdo or 1e9)
                if first[1] + second[1] + worth * parts < error + worth * whole:
                    self._quiet_bytes = first[0]
                    return replace(
                        info, entropy_bytes=parts, prediction=replace(info.prediction, parted=True)
                    )
        return replace(info, entropy_bytes=whole)

    def _encode_part(
        self, coder: RansCoder, values: NDArray[np.float32], inverse: float, rdo: float
    ) -> tuple[int, float]:
        """(bytes, squared error in squared steps)."""
        codes = self._codes.take(values.size)
        error = _kernels.round_by_cost(values, 1, values.size, 1, inverse, rdo, codes)
        return coder.encode(codes), error

    def _copy_coded(self, info: StreamInfo, payload: memoryview) -> None:
        if info.prediction is None or not info.prediction.parted:
            self._whole.copy_to(payload)
            return
        head = varint(self._quiet_bytes)
        payload[: len(head)] = head
        self._quiet.copy_to(payload[len(head) : len(head) + self._quiet_bytes])
        self._loud.copy_to(payload[len(head) + self._quiet_bytes :])


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


def _step(source: _Source, options: Options) -> float:
    """Between the levels of symmetric codes that no width bounds; 0 where all is zero."""
    if options.step is not None:
        return options.step
    info = source.info
    if info.prediction is not None and info.dtype.kind != "f" and info.bits == 8:
        return 1.0  # as without prediction: no loss
    return min(8 * source.level / (1 << info.bits), MAX_MAGNITUDE)


def _packed_bytes(shape: tuple[int, ...], bits: int) -> int:
    return (math.prod(shape) * bits + 7) // 8


def _seed(options: Options) -> int | None:
    return options.seed if options.rounding == "stochastic" else None


def encode(x: ArrayLike, *, scores: ArrayLike | None = None, **options: Any) -> bytes:
    """The stream of `x` as bytes of its own; see Encoder.encode."""
    return bytes(Encoder().encode(x, scores=scores, **options))
