"""What a frame is predicted from: one or two decoded tensors, and the values around each element.

Either a share of the last frame, element by element; or, where that saves more than its weights cost, a
filter over the 3x3 neighbourhood of each position in the last frame, the same element of the frame before,
and what the values to the left and above differ from their prediction by. Feature maps move with the camera,
and what one position did not expect its neighbours did not either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from .prediction import FACTOR_ONE, SPATIAL_ONE, TAPS, WEIGHT_ONE, Filter, Prediction
from .quantize import MAX_MAGNITUDE
from .scratch import Scratch
from .stream import StreamInfo

__all__ = ["Filtering", "Predicted", "Predictor", "Reference", "column_axis"]

_FLOAT32 = np.dtype("<f4")
_MIN_GAIN = 0.9
"""A prediction must leave less of the energy than this to be worth its header and its dependence."""
_MAX_ENERGY = 2.0**200
"""Of a tensor that is filtered: its values are far below what a filter saturates at."""
_SURE = 2
"""Bits that a filter is expected to save must be this many times those that it costs."""


@dataclass(frozen=True)
class Reference:
    """What a difference may be taken from: a decoded tensor and the checksum of its stream."""

    checksum: int
    tensor: NDArray[Any]


@dataclass(frozen=True)
class Predicted:
    """A tensor and what is known of it, all flat, in the predictor's memory.

    Attributes:
        energy: sum of the squares of the tensor before prediction.
        prediction: how it is predicted; None: it is not.
        difference: what the prediction leaves to be coded; of a filtered one, before what is known of the
            values to the left and above is taken off.
        near: what the codes are parted by: the reference, or what the filter made of it.
        innovation: of a filtered one, about what will be rounded.
    """

    energy: float
    prediction: Prediction | None = None
    difference: NDArray[np.float32] | None = None
    near: NDArray[np.float32] | None = None
    innovation: NDArray[np.float32] | None = None


class Filtering:
    """The kernels' view of tensors of one shape after another; not for several threads at once."""

    def __init__(self) -> None:
        self._key: tuple[tuple[int, ...], int] | None = None
        self._grid: Any = None

    def grid(self, shape: tuple[int, ...], axis: int) -> Any:
        """Axes `axis - 1` and `axis` are rows and columns; `axis` 0: there are no neighbours."""
        if self._key != (shape, axis):
            outer, rows, cols, inner, taps = math.prod(shape), 1, 1, 1, 1
            if axis:
                outer, (rows, cols) = math.prod(shape[: axis - 1]), shape[axis - 1 : axis + 1]
                inner, taps = math.prod(shape[axis + 1 :]), TAPS
            self._grid = _kernels.Grid(outer, rows, cols, inner, taps)
            self._key = (shape, axis)
        return self._grid


class Predictor:
    """Predicts one tensor after another, in memory of its own."""

    def __init__(self) -> None:
        self.filtering = Filtering()
        self._referred, self._second, self._difference, self._near, self._around, self._innovation = (
            Scratch(np.float32) for _ in range(6)
        )

    def predict(
        self,
        info: StreamInfo,
        values: NDArray[np.float32],
        references: Sequence[Reference],
        *,
        channels: int,
        exact: bool,
        step: float | None,
    ) -> Predicted:
        """How a tensor is predicted best.

        Args:
            values: of the tensor, flat.
            references: the newest first; two are looked at.
            channels: the axis that positions do not count along.
            exact: the difference must be of whole numbers.
            step: about that of the codes, 0 or more; None: such a tensor is not filtered.

        Raises:
            ValueError: a reference of another element type or shape.
        """
        if not references:
            return Predicted(_kernels.products(values, values)[0])
        near = self._values(info, references[0], self._referred)
        own, common, other = _kernels.products(values, near)
        # `own` bounds every element of the difference, which must not overflow; NaN and infinity end here.
        if not own <= MAX_MAGNITUDE**2:
            return Predicted(own)
        factor = FACTOR_ONE if exact else round(FACTOR_ONE * common / other) if other > 0 else 0
        factor = min(max(factor, 0), FACTOR_ONE)
        share = factor / FACTOR_ONE
        left = own - 2 * share * common + share * share * other if factor else own
        if step is not None and own <= _MAX_ENERGY:
            filtered = self._filter(info, values, near, references, channels, step, own, max(left, 0.0))
            if filtered is not None:
                return filtered
        if factor == 0 or not left < _MIN_GAIN * own:
            return Predicted(own)
        difference = self._difference.take(values.size)
        _kernels.difference(values, near, share, difference)
        return Predicted(own, Prediction(references[0].checksum, factor), difference, near)

    def _filter(
        self,
        info: StreamInfo,
        values: NDArray[np.float32],
        near: NDArray[np.float32],
        references: Sequence[Reference],
        channels: int,
        step: float,
        own: float,
        left: float,
    ) -> Predicted | None:
        """The filter of least squares and what it leaves, where it pays beside what a share leaves."""
        n = values.size
        axis = column_axis(info.shape, channels)
        grid = self.filtering.grid(info.shape, axis)
        second = self._values(info, references[1], self._second) if len(references) > 1 else None
        fitted = grid.fit(values, near, second)
        if fitted is None:
            return None
        weights = tuple(min(max(round(WEIGHT_ONE * weight), -128), 127) for weight in fitted)
        predicted, difference = self._near.take(n), self._difference.take(n)
        grid.filter(near, second, [weight / WEIGHT_ONE for weight in weights], predicted)
        _kernels.difference(values, predicted, 1.0, difference)
        spatial, innovation, least = 0, difference, _kernels.products(difference, difference)[0]
        noise = step * step / 12
        if axis:
            around = self._around.take(n)
            grid.left_up(difference, around)
            _, common, other = _kernels.products(difference, around)
            other += 2 * n * noise  # the errors that are known are those of rounded values
            spatial = min(max(round(SPATIAL_ONE * common / other), 0), SPATIAL_ONE // 2) if other > 0 else 0
            if spatial:
                innovation = self._innovation.take(n)
                _kernels.difference(difference, around, spatial / SPATIAL_ONE, innovation)
                least = _kernels.products(innovation, innovation)[0]
        taps = grid.taps
        checksum = references[1].checksum if second is not None else None
        chosen = Filter(axis, weights[:taps], spatial, checksum, weights[taps] if second is not None else 0)
        floor = n * noise or math.ulp(1.0) * own
        saved = n / 2 * math.log2((left + floor) / (least + floor))
        if not least < _MIN_GAIN * own or saved <= _SURE * 8 * chosen.size:
            return None
        prediction = Prediction(references[0].checksum, filter=chosen)
        return Predicted(own, prediction, difference, predicted, innovation)

    def _values(self, info: StreamInfo, reference: Reference, scratch: Scratch) -> NDArray[np.float32]:
        tensor = reference.tensor
        if tensor.shape != info.shape or tensor.dtype != info.dtype:
            raise ValueError(
                f"the reference is {tensor.dtype} {tensor.shape}, the tensor {info.dtype} {info.shape}"
            )
        return tensor.reshape(-1) if tensor.dtype == _FLOAT32 else scratch.copy(tensor).reshape(-1)


def column_axis(shape: tuple[int, ...], channels: int) -> int:
    """The axis along which a feature map's columns lie, its rows being those before; 0: it is no map.

    They are the last two axes behind the channels, else the last two before them.
    """
    channels %= len(shape)
    axis = len(shape) - 1 if len(shape) - 1 - channels >= 2 else channels - 1
    return axis if axis >= 1 and shape[axis - 1] >= 2 and shape[axis] >= 2 else 0
