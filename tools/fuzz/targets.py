"""What is fuzzed: streams, and the files of a model folder."""

from __future__ import annotations

import itertools

import numpy as np

from qeil_ros import codec
from qeil_ros._kernels import crc32c
from qeil_ros.codec.predictor import Reference

from .files import Bases, Weights
from .target import Target

QUANTIZERS = ("uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian")
GRANULARITIES = ("tensor", "channel", "group")
CODERS = ("packed", "rans")


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
            codec.encode(x, bits=bits, granularity=granularity, group_size=32, quantizer=quantizer)
            for bits, granularity, quantizer in itertools.product((1, 3, 8), GRANULARITIES, QUANTIZERS)
        ]
        streams += [
            codec.encode((x * scale).astype(np.float32), bits=bits, coder="rans", quantizer=quantizer)
            for bits, quantizer, scale in itertools.product(
                (1, 2, 4, 8), QUANTIZERS, (1.0, draw.geometric(0.05, (6, 20)))
            )
        ]
        streams += [
            codec.encode(x, bits=4, keep=3, fill=fill, coder=coder)
            for fill in ("merged", "zero")
            for coder in CODERS
        ]
        large = draw.laplace(size=(40, 100)).astype(np.float32)  # several lanes, tables that are sent
        streams += [
            codec.encode(large, bits=bits, coder="rans", axis=axis) for bits in (2, 6) for axis in (0, 1)
        ]
        for dtype in (np.uint8, np.int8):
            bytes_ = draw.integers(0, 120, (3, 5, 7)).astype(dtype)
            streams += [codec.encode(bytes_, bits=bits, coder=coder) for bits in (3, 8) for coder in CODERS]
        streams.append(codec.encode(x.astype(np.float16), bits=5, coder="rans"))
        return streams

    def seal(self, data: bytearray) -> None:
        if len(data) >= 4:
            data[-4:] = crc32c(data[:-4]).to_bytes(4, "little")

    def run(self, data: bytes) -> None:
        exact = np.array(np.frombuffer(data, np.uint8))  # memory that ends where the stream ends
        tensor = self.decoder.decode(exact)
        assert tensor.size <= self.limits.max_elements
        assert codec.peek(data, self.limits).shape == tensor.shape


class Sequence(Stream):
    """Streams that are differences from frames the decoder has, which a hostile stream may name too."""

    def __init__(self) -> None:
        self.decoder = codec.Decoder(self.limits, references=codec.REFERENCES)
        self._keys: list[bytes] = []
        self._disturbed = True

    def corpus(self) -> list[bytes]:
        draw = np.random.default_rng(1)
        self._keys, streams = [], []
        for shape, axis, dtype in (
            ((6, 20), -1, np.float32),
            ((4, 8, 9), 0, np.float16),
            ((9, 8, 3), -1, np.uint8),
        ):
            encoder, coarse = codec.Encoder(codec.Options(bits=4, coder="rans", axis=axis)), 1 + axis
            still = np.abs(40 * draw.laplace(size=(2, *shape))) * (draw.random((2, *shape)) > 0.4)
            frames = [np.clip(one, 0, 255).astype(dtype) for one in still]
            references: list[Reference] = []
            for x in frames:  # what all others are predicted from
                streams.append(bytes(encoder.encode(x)))
                checksum = int.from_bytes(streams[-1][-4:], "little")
                references.insert(0, Reference(checksum, codec.decode(streams[-1])))
                self._keys.append(streams[-1])
            old, new = (reference.tensor.astype(np.float32) for reference in reversed(references))
            for frame in range(8):
                moved = 0.6 * new + 0.3 * np.roll(new, 1, coarse) + 0.2 * (frame % 2) * old
                x = np.clip(moved + 4 * np.cumsum(draw.normal(size=shape), coarse), 0, 255).astype(dtype)
                options = encoder.options.but(step=(2.0, 12.0)[frame // 2 % 2])
                streams.append(bytes(encoder.write(x, options, references=references[: 1 + frame % 2])))
        kept = codec.Options(bits=3, coder="packed")
        streams.append(bytes(codec.Encoder(kept).write(x, kept, references=references)))
        return streams

    def run(self, data: bytes) -> None:
        if self._disturbed:  # what a receiver would have, whatever came since
            for key in self._keys:
                self.decoder.decode(key)
        self._disturbed = False
        super().run(data)
        self._disturbed = True


TARGETS: dict[str, type[Target]] = {
    "stream": Stream,
    "sequence": Sequence,
    "weights": Weights,
    "basis": Bases,
}
