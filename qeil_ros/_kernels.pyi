"""Types of the compiled module; what each function does stands in _kernels.pyx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FORMATS: tuple[str, ...]
OUTPUTS: tuple[str, ...]

Buffer = Any  # anything that has the buffer protocol with contiguous bytes

def crc32c(data: Buffer, crc: int = 0) -> int: ...
def crc32c_portable(data: Buffer, crc: int = 0) -> int: ...
def contracts() -> bool: ...

class Uniform:
    def choose(
        self,
        data: Buffer,
        dtype: int,
        inner: int,
        count: int,
        width: int,
        least_squares: bool,
        clip: tuple[float, float] | None,
        parameters: Buffer,
    ) -> None: ...
    def load(self, parameters: Buffer, count: int, width: int) -> int: ...
    def encode(self, data: Buffer, dtype: int, inner: int, out: Buffer) -> None: ...
    def decode(self, payload: Buffer, dtype: int, inner: int, out: Buffer) -> bool: ...

class ImagePlan:
    def __init__(
        self,
        format: str,
        size: tuple[int, int],
        crop: tuple[int, int, int, int],
        out: tuple[int, int],
        rect: tuple[int, int, int, int],
        order: Sequence[int],
        interleaved: bool,
        dtype: str,
        scale: Sequence[float],
        shift: Sequence[float],
        pad: float,
        filtered: bool,
        x: tuple[Any, Any, Any],
        y: tuple[Any, Any, Any],
    ) -> None: ...
    def run(self, data: Buffer, step: int, out: Buffer) -> None: ...
