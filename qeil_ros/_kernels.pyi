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

CLIP_RULES: tuple[str, ...]

def quantizer_levels(kind: int, width: int) -> list[int]: ...
def parameter_bytes(kind: int, count: int) -> int: ...

class Quantizer:
    def choose(
        self,
        data: Buffer,
        dtype: int,
        inner: int,
        count: int,
        kind: int,
        width: int,
        rule: str,
        low: float,
        high: float,
        parameters: Buffer,
    ) -> None: ...
    def load(self, parameters: Buffer, count: int, kind: int, width: int, wide: bool = False) -> int: ...
    def weigh(self, costs: Buffer, rate: float) -> None: ...
    def encode(
        self, data: Buffer, dtype: int, inner: int, out: Buffer, seed: int | None = None
    ) -> None: ...
    def decode(self, payload: Buffer, dtype: int, inner: int, out: Buffer) -> bool: ...
    def codes(self, data: Buffer, dtype: int, inner: int, out: Buffer, seed: int | None = None) -> None: ...
    def values(self, codes: Buffer, dtype: int, inner: int, out: Buffer) -> None: ...
    def indices(self, data: Buffer, dtype: int, inner: int, out: Buffer) -> None: ...
    def index_values(self, indices: Buffer, dtype: int, inner: int, out: Buffer) -> None: ...

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
        big_endian: bool = False,
        portable: bool = False,
    ) -> None: ...
    @property
    def wide(self) -> bool: ...
    def run(self, data: Buffer, step: int, out: Buffer) -> None: ...

def rans_static(family: int, scale: int) -> tuple[list[int], int, list[int]]: ...

class Rans:
    def encode(self, codes: Buffer, signed: bool, shape: Sequence[int], axis: int) -> int: ...
    def copy(self, out: Buffer) -> None: ...
    def layout(self) -> tuple[int, int, int, int, list[int]]: ...
    def decode(self, payload: Buffer, signed: bool, shape: Sequence[int], codes: Buffer) -> None: ...
