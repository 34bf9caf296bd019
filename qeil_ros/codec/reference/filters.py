"""Prediction with a filter: docs/bitstream.md, *Filters*."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_MOST = np.float32(2.0**120)


@dataclass(frozen=True)
class Filter:
    """Weights in sixty-fourths, `spatial` in 128ths, `second` a checksum."""

    axis: int
    weights: tuple[int, ...]
    spatial: int
    second: int | None
    second_weight: int


def predict(filter: Filter, near: Floats, second: Floats | None, shape: Sequence[int]) -> Floats:
    """F, flat."""
    planes = _planes(near, filter.axis, shape)
    if filter.axis:
        _, rows, cols, _ = planes.shape
        around = np.pad(planes, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        taps = [around[:, r : r + rows, c : c + cols] for r, c in itertools.product(range(3), range(3))]
    else:
        taps = [planes]
    terms = [
        np.float32(weight / 64) * _bounded(tap) for weight, tap in zip(filter.weights, taps, strict=True)
    ]
    out: Floats = sum(terms[1:], terms[0]).reshape(-1)
    if second is not None:
        out = out + np.float32(filter.second_weight / 64) * _bounded(second)
    return out


def restore(filter: Filter, values: Floats, shape: Sequence[int]) -> Floats:
    """e, flat."""
    e: Floats = _planes(values, filter.axis, shape).copy()
    spatial, none = np.float32(filter.spatial / 128), np.float32(0)
    for row, col in itertools.product(range(e.shape[1]), range(e.shape[2])):
        left = e[:, row, col - 1] if col else none
        above = e[:, row - 1, col] if row else none
        with np.errstate(over="ignore"):
            e[:, row, col] = _bounded(e[:, row, col] + spatial * (left + above))
    return e.reshape(-1)


def _planes(x: Floats, axis: int, shape: Sequence[int]) -> Floats:
    """[outer, rows, columns, inner]."""
    if axis == 0:
        return x.reshape(-1, 1, 1, 1)
    return x.reshape(math.prod(shape[: axis - 1]), shape[axis - 1], shape[axis], -1)


def _bounded(x: Floats) -> Floats:
    out: Floats = np.clip(x, -_MOST, _MOST)
    return out
