"""Tensors in memory that processes share, without a name in the file system: it goes when they do."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Region", "Spec"]

_ALIGN = 64
"""Bytes: of a cache line, and what runtimes want of arrays that they are to use in place."""


@dataclass(frozen=True)
class Spec:
    """Shape and type of a tensor."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @classmethod
    def of(cls, array: NDArray[Any]) -> Spec:
        return cls(tuple(int(size) for size in array.shape), array.dtype.name)


class Region:
    """Shared memory for tensors one behind the other, each at a multiple of 64 bytes.

    Attributes:
        fd: to hand to another process; closed with this object.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd, self.size = fd, size
        self._map = mmap.mmap(fd, size)
        self._given: tuple[tuple[Spec, ...], tuple[NDArray[Any], ...]] | None = None

    @classmethod
    def create(cls, size: int, name: str = "qeil") -> Region:
        size = max(size, _ALIGN)
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        return cls(fd, size)

    @classmethod
    def for_tensors(cls, specs: Sequence[Spec]) -> Region:
        return cls.create(cls.needed(specs))

    @staticmethod
    def needed(specs: Sequence[Spec]) -> int:
        return sum(_padded(spec.bytes) for spec in specs)

    def arrays(self, specs: Sequence[Spec]) -> tuple[NDArray[Any], ...]:
        """The tensors, as arrays on this memory; the same when asked again. ValueError: they do not fit."""
        wanted = tuple(specs)
        if self._given is None or self._given[0] != wanted:
            self._given = wanted, self._made(wanted)
        return self._given[1]

    def _made(self, specs: tuple[Spec, ...]) -> tuple[NDArray[Any], ...]:
        found, offset = [], 0
        for spec in specs:
            flat: NDArray[Any] = np.frombuffer(self._map, np.dtype(spec.dtype), math.prod(spec.shape), offset)
            found.append(flat.reshape(spec.shape))
            offset += _padded(spec.bytes)
        return tuple(found)

    def counters(self) -> memoryview:
        """The first sixteen bytes as two numbers."""
        return memoryview(self._map)[:16].cast("Q")

    def __del__(self) -> None:
        # The mapping goes with the last array on it.
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            os.close(fd)


def _padded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
