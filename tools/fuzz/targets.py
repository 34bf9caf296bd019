"""What is fuzzed: each target has valid inputs to start from, and says how it may refuse."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod

import numpy as np

from qeil_ros import codec
from qeil_ros._kernels import crc32c


class Target(ABC):
    """Something that reads a stranger's bytes. `memory_bytes`: how much memory may grow over all inputs."""

    refusals: tuple[type[Exception], ...] = (ValueError,)
    memory_bytes = 64 << 20

    @abstractmethod
    def corpus(self) -> list[bytes]:
        """Valid inputs."""

    @abstractmethod
    def seal(self, data: bytearray) -> None:
        """Mends the checksum, so that what lies behind it is tried."""

    @abstractmethod
    def run(self, data: bytes) -> None:
        """Tries one input. Raises one of `refusals`, or AssertionError where an answer is wrong."""


class Stream(Target):
    """Feature streams of every kind, and their headers alone."""

    refusals = (codec.BitstreamError,)
    limits = codec.Limits(max_bytes=1 << 14, max_elements=1 << 14, max_parameter_sets=1 << 10)

    def __init__(self) -> None:
        self.decoder = codec.Decoder(self.limits)

    def corpus(self) -> list[bytes]:
        draw = np.random.default_rng(0)
        x = draw.laplace(size=(6, 20)).astype(np.float32)
        streams = [
            codec.encode(x, bits=bits, granularity=granularity, group_size=32)
            for bits, granularity in itertools.product(range(1, 9), ("tensor", "channel", "group"))
        ]
        streams.append(codec.encode(draw.integers(0, 256, (3, 5, 7), dtype=np.uint8)))
        return streams

    def seal(self, data: bytearray) -> None:
        if len(data) >= 4:
            data[-4:] = crc32c(data[:-4]).to_bytes(4, "little")

    def run(self, data: bytes) -> None:
        tensor = self.decoder.decode(data)
        assert tensor.size <= self.limits.max_elements
        assert codec.peek(data, self.limits).shape == tensor.shape


TARGETS: dict[str, type[Target]] = {"stream": Stream}
