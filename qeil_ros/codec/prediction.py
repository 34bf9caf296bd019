"""What a difference was taken from, as a header says it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import CorruptError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

FACTOR_ONE = 16
"""Prediction factors are sixteenths."""
WEIGHT_ONE = 64
"""A filter's weights are sixty-fourths."""
SPATIAL_ONE = 128
TAPS = 9
_PARTED, _FILTERED, _SECOND = 16, 32, 64
"""Bits of the prediction byte."""


@dataclass(frozen=True)
class Filter:
    """What a prediction is computed with.

    Attributes:
        axis: the one along which columns lie, rows lying along that before; 0: there are no neighbours.
        weights: in sixty-fourths, of the 3x3 neighbourhood in C order; of the element alone where axis is 0.
        spatial: in 128ths, of what the values to the left and above differ from their prediction by.
        second: checksum of a second reference; None: there is none.
        second_weight: of its element, in sixty-fourths.
    """

    axis: int
    weights: tuple[int, ...]
    spatial: int = 0
    second: int | None = None
    second_weight: int = 0

    @property
    def size(self) -> int:
        """Bytes in a header."""
        return 1 + len(self.weights) + (self.axis > 0) + (0 if self.second is None else 5)


@dataclass(frozen=True)
class Prediction:
    """What the difference was taken from.

    Attributes:
        reference: checksum of the stream whose decoded tensor it is.
        factor: by how many sixteenths of it, 1 to 16; without a meaning where there is a filter.
        parted: whether an entropy coder takes the codes apart by the prediction's size.
    """

    reference: int
    factor: int = FACTOR_ONE
    parted: bool = False
    filter: Filter | None = None

    @property
    def references(self) -> tuple[int, ...]:
        """All that are needed."""
        second = self.filter.second if self.filter else None
        return (self.reference,) if second is None else (self.reference, second)


def pack_prediction(prediction: Prediction) -> bytes:
    """The header's part that says so."""
    how, filter = _PARTED * prediction.parted, prediction.filter
    if filter is None:
        return struct.pack("<IB", prediction.reference, how | prediction.factor - 1)
    how |= _FILTERED | (_SECOND if filter.second is not None else 0)
    head = struct.pack(f"<IBB{len(filter.weights)}b", prediction.reference, how, filter.axis, *filter.weights)
    if filter.axis:
        head += bytes([filter.spatial])
    if filter.second is not None:
        head += struct.pack("<Ib", filter.second, filter.second_weight)
    return head


def parse_prediction(buffer: memoryview, at: int, end: int, shape: Sequence[int]) -> tuple[Prediction, int]:
    """(what is said from `at` on, where it ends), for a tensor of that shape; BitstreamError."""
    reference, how = _fields("<IB", buffer, at, end)
    at += 5
    if how >> 7:
        raise UnsupportedError(f"reserved bits of the prediction byte 0x{how:02x} are set")
    parted = bool(how & _PARTED)
    if not how & _FILTERED:
        if how & _SECOND:
            raise CorruptError("a second reference without a filter")
        return Prediction(reference, (how & 15) + 1, parted), at
    if how & 15:
        raise CorruptError(f"a filter and a factor, in the prediction byte 0x{how:02x}")
    (axis,) = _fields("B", buffer, at, end)
    at += 1
    if axis and not (axis < len(shape) and shape[axis - 1] >= 2 and shape[axis] >= 2):
        raise CorruptError(f"columns along axis {axis} of a tensor {tuple(shape)}")
    taps = TAPS if axis else 1
    weights = _fields(f"{taps}b", buffer, at, end)
    at += taps
    spatial, second, second_weight = 0, None, 0
    if axis:
        (spatial,) = _fields("B", buffer, at, end)
        at += 1
        if spatial > SPATIAL_ONE // 2:
            raise CorruptError(f"a spatial weight of {spatial}; at most {SPATIAL_ONE // 2} is possible")
    if how & _SECOND:
        second, second_weight = _fields("<Ib", buffer, at, end)
        at += 5
    return Prediction(reference, 16, parted, Filter(axis, weights, spatial, second, second_weight)), at


def _fields(form: str, buffer: memoryview, at: int, end: int) -> tuple[Any, ...]:
    if at + struct.calcsize(form) > end:
        raise TruncatedError("the stream ends within the prediction")
    return struct.unpack_from(form, buffer, at)
