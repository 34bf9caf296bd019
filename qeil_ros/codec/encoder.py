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
from .prediction import SPATIAL_ONE
from .predictor import Predictor, Reference
from .quantize import clip_rule
from .scratch import Scratch
from .source import Source, exact, nominal_step, plan
from .stream import (
    CHECKSUM_BYTES,
    DTYPE_IDS,
    Coder,
    Granularity,
    Quantizer,
    StreamInfo,
    pack_header,
    unit_of,
)
from .tokens import choose, gather
from .varint import varint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_FLOAT32 = np.dtype("<f4")
_HIGH_RATE_SLOPE = math.log(2) / 6
"""Squared steps that a bit is worth at high rate: -dD/dR = 2 ln2 D with D = 1/12."""


@dataclass(frozen=True)
class _Rounding:
    """To multiples of `unit`, whose inverse is that in binary64, where `rdo` says what bits are worth."""

    inverse: float
    unit: np.float32
    rdo: float


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
        self._predictor = Predictor()
        self._values, self._parted, self._offsets, self._restored = (Scratch(np.float32) for _ in range(4))
        self._codes, self._split, self._bytes = Scratch(np.int16), Scratch(np.int16), Scratch(np.uint8)

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
        references: Sequence[Reference] = (),
    ) -> memoryview:
        """encode(), predicted from references of the same type and shape, newest first, where that pays."""
        if options.max_bytes is not None:
            return self._fit(x, options, scores, references)
        return self._assemble(self._prepare(x, options, scores, references), options)

    # --- at most so many bytes

    def _fit(
        self, x: NDArray[Any], options: Options, scores: ArrayLike | None, references: Sequence[Reference]
    ) -> memoryview:
        limit, free = options.max_bytes, options.but(max_bytes=None)
        assert limit is not None
        source = self._prepare(x, free, scores, references)
        stream = self._assemble(source, free)
        if len(stream) <= limit:
            return stream
        if not free.signed:
            return self._fit_width(x, free, limit, scores, references)
        if source.info.quantizer is Quantizer.IDENTITY:
            source = self._prepare(x, free.but(quantizer="symmetric"), scores, references)

        def size_of(step: float) -> int:
            return len(self._assemble(source, free.but(step=step)))

        step = rate.finest_step(size_of, options.step or source.step, source.data.size, limit)
        return self._assemble(source, free.but(step=step))

    def _fit_width(
        self,
        x: NDArray[Any],
        options: Options,
        limit: int,
        scores: ArrayLike | None,
        references: Sequence[Reference],
    ) -> memoryview:
        """The choice of least squared error among the widths that fit and, of more bits, fewer rows."""
        if options.quantizer == "auto":
            options = options.but(quantizer=options.kind.name.lower())
        decoder = Decoder(references=max(len(references), 1))
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
                stream = self.write(x, choice, scores=scores, references=references)
                size = len(stream)
                if size <= limit:
                    fits |= choice is whole
                    for reference in references:
                        decoder.remember(reference.checksum, reference.tensor)
                    error = float(np.square(decoder.decode(stream).astype(np.float64) - x).sum())
                    if error < best_error:
                        best, best_error = choice, error
            if fits:
                break  # fewer bits for all rows are worse
        if best is None:
            raise ValueError(f"max_bytes is {limit}; this tensor's coarsest stream has {size} bytes")
        return self.write(x, best, scores=scores, references=references)

    # --- the steps of encoding

    def _prepare(
        self, x: NDArray[Any], options: Options, scores: ArrayLike | None, references: Sequence[Reference]
    ) -> Source:
        info = plan(x.dtype, x.shape, options)
        lossless = info.quantizer is Quantizer.IDENTITY
        if lossless and options.coder == "packed":
            references = ()  # a difference of bytes has nine bits
        data = np.require(x, info.dtype, ["C", "A"])
        source = Source(info, data)
        if references or (options.signed and not lossless):
            values = data if info.dtype == _FLOAT32 else self._values.copy(data).reshape(x.shape)
            source = self._predicted(info, data, values.reshape(-1), options, references)
            if source.info.prediction is None and not lossless and options.signed:
                source.data = values
        mask = choose(source.data.reshape(x.shape), options.keep, options.fill, scores)
        if mask is not None:
            source.data, source.near = gather(source.data.reshape(x.shape), mask), None
            source.info = replace(source.info, mask=mask)
        source.data = np.ascontiguousarray(source.data).reshape(-1)
        return source

    def _predicted(
        self,
        info: StreamInfo,
        data: NDArray[Any],
        values: NDArray[np.float32],
        options: Options,
        references: Sequence[Reference],
    ) -> Source:
        """The tensor as it is, or where that pays its difference from the references."""
        lossless = info.quantizer is Quantizer.IDENTITY
        whole = exact(info, options)
        free = info.signed and info.granularity is Granularity.TENSOR and options.keep is None
        step = 1.0 if whole else nominal_step(data, values, info.bits)
        predicted = self._predictor.predict(
            info,
            values,
            references,
            channels=options.axis,
            exact=whole,
            step=(options.step or step) if free and not whole else None,
        )
        if predicted.prediction is None or predicted.difference is None:
            return Source(info, data, step)
        quantizer = Quantizer.SYMMETRIC if lossless else info.quantizer
        info = replace(info, quantizer=quantizer, prediction=predicted.prediction)
        return Source(info, predicted.difference, step, predicted.near, predicted.innovation)

    def _assemble(self, source: Source, options: Options) -> memoryview:
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

    def _load(self, source: Source, options: Options, parameters: memoryview) -> None:
        """Chooses the levels, writes the parameters and loads them."""
        info = source.info
        step = options.step
        if info.signed and info.granularity is Granularity.TENSOR:
            step = options.step or source.step or None
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

    def _entropy_code(self, source: Source, options: Options, parameters: memoryview) -> StreamInfo:
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
        rdo = 0.0 if info.prediction is not None and exact(info, options) else options.rdo
        axis = options.axis % len(info.shape)
        outer, size = math.prod(info.coded_shape[:axis]), info.coded_shape[axis]
        runs = outer, size, data.size // (outer * size)
        rounding = _Rounding(inverse, unit, rdo)
        if source.innovation is None:
            error = _kernels.round_by_cost(data, *runs, inverse, rdo, codes)
        else:
            offsets = self._offsets.take(data.size)
            _kernels.run_offsets(source.innovation, *runs, inverse, rdo, offsets)
            error = self._follow(source, rounding, offsets, codes)
        whole = self._whole.encode(codes.reshape(info.coded_shape), options.axis)
        if source.near is not None and info.prediction is not None:
            parts, parts_error = self._encode_parts(source, source.near, rounding)
            worth = 8 * _HIGH_RATE_SLOPE * (rdo or 1e9)
            if parts and parts_error + worth * parts < error + worth * whole:
                return replace(info, entropy_bytes=parts, prediction=replace(info.prediction, parted=True))
        return replace(info, entropy_bytes=whole)

    def _encode_parts(
        self, source: Source, near: NDArray[np.float32], rounding: _Rounding
    ) -> tuple[int, float]:
        """(bytes, squared error in squared steps) of the codes parted by the reference; no bytes if one part
        would be empty."""
        data, inverse, rdo = source.data, rounding.inverse, rounding.rdo
        threshold = np.float32(0.5) * rounding.unit
        parted, codes = self._parted.take(data.size), self._split.take(data.size)
        values = data if source.innovation is None else source.innovation
        quiet = _kernels.part(values, near, threshold, parted)
        if not 0 < quiet < data.size:
            return 0, 0.0
        if source.innovation is None:
            error = sum(
                _kernels.round_by_cost(parted[part], 1, parted[part].size, 1, inverse, rdo, codes[part])
                for part in (slice(quiet), slice(quiet, None))
            )
        else:
            offsets, ordered = self._offsets.take(data.size), self._codes.take(data.size)
            _kernels.part_offsets(parted, quiet, near, threshold, inverse, rdo, offsets)
            error = self._follow(source, rounding, offsets, ordered)
            _kernels.split(ordered, near, threshold, codes)
        self._quiet_bytes = self._quiet.encode(codes[:quiet])
        loud_bytes = self._loud.encode(codes[quiet:])
        return len(varint(self._quiet_bytes)) + self._quiet_bytes + loud_bytes, error

    def _follow(
        self,
        source: Source,
        rounding: _Rounding,
        offsets: NDArray[np.float32],
        codes: NDArray[np.int16],
    ) -> float:
        """Codes of a filtered difference, and the squared error in squared steps."""
        assert source.info.prediction is not None and source.info.prediction.filter is not None
        chosen = source.info.prediction.filter
        grid = self._predictor.filtering.grid(source.info.shape, chosen.axis)
        spatial, restored = chosen.spatial / SPATIAL_ONE, self._restored.take(codes.size)
        return float(
            grid.follow(source.data, offsets, spatial, rounding.inverse, rounding.unit, restored, codes)
        )

    def _copy_coded(self, info: StreamInfo, payload: memoryview) -> None:
        if info.prediction is None or not info.prediction.parted:
            self._whole.copy_to(payload)
            return
        head = varint(self._quiet_bytes)
        payload[: len(head)] = head
        self._quiet.copy_to(payload[len(head) : len(head) + self._quiet_bytes])
        self._loud.copy_to(payload[len(head) + self._quiet_bytes :])


def _packed_bytes(shape: tuple[int, ...], bits: int) -> int:
    return (math.prod(shape) * bits + 7) // 8


def _seed(options: Options) -> int | None:
    return options.seed if options.rounding == "stochastic" else None


def encode(x: ArrayLike, *, scores: ArrayLike | None = None, **options: Any) -> bytes:
    """The stream of `x` as bytes of its own; see Encoder.encode."""
    return bytes(Encoder().encode(x, scores=scores, **options))
