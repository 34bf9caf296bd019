"""The golden vectors' inputs: made from integers alone, so that every machine makes the same. Run as a script
to write the vectors anew, which is right only when docs/bitstream.md has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent / "golden" / "codec"

SMALL: list[tuple[str, str, tuple[int, ...], str, dict[str, Any]]] = [
    # name, source, shape, element type, arguments of encode()
    *((f"float32-{bits}bit", "bell", (3, 7), "float32", {"bits": bits}) for bits in range(1, 9)),
    *(
        (f"float32-{bits}bit-range", "bell", (70,), "float32", {"bits": bits, "clip": "range"})
        for bits in (1, 3, 6)
    ),
    ("float32-channel-last", "bell", (5, 4), "float32", {"bits": 3, "granularity": "channel", "axis": -1}),
    ("float32-channel-first", "bell", (2, 3, 3), "float32", {"bits": 5, "granularity": "channel", "axis": 0}),
    ("float32-group", "bell", (3, 11), "float32", {"bits": 4, "granularity": "group", "group_size": 8}),
    ("float32-clip", "bell", (17,), "float32", {"bits": 2, "clip": (-0.5, 1.5)}),
    ("float32-zeros", "zeros", (9,), "float32", {"bits": 4}),
    ("float32-constant", "constant", (2, 5), "float32", {"bits": 2}),
    ("float32-sparse", "sparse", (4, 8), "float32", {"bits": 6}),
    ("float32-tiny", "tiny", (12,), "float32", {"bits": 8}),
    ("float32-huge", "huge", (12,), "float32", {"bits": 8}),
    ("float32-one", "bell", (1,), "float32", {"bits": 1}),
    ("float32-rank8", "bell", (1, 2, 1, 3, 1, 1, 2, 1), "float32", {"bits": 7}),
    ("float16", "bell", (4, 5), "float16", {"bits": 6}),
    ("float16-channel", "bell", (4, 5), "float16", {"bits": 2, "granularity": "channel"}),
    ("uint8-identity", "bytes", (3, 5), "uint8", {"bits": 8}),
    ("int8-identity", "bytes", (3, 5), "int8", {"bits": 8}),
    ("uint8-4bit", "bytes", (3, 5), "uint8", {"bits": 4}),
    ("int8-5bit", "bytes", (19,), "int8", {"bits": 5, "granularity": "group", "group_size": 8}),
    *(
        (f"float32-{quantizer}-{bits}bit", "bell", (4, 9), "float32", {"bits": bits, "quantizer": quantizer})
        for quantizer in ("symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian")
        for bits in (1, 3, 6)
    ),
    *(
        (f"rans-{quantizer}-{bits}bit", "bell", (4, 9), "float32", {"coder": "rans", **how})
        for quantizer in ("uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian")
        for bits in (1, 4)
        for how in ({"bits": bits, "quantizer": quantizer},)
    ),
    ("rans-step", "bell", (6, 8), "float32", {"coder": "rans", "step": 0.25, "rdo": 0.0}),
    ("rans-escapes", "far", (40, 8), "float32", {"coder": "rans", "bits": 6}),
    ("rans-sparse", "sparse", (8, 3, 3), "float32", {"coder": "rans", "bits": 4, "axis": 0}),
    ("rans-zeros", "zeros", (9, 4), "float32", {"coder": "rans", "bits": 4}),
    ("rans-one", "bell", (1,), "float32", {"coder": "rans", "bits": 5}),
    (
        "rans-float16-channel",
        "bell",
        (6, 5),
        "float16",
        {"coder": "rans", "granularity": "channel", "bits": 3},
    ),
    ("rans-uint8", "bytes", (12, 12), "uint8", {"coder": "rans"}),
    (
        "rans-int8-group",
        "bytes",
        (40,),
        "int8",
        {"coder": "rans", "bits": 4, "granularity": "group", "group_size": 8},
    ),
    ("rans-max-bytes", "bell", (16, 16), "float32", {"coder": "rans", "max_bytes": 90}),
    ("packed-max-bytes", "bell", (16, 16), "float32", {"max_bytes": 140, "keep": [1, 2, 3, 5, 8, 13]}),
    ("mask-bitmap-merged", "bell", (9, 4), "float32", {"bits": 5, "keep": [0, 2, 3, 7]}),
    ("mask-bitmap-zero", "bell", (9, 4), "float16", {"bits": 5, "keep": [0, 8], "fill": "zero"}),
    ("mask-kept-gaps", "bell", (700, 2), "float32", {"bits": 2, "keep": [3, 260, 699], "fill": "zero"}),
    (
        "mask-dropped-gaps",
        "bytes",
        (400, 2),
        "uint8",
        {"keep": [row for row in range(400) if row not in (0, 7, 399)]},
    ),
    (
        "mask-channels",
        "bell",
        (6, 4),
        "float32",
        {"bits": 3, "keep": [1, 4], "granularity": "channel", "axis": 0},
    ),
    ("mask-rans", "bell", (9, 4), "float32", {"bits": 3, "coder": "rans", "keep": [0, 2, 3, 7]}),
]

SEQUENCES: list[tuple[str, str, tuple[int, ...], str, dict[str, Any]]] = [
    ("packed", "bell", (6, 7), "float32", {"bits": 4}),
    (
        "packed-laplacian-channel",
        "bell",
        (6, 7),
        "float16",
        {"bits": 3, "quantizer": "laplacian", "granularity": "channel"},
    ),
    ("rans", "bell", (8, 16), "float32", {"bits": 4, "coder": "rans"}),
    ("rans-parted", "sparse", (12, 10, 10), "float32", {"bits": 4, "coder": "rans", "axis": 0}),
    ("rans-mask", "bell", (8, 16), "float32", {"bits": 4, "coder": "rans", "keep": [0, 1, 5]}),
    ("rans-lossless", "bytes", (8, 16), "uint8", {"coder": "rans"}),
    ("rans-int8", "bytes", (8, 16), "int8", {"coder": "rans", "bits": 5}),
    ("rans-filter", "moving", (9, 8, 10), "float32", {"bits": 4, "coder": "rans", "axis": 0}),
    ("rans-filter-last", "moving", (12, 14, 7), "float16", {"bits": 3, "coder": "rans"}),
    ("rans-filter-bytes", "moving", (10, 9, 9), "uint8", {"bits": 5, "coder": "rans", "axis": 0}),
    ("rans-filter-second", "trembling", (40, 64), "float32", {"bits": 5, "coder": "rans"}),
]

LARGE: list[tuple[str, str, tuple[int, ...], str, dict[str, Any]]] = [
    *((f"features-{bits}bit", "bell", (17, 128), "float32", {"bits": bits}) for bits in range(1, 9)),
    *((f"sampled-{bits}bit", "bell", (41, 256), "float32", {"bits": bits}) for bits in (1, 2, 4)),
    ("channels", "bell", (17, 128), "float32", {"bits": 4, "granularity": "channel"}),
    ("planes", "sparse", (16, 9, 9), "float32", {"bits": 3, "granularity": "channel", "axis": 0}),
    ("groups", "bell", (1000,), "float16", {"bits": 2, "granularity": "group", "group_size": 32}),
    ("quantized", "bytes", (24, 24), "uint8", {"bits": 3}),
]


def source(kind: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Values of a kind: every operation on them is exact, so that they do not depend on a library's
    version."""
    n = int(np.prod(shape))
    state = np.uint64(2463534242)
    draws = np.empty((n, 4), np.int64)
    for at in np.ndindex(draws.shape):  # xorshift64
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        draws[at] = int(state >> np.uint64(48))
    bell = (draws.sum(axis=1) - 2 * 65535) * 2.0**-15  # of four uniforms: from -4 to 4
    bell *= np.where(draws[:, 0] % 37 == 0, 4.0, 1.0)  # and a few far out
    values = {
        "bell": bell,
        "sparse": np.maximum(bell, 0),
        "zeros": np.zeros(n),
        "constant": np.full(n, 0.3),
        "far": bell * np.where(draws[:, 0] % 61 == 0, 64.0, 1.0),
        "tiny": bell * 2.0**-120,
        "huge": bell * 2.0**120,
        "bytes": np.clip(
            np.rint(bell * 40) + (128 if dtype == "uint8" else 0),
            *((0, 255) if dtype == "uint8" else (-128, 127)),
        ),
    }[kind]
    return values.astype(dtype).reshape(shape)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def frames(kind: str, shape: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    """Four frames of a sequence: a quarter of the elements changes from one to the next.

    "moving" is a map with structure that moves, and what is new in a frame has some as well; "trembling" is
    something still with noise of its own in every frame.
    """
    if kind == "moving":
        return _moving(shape, np.dtype(dtype))
    if kind == "trembling":
        still, *noise = source("bell", (5, *shape), dtype)
        return [np.asarray(still + one / 8, dtype) for one in noise]
    still, other = source(kind, (2, *shape), dtype)
    out = [still]
    for number in range(3):
        out.append(np.where(np.arange(still.size).reshape(shape) % 4 == number, other, out[-1]))
    return out


def _moving(shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[np.ndarray]:
    high, wide = (1, 2) if shape[-1] > 7 else (0, 1)  # channels come first or last
    size = list(shape)
    size[high], size[wide] = size[high] + 8, size[wide] + 8

    def smooth(field: np.ndarray) -> np.ndarray:
        for axis in (high, wide):
            for _ in range(2):
                field = np.add(*(np.take(field, range(n, field.shape[axis] - 1 + n), axis) for n in (0, 1)))
        return field

    fields = [smooth(field) for field in source("bell", (5, *size), "float32")]
    out = []
    for number, news in enumerate(fields[1:]):
        cut = [slice(None)] * 3
        cut[high], cut[wide] = slice(number, number + shape[high]), slice(1, 1 + shape[wide])
        x = fields[0][tuple(cut)] + news[tuple(cut)] / 4
        out.append(np.ascontiguousarray(np.clip(x * 4 + 110, 0, 255) if dtype.kind == "u" else x, dtype))
    return out


def write() -> None:
    from qeil_ros.codec import TemporalEncoder, encode, reference

    small = []
    for name, kind, shape, dtype, arguments in SMALL:
        stream = encode(source(kind, shape, dtype), **arguments)
        decoded = reference.decode(stream)
        small.append(
            {
                "name": name,
                "source": kind,
                "shape": list(shape),
                "dtype": dtype,
                "arguments": arguments,
                "stream": stream.hex(),
                "decoded": decoded.tobytes().hex(),
                "values": [float(value) for value in decoded.reshape(-1)],
            }
        )
    large = [
        {
            "name": name,
            "source": kind,
            "shape": list(shape),
            "dtype": dtype,
            "arguments": arguments,
            "bytes": len(stream := encode(source(kind, shape, dtype), **arguments)),
            "stream_sha256": hashlib.sha256(stream).hexdigest(),
            "decoded_sha256": hashlib.sha256(reference.decode(stream).tobytes()).hexdigest(),
        }
        for name, kind, shape, dtype, arguments in LARGE
    ]
    sequences = []
    for name, kind, shape, dtype, arguments in SEQUENCES:
        encoder, references, streams = TemporalEncoder(chained=True), {}, []
        for x in frames(kind, shape, dtype):
            stream = bytes(encoder.encode(x, **arguments))
            references[encoder.checksum] = reference.decode(stream, references)
            streams.append(
                {"stream": stream.hex(), "decoded_sha256": sha256(references[encoder.checksum].tobytes())}
            )
        sequences.append(
            {
                "name": name,
                "source": kind,
                "shape": list(shape),
                "dtype": dtype,
                "arguments": arguments,
                "frames": streams,
            }
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, vectors in (("streams", small), ("hashes", large), ("sequences", sequences)):
        lines = ",\n".join(json.dumps(vector) for vector in vectors)
        (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    write()
