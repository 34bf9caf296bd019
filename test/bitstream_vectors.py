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
        "tiny": bell * 2.0**-120,
        "huge": bell * 2.0**120,
        "bytes": np.clip(
            np.rint(bell * 40) + (128 if dtype == "uint8" else 0),
            *((0, 255) if dtype == "uint8" else (-128, 127)),
        ),
    }[kind]
    return values.astype(dtype).reshape(shape)


def write() -> None:
    from qeil_ros.codec import reference

    small = []
    for name, kind, shape, dtype, arguments in SMALL:
        stream = reference.encode(source(kind, shape, dtype), **arguments)
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
            "bytes": len(stream := reference.encode(source(kind, shape, dtype), **arguments)),
            "stream_sha256": hashlib.sha256(stream).hexdigest(),
            "decoded_sha256": hashlib.sha256(reference.decode(stream).tobytes()).hexdigest(),
        }
        for name, kind, shape, dtype, arguments in LARGE
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, vectors in (("streams", small), ("hashes", large)):
        lines = ",\n".join(json.dumps(vector) for vector in vectors)
        (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    write()
