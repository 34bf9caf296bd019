"""ONNX models put together as bytes, so that a robot needs no `onnx` package to load weights of its own.

A serialized protobuf message may be cut in pieces: messages written one after another read as one, repeated
fields appended, embedded messages merged (protobuf's encoding guide, "Last One Wins"). So a graph whose
initializers were taken out, followed by a graph that has nothing but initializers, is the whole model, on
every runtime that reads ONNX.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .schema import ModelError

__all__ = ["FLOAT", "INT8", "model", "tensor"]

FLOAT, INT8 = 1, 3
"""TensorProto.DataType"""
MAX_BYTES = (1 << 31) - 1
"""A protobuf message is no larger."""

Pieces = list["bytes | memoryview"]


def tensor(name: str, data_type: int, shape: Iterable[int], data: NDArray[np.generic] | bytes) -> Pieces:
    """A TensorProto of these bytes, little-endian and in C order."""
    raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    encoded = name.encode()
    dims = b"".join(b"\x08" + _varint(size) for size in shape)  # 1: dims
    head = b"\x10" + _varint(data_type)  # 2: data_type
    head += b"\x42" + _varint(len(encoded)) + encoded  # 8: name
    return [dims + head + b"\x4a" + _varint(len(raw)), raw]  # 9: raw_data


def model(skeleton: bytes, tensors: Iterable[Pieces]) -> bytes:
    """The ModelProto `skeleton` with these tensors as its graph's initializers. ModelError: over 2 GB."""
    graph: Pieces = []
    for pieces in tensors:
        graph += [b"\x2a" + _varint(_size(pieces)), *pieces]  # GraphProto 5: initializer
    whole = [skeleton, b"\x3a" + _varint(_size(graph)), *graph]  # ModelProto 7: graph
    if _size(whole) > MAX_BYTES:
        raise ModelError(
            f"the model has {_size(whole)} bytes when its weights are decoded, ONNX ends at {MAX_BYTES}; "
            "use a backend that keeps int8 weights (onnxruntime-int8), or cut the model earlier"
        )
    return b"".join(whole)


def _size(pieces: Pieces) -> int:
    return sum(map(len, pieces))


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
