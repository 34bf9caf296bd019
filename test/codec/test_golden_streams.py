"""Golden vectors: both decoders give the recorded values, the encoders make the recorded bytes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bitstream_vectors import FOLDER, LARGE, SEQUENCES, SMALL, frames, sha256, source

from qeil_ros.codec import REFERENCES, Decoder, TemporalEncoder, decode, encode, reference

STREAMS = json.loads((FOLDER / "streams.json").read_text())
HASHES = json.loads((FOLDER / "hashes.json").read_text())
SEQUENCE_STREAMS = json.loads((FOLDER / "sequences.json").read_text())
SPECIFICATION = Path(__file__).resolve().parents[2] / "docs" / "bitstream.md"


def arguments(vector: dict[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if key == "clip" and isinstance(value, list) else value
        for key, value in vector["arguments"].items()
    }


@pytest.mark.parametrize("vector", STREAMS, ids=lambda vector: vector["name"])
def test_streams_decode_to_the_recorded_values_and_encode_to_the_recorded_bytes(
    vector: dict[str, Any],
) -> None:
    stream = bytes.fromhex(vector["stream"])
    for decoded in (decode(stream), reference.decode(stream)):
        assert decoded.tobytes().hex() == vector["decoded"]
        assert decoded.shape == tuple(vector["shape"]) and decoded.dtype == vector["dtype"]
        assert decoded.reshape(-1).tolist() == vector["values"]
    x = source(vector["source"], tuple(vector["shape"]), vector["dtype"])
    assert encode(x, **arguments(vector)).hex() == vector["stream"]


@pytest.mark.parametrize("vector", HASHES, ids=lambda vector: vector["name"])
def test_encoded_bytes_are_pinned(vector: dict[str, Any]) -> None:
    x = source(vector["source"], tuple(vector["shape"]), vector["dtype"])
    stream = encode(x, **arguments(vector))
    assert len(stream) == vector["bytes"]
    assert hashlib.sha256(stream).hexdigest() == vector["stream_sha256"]
    assert hashlib.sha256(decode(stream).tobytes()).hexdigest() == vector["decoded_sha256"]


@pytest.mark.parametrize("vector", SEQUENCE_STREAMS, ids=lambda vector: vector["name"])
def test_sequences_decode_to_the_recorded_values_and_encode_to_the_recorded_bytes(
    vector: dict[str, Any],
) -> None:
    encoder, decoder = TemporalEncoder(chained=True), Decoder(references=REFERENCES)
    references: dict[int, np.ndarray] = {}
    xs = frames(vector["source"], tuple(vector["shape"]), vector["dtype"])
    for number, (x, frame) in enumerate(zip(xs, vector["frames"], strict=True)):
        stream = bytes.fromhex(frame["stream"])
        assert encoder.encode(x, **arguments(vector)).hex() == frame["stream"]
        assert encoder.key == (number == 0)
        decoded = decoder.decode(stream)
        references[encoder.checksum] = reference.decode(stream, references)
        assert references[encoder.checksum].tobytes() == decoded.tobytes()
        assert sha256(decoded.tobytes()) == frame["decoded_sha256"]
        assert decoded.shape == x.shape and decoded.dtype == x.dtype


def test_the_recorded_vectors_are_the_listed_ones() -> None:
    assert [vector["name"] for vector in STREAMS] == [name for name, *_ in SMALL]
    assert [vector["name"] for vector in HASHES] == [name for name, *_ in LARGE]
    assert [vector["name"] for vector in SEQUENCE_STREAMS] == [name for name, *_ in SEQUENCES]


def test_the_specifications_worked_example() -> None:
    text = SPECIFICATION.read_text().split("## Worked example")[1]
    stream = bytes.fromhex("".join(re.findall(r"^    ((?:[0-9A-F]{2} )*[0-9A-F]{2})  ", text, re.MULTILINE)))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert encode(x, bits=2, clip="range") == reference.encode(x, 2, clip="range") == stream
    values = json.loads(re.findall(r"decodes to `(.*)`", text)[0])
    assert np.allclose(decode(stream), values, atol=5e-4)
