"""Memory that is taken once and used again for tensor after tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """A flat array that grows to the largest number of elements asked for."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._array = np.empty(0, dtype)

    def take(self, elements: int) -> NDArray[Any]:
        """That many elements; what an earlier call gave is overwritten through this."""
        if self._array.size < elements:
            self._array = np.empty(elements, self._array.dtype)
        return self._array[:elements]

    def copy(self, x: NDArray[Any]) -> NDArray[Any]:
        """The elements of `x` in C order, converted."""
        out = self.take(x.size)
        np.copyto(out.reshape(x.shape), x, casting="unsafe")
        return out
