"""docs/bitstream.md, slowly and literally, both ways: what the kernels are tested against.

decode() reads what the specification calls valid; encode() makes the very bytes that the fast encoder makes,
levels included. Numpy only; nothing but the exceptions is shared with the fast path.
"""

from __future__ import annotations

from .packing import crc32c, pack, unpack
from .stream import decode, encode

__all__ = ["crc32c", "decode", "encode", "pack", "unpack"]
