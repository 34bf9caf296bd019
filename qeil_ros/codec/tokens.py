"""Fewer tokens than there are: which rows of a tensor travel, and what stands for the others.

A row is an index along the first axis: a patch of a vision transformer, a channel of a convolution's output.
Many patches show the same thing, a table or a wall; one row, their mean, can stand for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .errors import CorruptError, TruncatedError, UnsupportedError
from .varint import read_varint, varint

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Keep = int | float | Sequence[int] | None
"""How many rows to keep: a number, a fraction (a float up to 1), or the very rows; None: all."""
FillName = Literal["merged", "zero"]

_BITMAP, _KEPT_GAPS, _DROPPED_GAPS = range(3)
_LONG_GAP = 255


class Fill(IntEnum):
    """What dropped rows are decoded as."""

    ZERO = 0
    MERGED = 1
    """All as one row, which is coded after the kept ones: their mean, if the encoder is ours."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Which rows a stream carries: at least one, and not all.

    Attributes:
        kept: [rows] bool.
        fill: what the others are decoded as.
    """

    kept: NDArray[np.bool_]
    fill: Fill = Fill.MERGED

    @property
    def kept_rows(self) -> int:
        return int(np.count_nonzero(self.kept))

    @property
    def coded_rows(self) -> int:
        return self.kept_rows + (self.fill is Fill.MERGED)


# --- in the header


def pack_mask(mask: Mask) -> bytes:
    """A bitmap, or the gaps between the kept or the dropped rows where that is shorter."""
    spellings = [bytes([mask.fill | _BITMAP << 2]) + np.packbits(mask.kept, bitorder="little").tobytes()]
    for form, marked in ((_KEPT_GAPS, mask.kept), (_DROPPED_GAPS, ~mask.kept)):
        gaps = _gaps(marked)
        spellings.append(bytes([mask.fill | form << 2]) + varint(len(gaps)) + gaps)
    return min(spellings, key=len)


def parse_mask(buffer: memoryview, at: int, end: int, rows: int) -> tuple[Mask, int]:
    """(mask, where it ends). Raises BitstreamError for a mask that is cut off, unknown or makes no sense."""
    if at >= end:
        raise TruncatedError("the stream ends before the token mask")
    how, at = buffer[at], at + 1
    if how & 3 > 1 or how >> 2 > _DROPPED_GAPS:
        raise UnsupportedError(f"token mask of kind 0x{how:02x} is unknown")
    fill, form = Fill(how & 3), how >> 2
    size = -(-rows // 8)
    if form != _BITMAP:
        size, at = read_varint(buffer, at, end, "the token mask's size")
    if at + size > end:
        raise TruncatedError("the stream ends within the token mask")
    data = np.frombuffer(buffer[at : at + size], np.uint8)
    kept = _bitmap(data, rows) if form == _BITMAP else _marked(data, rows) ^ (form == _DROPPED_GAPS)
    mask = Mask(kept, fill)
    if not 0 < mask.kept_rows < rows:
        raise CorruptError(f"a token mask that keeps {mask.kept_rows} of {rows} rows")
    return mask, at + size


def _bitmap(data: NDArray[np.uint8], rows: int) -> NDArray[np.bool_]:
    bits = np.unpackbits(data, bitorder="little")
    if bits[rows:].any():
        raise CorruptError("unused bits at the end of the token mask are set")
    return bits[:rows].astype(np.bool_)


def _gaps(marked: NDArray[np.bool_]) -> bytes:
    """Unmarked rows before each marked one; 255 stands for 255 of them and no marked one."""
    gaps = np.diff(np.flatnonzero(marked), prepend=-1) - 1
    if gaps.max() < _LONG_GAP:
        return gaps.astype(np.uint8).tobytes()
    return b"".join(
        bytes([_LONG_GAP]) * (gap // _LONG_GAP) + bytes([gap % _LONG_GAP]) for gap in gaps.tolist()
    )


def _marked(data: NDArray[np.uint8], rows: int) -> NDArray[np.bool_]:
    marks = data != _LONG_GAP
    if not data.size or not marks[-1]:
        raise CorruptError("the token mask's gaps end without a row")
    at = np.cumsum(data.astype(np.int64) + marks)[marks] - 1
    if at[-1] >= rows:
        raise CorruptError(f"the token mask marks row {at[-1]} of {rows}")
    marked = np.zeros(rows, np.bool_)
    marked[at] = True
    return marked


# --- choosing


def saliency(x: NDArray[Any]) -> NDArray[np.float64]:
    """How much a row differs from the mean row: its squared distance from it, [rows]."""
    rows = x.reshape(len(x), -1).astype(np.float64)
    centred = rows - rows.mean(axis=0)
    energy: NDArray[np.float64] = np.einsum("ij,ij->i", centred, centred)
    return energy


def choose(
    x: NDArray[Any], keep: Keep, fill: FillName = "merged", scores: ArrayLike | None = None
) -> Mask | None:
    """The rows to keep: given, or those of the highest score. None: all of them.

    Args:
        scores: one number a row, such as the attention it gets; by default its `saliency`.

    Raises:
        ValueError: rows, a number or scores that do not fit the tensor.
    """
    if keep is None:
        return None
    rows = len(x)
    if x.ndim < 2:
        raise ValueError(f"keep={keep!r} needs rows to drop; the tensor has one dimension")
    if fill not in ("merged", "zero"):
        raise ValueError(f"fill is {fill!r}; merged and zero are possible")
    kept = np.zeros(rows, np.bool_)
    if isinstance(keep, (int, float, np.integer, np.floating)) and not isinstance(keep, bool):
        count = _count(keep, rows)
        marks = saliency(x) if scores is None else np.asarray(scores, np.float64)
        if marks.shape != (rows,) or np.isnan(marks).any():
            raise ValueError(
                f"scores have shape {marks.shape}, or NaN among them; want one for each of {rows} rows"
            )
        kept[np.argsort(-marks, kind="stable")[:count]] = True
    else:
        which = np.asarray(keep)
        if which.ndim != 1 or which.dtype.kind not in "iu" or not which.size:
            raise ValueError(f"keep is {keep!r}; a number, a fraction or a list of rows is possible")
        if not (-rows <= which.min() and which.max() < rows):
            raise ValueError(f"keep names row {which.max()} (or {which.min()}); the tensor has {rows} rows")
        kept[which] = True
    # A merged row in the place of a single one would only move it.
    if kept.all() or (fill == "merged" and np.count_nonzero(kept) == rows - 1):
        return None
    return Mask(kept, Fill[fill.upper()])


def _count(keep: float, rows: int) -> int:
    if isinstance(keep, (float, np.floating)):
        if not 0 < keep <= 1:
            raise ValueError(f"keep is {keep}; a fraction is above 0 and at most 1, a number of rows an int")
        return max(1, math.ceil(keep * rows))
    if not 1 <= keep <= rows:
        raise ValueError(f"keep is {keep}; the tensor has {rows} rows")
    return int(keep)


def gather(x: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """The rows that are coded: the kept ones, then the mean of the dropped ones if they are merged."""
    kept = x[mask.kept]
    if mask.fill is Fill.ZERO:
        return kept
    merged = x[~mask.kept].astype(np.float64).mean(axis=0)
    if x.dtype.kind != "f":
        merged = np.rint(merged)
    return np.concatenate([kept, merged[None].astype(x.dtype)])


def scatter(rows: NDArray[Any], mask: Mask, out: NDArray[Any]) -> None:
    """The inverse of `gather` into `out`, [rows of the mask, ...]."""
    kept = mask.kept_rows
    out[mask.kept] = rows[:kept]
    out[~mask.kept] = rows[kept] if mask.fill is Fill.MERGED else 0
