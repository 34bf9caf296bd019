"""The entropy coder `rans` of docs/bitstream.md: codes of a tensor <-> a payload near their entropy.

A payload describes itself but for the shape and the kind of its codes, which the stream's header has:

    coder = RansCoder()
    size = coder.encode(codes)          # int16 (signed) or uint8 codes, any shape of 1 to 8 dimensions
    coder.copy_to(payload)              # `payload`: a writable buffer of exactly `size` bytes
    coder.decode(payload, codes)        # into an array of the same shape and type; CorruptError if not valid

The encoder cuts one axis into bands and chooses a table for each, static or sent along, by least bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from .errors import CorruptError

SIGNED = np.dtype(np.int16)
UNSIGNED = np.dtype(np.uint8)
MAX_CODE = 32767
"""Magnitude; the header's width does not bound signed codes."""
FAMILIES, SCALES = 2, 32
NEVER = 65535
"""The cost of what a table cannot code."""


@dataclass(frozen=True)
class Layout:
    """What the encoder chose.

    Attributes:
        family: 0, codes of both signs; 1, codes that are not negative.
        axis: the axis cut into cells, counted from the last.
        sent: tables sent along.
        tables: the table of each cell: below `sent` one that was sent, from there on a static scale.
    """

    family: int
    grid: int
    axis: int
    sent: int
    tables: tuple[int, ...]


class RansCoder:
    """Codes to payloads and back with memory of its own, which is reused and only ever grows.

    Not for several threads at once; a coder each is cheap.
    """

    def __init__(self) -> None:
        self._rans = _kernels.Rans()

    def encode(self, codes: NDArray[Any], axis: int = -1) -> int:
        """Bytes of the payload of `codes`, which copy_to() gives.

        Args:
            codes: int16, -32767 to 32767, or uint8; 1 to 8 dimensions, C order, at least one element.
            axis: the one along which statistics differ most, such as channels (sorted by variance at best).

        Raises:
            ValueError: a code of -32768, or an axis that the tensor does not have.
            TypeError: codes of another type.
        """
        axes = codes.ndim
        if not -axes <= axis < axes:
            raise ValueError(f"axis {axis} of codes with {axes} dimensions")
        return self._rans.encode(_bytes(codes), codes.dtype == SIGNED, codes.shape, axes - 1 - axis % axes)

    def copy_to(self, out: Any) -> None:
        """Writes the payload of the last encode() into a buffer of exactly its size."""
        self._rans.copy(out)

    def decode(self, payload: Any, codes: NDArray[Any]) -> None:
        """Decodes a payload of codes of this shape and type into `codes`.

        The memory taken depends on the shape only. Raises CorruptError if the payload is not valid; the codes
        are then undefined.
        """
        out = _bytes(codes)
        try:
            self._rans.decode(payload, codes.dtype == SIGNED, codes.shape, out)
        except ValueError as error:
            raise CorruptError(str(error)) from None

    @property
    def layout(self) -> Layout:
        """Of the last payload, encoded or decoded."""
        family, grid, axis, sent, tables = self._rans.layout()
        return Layout(family, grid, axis, sent, tuple(tables))


def cost_table(family: int, scale: int) -> NDArray[np.uint16]:
    """What each code costs under a static table, in 1/256 bit, escapes included.

    Returns:
        [256], by index: family 0 has the codes 0, -1, 1, -2, ..., family 1 has 0, 1, 2, ...; NEVER where the
        table cannot code it: scale 0 codes zeros alone. An index over 255 costs 256 more each time index + 1
        doubles.
    """
    costs = _kernels.rans_static(family, scale)[2]
    return np.array([min(cost, NEVER) for cost in costs], np.uint16)


def _bytes(codes: NDArray[Any]) -> NDArray[np.uint8]:
    if codes.dtype not in (SIGNED, UNSIGNED):
        raise TypeError(f"codes of {codes.dtype}; int16 (signed) or uint8 are possible")
    if not codes.flags.c_contiguous or codes.size == 0:
        raise ValueError(f"codes of shape {codes.shape} must be contiguous and not empty")
    return codes.reshape(-1).view(np.uint8)
