"""Arrays <-> the feature bitstream (docs/bitstream.md), usable without ROS and without a model.

encode() and decode() are the short way; Encoder and Decoder reuse their buffers; peek() reads a header.
Bytes to decode are a stranger's: checked against Limits before memory is taken, every fault a BitstreamError.
Pure functions of arrays and bytes: no ROS, no model runtime, no clock may enter; of ours only `_kernels`.
"""

from __future__ import annotations

try:
    from .. import _kernels  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"qeil_ros's compiled kernels are missing or do not load ({error}). Build them: `pip install .` in "
        "the project's root, or `colcon build` in a ROS 2 workspace; both need a C compiler and Python's "
        "headers (Debian and Ubuntu: build-essential python3-dev)."
    ) from error

from .decoder import REFERENCES, Decoder, decode, peek
from .encoder import Encoder, encode
from .errors import (
    BitstreamError,
    CorruptError,
    LimitError,
    MissingReferenceError,
    TruncatedError,
    UnsupportedError,
)
from .options import Options
from .quantize import Percentile
from .stream import Limits, StreamInfo, is_key
from .temporal import KEY_INTERVAL, TemporalEncoder

__all__ = [
    "KEY_INTERVAL",
    "REFERENCES",
    "BitstreamError",
    "CorruptError",
    "Decoder",
    "Encoder",
    "LimitError",
    "Limits",
    "MissingReferenceError",
    "Options",
    "Percentile",
    "StreamInfo",
    "TemporalEncoder",
    "TruncatedError",
    "UnsupportedError",
    "decode",
    "encode",
    "is_key",
    "peek",
]
